import { expect, test } from '@jest/globals'
import { startWorld } from '../support/world.ts'

test('TOK-019: ids that describe their clients leave room for the largest scope set: a longer one is short, and stored', async () => {
  const scopes = Array.from({ length: 60 }, (_, index) => `scope:${String(index).padStart(2, '0')}`)
  const metadata = {
    client_name: 'n'.repeat(180),
    redirect_uris: ['https://app.example/callback'],
    token_endpoint_auth_method: 'none',
  }
  const idIn = async (scopesOfApi: string[]) => {
    const world = await startWorld({
      aat: (base) => ({
        resources: { [`${base}/api`]: { scopes: scopesOfApi }, [`${base}/other`]: { scopes: ['x'] } },
        keys: { alg: 'RS256', rsaBits: 2048 },
        claims: () => ({}),
      }),
    })
    try {
      const answer = await fetch(`${world.base}/oauth/register`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(metadata),
      })
      expect(answer.status).toBe(201)
      return String(((await answer.json()) as { client_id: string }).client_id)
    } finally {
      await world.close()
    }
  }
  expect((await idIn(['a', 'b'])).length).toBeGreaterThan(300)
  expect(await idIn(['a', 'b', ...scopes.slice(0, 40)])).toMatch(/^dcr_[A-Za-z0-9_-]{22}$/)
})
