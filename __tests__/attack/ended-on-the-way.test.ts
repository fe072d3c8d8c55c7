import { expect, test } from '@jest/globals'
import { basic, startWorld } from '../support/world.ts'

const ask = { grant_type: 'client_credentials', scope: 'a' }

// Programs throw their registration away at invalid_client: it must be true.
test('client_credentials, revoked while the request is on the way: 503, and the next one is good', async () => {
  let meanwhile: () => Promise<unknown> = async () => undefined
  const world = await startWorld({
    aat: {
      registration: { quotas: false, policies: { default: { grantTypes: ['client_credentials'] } } },
      async claims() {
        await meanwhile()
        return {}
      },
    },
  })
  try {
    const { body } = await world.register({ grant_types: ['client_credentials'] })
    const credentials = basic(body.client_id, body.client_secret)
    meanwhile = () => world.aat.revoke({ clientId: body.client_id })
    const ended = await world.token(ask, credentials)
    expect([ended.status, ended.body.error, ended.headers.get('retry-after')]).toEqual([
      503,
      'temporarily_unavailable',
      '1',
    ])
    meanwhile = async () => undefined
    world.clock.advance(1)
    expect((await world.token(ask, credentials)).status).toBe(200)
    meanwhile = () => world.aat.clients.delete(body.client_id)
    expect((await world.token(ask, credentials)).status).toBe(503)
    meanwhile = async () => undefined
    expect((await world.token(ask, credentials)).body.error).toBe('invalid_client')
    expect(world.eventsNamed('fault')).toEqual([])
  } finally {
    await world.close()
  }
})
