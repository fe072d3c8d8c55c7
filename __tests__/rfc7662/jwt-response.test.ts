import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  headerOf,
  RESOURCE_SERVER,
  startWorld,
  type World,
} from '../support/world.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(() => world.close())

const JWT = 'application/token-introspection+jwt'
const asResourceServer = basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret)

const introspect = (token: string, accept: string, headers: Record<string, string> = asResourceServer) =>
  world.post(world.endpoint('introspect'), { token }, { ...headers, Accept: accept })

async function verify(jwt: string, audience: string) {
  const keys = createRemoteJWKSet(new URL(`${world.base}/.well-known/jwks.json`))
  return jwtVerify(jwt, keys, {
    issuer: world.issuer,
    audience,
    typ: 'token-introspection+jwt',
    currentDate: new Date(world.clock() * 1000),
  })
}

test('INT-010: a caller that accepts it gets a JWT, signed for it by a key of the ring (RFC 9701)', async () => {
  const { body } = await world.signInAndGetTokens({ scope: 'a b' })
  const answer = await introspect(body.access_token, JWT)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe(JWT)
  expect(answer.headers.get('cache-control')).toBe('no-store')
  const { payload, protectedHeader } = await verify(answer.text, RESOURCE_SERVER.id)
  expect(Object.keys(protectedHeader)).toEqual(['alg', 'typ', 'kid'])
  expect(payload).toEqual({
    iss: world.issuer,
    aud: RESOURCE_SERVER.id,
    iat: Math.floor(world.clock()),
    token_introspection: { active: true, token_type: 'Bearer', ...claimsOf(body.access_token) },
  })
  await expect(verify(answer.text, CONFIDENTIAL.id)).rejects.toThrow('aud')
})

test('INT-005 INT-010: in the JWT form, too, a token for another resource is inactive and nothing else', async () => {
  const { body } = await world.signInAndGetTokens({ scope: 'x', resource: world.otherResource })
  for (const token of [body.access_token, 'garbage', body.refresh_token]) {
    const answer = await introspect(token, JWT)
    const { payload } = await verify(answer.text, RESOURCE_SERVER.id)
    expect(payload.token_introspection).toEqual({ active: false })
    expect(Object.keys(payload).sort()).toEqual(['aud', 'iat', 'iss', 'token_introspection'])
  }
})

test.each([
  ['*/*', 'application/json'],
  ['application/json', 'application/json'],
  ['application/*', 'application/json'],
  ['text/html', 'application/json'],
  [`${JWT};q=0.5, application/json`, 'application/json'],
  [`${JWT};q=0, */*;q=0.1`, 'application/json'],
  [`application/json;q=0.5, ${JWT}`, JWT],
  [JWT.toUpperCase(), JWT],
  [`${'x'.repeat(4000)}`, 'application/json'],
])('INT-010: Accept: %.60s is answered as %s', async (accept, expected) => {
  const { body } = await world.signInAndGetTokens()
  const answer = await introspect(body.access_token, accept)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe(expected)
})

test('INT-010: an answer is no access token, and an access token is no answer', async () => {
  const { body } = await world.signInAndGetTokens({ scope: 'a b' })
  const { text } = await introspect(body.access_token, JWT)
  expect(headerOf(text).typ).toBe('token-introspection+jwt')
  expect((await world.call('/api/a', text)).status).toBe(401)
  expect((await introspect(text, 'application/json')).text).toBe('{"active":false}')
  expect((await introspect(text, 'application/json', basic(CONFIDENTIAL.id, CONFIDENTIAL.secret))).text).toBe(
    '{"active":false}',
  )
  await world.post(world.endpoint('revoke'), { token: text }, basic(CONFIDENTIAL.id, CONFIDENTIAL.secret))
  expect((await world.call('/api/a', body.access_token)).status).toBe(200)
  await expect(verify(body.access_token, world.resource)).rejects.toThrow('typ')
})

test('errors are JSON for every caller', async () => {
  const answer = await introspect('x', JWT, basic(RESOURCE_SERVER.id, 'a-wrong-secret-of-some-length'))
  expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
  expect(answer.headers.get('content-type')).toBe('application/json')
})

test('metadata names the algorithms of the keys', async () => {
  const { body } = await world.call('/.well-known/oauth-authorization-server')
  expect(body.introspection_signing_alg_values_supported).toEqual(['ES256'])
})
