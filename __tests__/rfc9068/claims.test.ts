import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { ConfigurationError, createAat, memoryStores } from '../../lib/index.ts'
import { type Forger, forgerOf } from '../support/forge.ts'
import { manualClock, startWorld, type World } from '../support/world.ts'

async function startScene(clockTolerance?: number): Promise<{ world: World; forger: Forger }> {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const world = await startWorld({
    stores,
    clock,
    ...(clockTolerance !== undefined && { aat: { clockTolerance } }),
  })
  return { world, forger: await forgerOf(world, stores) }
}

let world: World
let forger: Forger
beforeAll(async () => {
  const scene = await startScene()
  world = scene.world
  forger = scene.forger
})
afterAll(() => world.close())

async function expectRefused(token: string): Promise<void> {
  const answer = await world.call('/api/a', token)
  expect([answer.status, answer.body?.error]).toEqual([401, 'invalid_token'])
}

test('CLM-001: any other iss is refused', async () => {
  const { issuer } = world
  for (const iss of [
    `${issuer}/`,
    issuer.replace('http:', 'https:'),
    issuer.toUpperCase(),
    `${issuer}/other`,
    [issuer],
    { 0: issuer },
    issuer.replace('127.0.0.1', 'localhost'),
    ` ${issuer}`,
    '',
    null,
    1,
  ])
    await expectRefused(forger.withClaims({ iss }))
})

test.each(['iss', 'aud', 'exp', 'iat', 'jti', 'sub', 'client_id'])(
  'CLM-002: a token without %s is refused',
  async (name) => {
    await expectRefused(forger.withClaims({ [name]: undefined }))
    await expectRefused(forger.withClaims({ [name]: null }))
    await expectRefused(forger.withClaims({ [name]: '' }))
    await expectRefused(forger.withClaims({ [name]: ['x'] }))
  },
)

test('CLM-002: times as texts, fractions or out of range are refused', async () => {
  const now = world.clock()
  for (const exp of [String(now + 100), now + 100.5, 1e300, -1, true])
    await expectRefused(forger.withClaims({ exp }))
  for (const iat of [String(now), now - 0.5, -1e300, false]) await expectRefused(forger.withClaims({ iat }))
  await expectRefused(forger.withClaims({ iat: now, exp: now }))
  await expectRefused(forger.withClaims({ iat: now + 2, exp: now + 1 }))
})

test('CLM-004: an audience that has others beside this resource is refused; this one alone in an array is not', async () => {
  const { resource, otherResource } = world
  await expectRefused(forger.withClaims({ aud: [resource, otherResource] }))
  await expectRefused(forger.withClaims({ aud: [otherResource, resource] }))
  await expectRefused(forger.withClaims({ aud: [resource, resource] }))
  await expectRefused(forger.withClaims({ aud: otherResource }))
  await expectRefused(forger.withClaims({ aud: `${resource}/` }))
  expect((await world.call('/api/a', forger.withClaims({ aud: [resource] }))).status).toBe(200)
})

test('CLM-005: audiences of mixed, nested or foreign types are refused', async () => {
  const { resource } = world
  for (const aud of [[resource, 1], [[resource]], {}, { 0: resource, length: 1 }, '', [], [null], true, 1])
    await expectRefused(forger.withClaims({ aud }))
})

describe('expiry', () => {
  test.each([
    [
      0,
      [
        [-1, 200],
        [0, 401],
        [1, 401],
      ],
    ],
    [
      5,
      [
        [4, 200],
        [5, 401],
        [6, 401],
      ],
    ],
    [
      60,
      [
        [59, 200],
        [59.9, 200],
        [60, 401],
      ],
    ],
  ] as [number, [number, number][]][])(
    'CLM-007, CLM-008: with a tolerance of %i s',
    async (tolerance, expected) => {
      const scene = await startScene(tolerance)
      try {
        const { clock } = scene.world
        const token = scene.forger.withClaims({})
        const exp = clock() + 300
        for (const [offset, status] of expected) {
          clock.now = exp + offset
          expect([offset, (await scene.world.call('/api/a', token)).status]).toEqual([offset, status])
        }
      } finally {
        await scene.world.close()
      }
    },
  )

  test('CLM-008: a tolerance over 60 s is refused at start', () => {
    const start = (clockTolerance: number) => () =>
      createAat({
        issuer: 'https://a.example',
        resources: { 'https://a.example/api': { scopes: ['a'] } },
        clockTolerance,
      })
    expect(start(61)).toThrow(ConfigurationError)
    expect(start(61)).toThrow(/clockTolerance must be a whole number of seconds from 0 to 60/)
    expect(start(-1)).toThrow(/clockTolerance/)
  })

  test('CLM-010: exp in milliseconds is refused, for the lifetime cannot be believed', async () => {
    const now = world.clock()
    await expectRefused(forger.withClaims({ exp: now * 1000 + 300_000 }))
    await expectRefused(forger.withClaims({ exp: now + 301 }))
    await expectRefused(forger.withClaims({ iat: 1, exp: now + 300 }))
    await expectRefused(forger.withClaims({ iat: now * 1000, exp: now * 1000 + 300 }))
  })
})

