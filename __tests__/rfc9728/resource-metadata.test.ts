import { afterAll, beforeAll, expect, test } from '@jest/globals'
import express from 'express'
import { protectedResource, remoteIssuer } from '../../lib/index.ts'
import { PROOF_ALGORITHMS } from '../support/dpop.ts'
import { readAnswer, startWorld, type World } from '../support/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

test('MET-011: each resource has its document, and challenges point to it', async () => {
  for (const [path, scopes, guarded] of [
    ['/api', ['a', 'b', 'c'], '/api/a'],
    ['/other', ['a', 'x'], '/other/x'],
  ] as const) {
    const { status, body } = await world.call(`/.well-known/oauth-protected-resource${path}`)
    expect(status).toBe(200)
    expect(body).toEqual({
      resource: `${world.base}${path}`,
      authorization_servers: [world.issuer],
      scopes_supported: scopes,
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    })
    const challenge = (await world.call(guarded)).headers.get('www-authenticate') ?? ''
    const url = /resource_metadata="([^"]+)"/.exec(challenge)?.[1] ?? ''
    expect(url).toBe(`${world.base}/.well-known/oauth-protected-resource${path}`)
    expect((await readAnswer(await fetch(url))).body).toEqual(body)
  }
})

test('MET-011: a resource that is the origin itself, with a name', async () => {
  const rooted = await startWorld({
    aat: (base) => ({
      resources: {
        [base]: { scopes: ['a'], name: 'The whole site' },
        [`${base}/api`]: { scopes: ['a', 'b'] },
        [`${base}/other`]: { scopes: ['x'] },
        'https://elsewhere.example/api': { scopes: ['a'] },
      },
    }),
  })
  try {
    const { body } = await rooted.call('/.well-known/oauth-protected-resource')
    expect(body).toMatchObject({ resource: rooted.base, resource_name: 'The whole site' })
    expect((await rooted.call('/.well-known/oauth-protected-resource/')).status).toBe(404)
  } finally {
    await rooted.close()
  }
})

test('MET-011: an API whose issuer is elsewhere serves its own document', async () => {
  const remote = remoteIssuer('https://as.example', {
    resources: { 'https://api.example/v1': { scopes: ['a'] } },
  })
  const server = express()
    .use(protectedResource(remote))
    .use((_req, res) => void res.send('<html>'))
    .listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  try {
    const base = `http://127.0.0.1:${(server.address() as { port: number }).port}`
    const { body } = await readAnswer(await fetch(`${base}/.well-known/oauth-protected-resource/v1`))
    expect(body).toEqual({
      resource: 'https://api.example/v1',
      authorization_servers: ['https://as.example'],
      scopes_supported: ['a'],
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    })
    const other = await readAnswer(await fetch(`${base}/.well-known/oauth-protected-resource`))
    expect([other.status, other.body.error]).toEqual([404, 'invalid_request'])
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})