test('CLM-011: nbf or iat in the future is refused; within the tolerance it is not', async () => {
  const now = world.clock()
  await expectRefused(forger.withClaims({ nbf: now + 120 }))
  await expectRefused(forger.withClaims({ nbf: now + 6 }))
  await expectRefused(forger.withClaims({ nbf: String(now) }))
  await expectRefused(forger.withClaims({ iat: now + 120, exp: now + 200 }))
  await expectRefused(forger.withClaims({ iat: now + 6, exp: now + 200 }))
  for (const changes of [{ nbf: now + 5 }, { nbf: now - 1 }, { iat: now + 5 }])
    expect((await world.call('/api/a', forger.withClaims(changes))).status).toBe(200)
})

test.each([
  'JWT',
  'at+jwt;v=1',
  'jwt',
  'application/jwt',
  'dpop+jwt',
  'logout+jwt',
  'token-introspection+jwt',
  'client-authentication+jwt',
  '',
  'at+jwt ',
])('CLM-013: typ %j is refused', async (typ) => {
  await expectRefused(forger.withHeader({ ...forger.header, typ }))
})

test('CLM-013: a token without typ is refused', async () => {
  const { typ: _, ...header } = forger.header
  await expectRefused(forger.withHeader(header))
  await expectRefused(forger.withHeader({ ...header, typ: null }))
  await expectRefused(forger.withHeader({ ...header, typ: ['at+jwt'] }))
})

test('CLM-014: the full media type and other cases are the same type, on every route (RFC 9068 section 4)', async () => {
  for (const typ of ['application/at+jwt', 'AT+JWT', 'At+Jwt', 'Application/AT+JWT'])
    for (const path of ['/api/a', '/api/ab', '/api/user']) {
      const token = forger.withHeader({ ...forger.header, typ }, forger.claims({ scope: 'a b' }))
      expect((await world.call(path, token)).status).toBe(200)
    }
})

test('CLM-016: a token of a deleted client is refused at once', async () => {
  const registered = await world.register({
    redirect_uris: ['https://client.example/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
  })
  const id = registered.body.client_id
  const { body } = await world.signInAndGetTokens({ client_id: id, scope: 'a' }, { client_id: id })
  expect((await world.call('/api/a', body.access_token)).status).toBe(200)
  expect(await world.aat.clients.delete(id)).toBe('deleted')
  await expectRefused(body.access_token)
})

test('CLM-017: a sender-constrained token is no bearer token', async () => {
  for (const cnf of [{ jkt: 'x'.repeat(43) }, { 'x5t#S256': 'x'.repeat(43) }, {}, null])
    await expectRefused(forger.withClaims({ cnf }))
})

test('CLM-019: scopes are compared as exact strings', async () => {
  for (const scope of ['aa', 'a:all', 'A', 'b', '', 'a.b', 'ab a:']) {
    const answer = await world.call('/api/a', forger.withClaims({ scope }))
    expect([scope, answer.status, answer.body.error]).toEqual([scope, 403, 'insufficient_scope'])
    expect(answer.headers.get('www-authenticate')).toContain('scope="a"')
  }
  expect((await world.call('/api/a', forger.withClaims({ scope: undefined }))).status).toBe(403)
  for (const scope of ['x\ta', 'x  a', ' a', 'a ', 'a\n', 'a,x', '"a"'])
    expect([401, 403]).toContain((await world.call('/api/a', forger.withClaims({ scope }))).status)
  expect((await world.call('/api/a', forger.withClaims({ scope: 'x a y' }))).status).toBe(200)
})

test('CLM-020: scope as an array is refused', async () => {
  for (const scope of [['a'], { a: true }, 1, null, true]) await expectRefused(forger.withClaims({ scope }))
})

test('CLM-002: optional claims of a wrong type are refused', async () => {
  for (const changes of [
    { acr: 1 },
    { amr: 'pwd' },
    { amr: [1] },
    { auth_time: 'yesterday' },
    { auth_time: null },
    { grant_id: 1 },
  ])
    await expectRefused(forger.withClaims(changes))
})
