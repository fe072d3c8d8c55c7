import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { ConfigurationError, memoryStores, requireAat } from '../../lib/index.ts'
import { DPOP_CHALLENGE } from '../support/dpop.ts'
import { type Forger, forgerOf } from '../support/forge.ts'
import { Browser, manualClock, startWorld, type World } from '../support/world.ts'

let world: World
let forger: Forger
beforeAll(async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  world = await startWorld({
    clock,
    stores,
    after: (app, aat) => {
      const ok = (_req: unknown, res: { json(body: unknown): void }) => res.json({ ok: true })
      app.get('/api/gold', requireAat(aat, { scope: 'a', acr: ['gold', 'platinum'] }), ok)
      app.get('/api/recent', requireAat(aat, { scope: 'a', maxAge: 60 }), ok)
      app.get('/api/now', requireAat(aat, { scope: 'a', maxAge: 0 }), ok)
      app.get('/api/both', requireAat(aat, { scope: 'b', acr: 'gold', maxAge: 60 }), ok)
    },
  })
  forger = await forgerOf(world, stores)
})
afterAll(() => world.close())

const challengeOf = ({ headers }: { headers: Headers }) => headers.get('www-authenticate') ?? ''

test('the challenge says what would be enough (RFC 9470 section 3)', async () => {
  const answer = await world.call('/api/gold', forger.withClaims({ acr: 'silver' }))
  expect([answer.status, answer.body.error]).toEqual([401, 'insufficient_user_authentication'])
  expect(challengeOf(answer)).toBe(
    `Bearer error="insufficient_user_authentication", error_description="this needs another or a more recent sign-in", scope="a", acr_values="gold platinum", resource_metadata="${world.base}/.well-known/oauth-protected-resource/api", ${DPOP_CHALLENGE}`,
  )
  const tooOld = await world.call('/api/recent', forger.withClaims({ auth_time: world.clock() - 300 }))
  expect(challengeOf(tooOld)).toContain('max_age="60"')
  expect(challengeOf(tooOld)).not.toContain('acr_values')
})

test('acr: one of the named classes, as an exact string; without the claim it is refused', async () => {
  for (const [acr, status] of [
    ['gold', 200],
    ['platinum', 200],
    ['Gold', 401],
    ['gold platinum', 401],
    ['', 401],
    [undefined, 401],
  ] as const)
    expect([acr, (await world.call('/api/gold', forger.withClaims({ acr }))).status]).toEqual([acr, status])
})

test('max_age: to the second, with the tolerance for clocks; without auth_time it is refused', async () => {
  const now = world.clock()
  for (const [authTime, status] of [
    [now, 200],
    [now - 60, 200],
    [now - 65, 200],
    [now - 66, 401],
    [undefined, 401],
    [now * 1000, 401],
  ] as const)
    expect([
      authTime,
      (await world.call('/api/recent', forger.withClaims({ auth_time: authTime }))).status,
    ]).toEqual([authTime, status])
  expect((await world.call('/api/now', forger.withClaims({ auth_time: now - 6 }))).status).toBe(401)
  expect((await world.call('/api/now', forger.withClaims({ auth_time: now - 5 }))).status).toBe(200)
})

test('a token that was good enough grows too old while it is valid', async () => {
  const token = forger.withClaims({ auth_time: world.clock() })
  expect((await world.call('/api/recent', token)).status).toBe(200)
  world.clock.advance(66)
  expect((await world.call('/api/recent', token)).status).toBe(401)
  expect((await world.call('/api/a', token)).status).toBe(200)
})

test("a client's own token cannot step up and is refused", async () => {
  const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
  for (const path of ['/api/gold', '/api/recent', '/api/now'])
    expect((await world.call(path, body.access_token)).body.error).toBe('insufficient_user_authentication')
})

test('a scope that is missing is said before a sign-in that is: no new sign-in for nothing', async () => {
  const answer = await world.call('/api/both', forger.withClaims({ scope: 'a' }))
  expect([answer.status, answer.body.error]).toEqual([403, 'insufficient_scope'])
})

test('the whole way: refused, authorize with what the challenge says, sign in again, accepted', async () => {
  world.users.alice = { acr: 'silver' }
  const browser = new Browser(world.base)
  const first = (await world.signInAndGetTokens({ scope: 'b' }, {}, { browser })).body
  world.clock.advance(120)
  const refused = await world.call('/api/both', first.access_token)
  expect(refused.status).toBe(401)
  const parameter = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(challengeOf(refused))?.[1]
  expect([parameter('acr_values'), parameter('max_age'), parameter('scope')]).toEqual(['gold', '60', 'b'])
  // The sign-in page of the app meets the class that was asked for.
  world.users.alice = { acr: 'gold' }
  const second = (
    await world.signInAndGetTokens(
      { scope: parameter('scope'), acr_values: parameter('acr_values'), max_age: parameter('max_age') },
      {},
      { browser },
    )
  ).body
  expect((await world.call('/api/both', second.access_token)).status).toBe(200)
  // Refreshing does not make an old sign-in young.
  world.clock.advance(120)
  const refreshed = (await world.refresh(second.refresh_token)).body
  expect((await world.call('/api/both', refreshed.access_token)).body.error).toBe(
    'insufficient_user_authentication',
  )
})

test('options that cannot be meant are refused at start', () => {
  for (const options of [
    { acr: [] },
    { acr: '' },
    { acr: 'a b' },
    { acr: 'a"b' },
    { maxAge: -1 },
    { maxAge: 1.5 },
    { maxAge: '60' },
    { max_age: 60 },
  ])
    expect(() => requireAat(world.aat, options as never)).toThrow(ConfigurationError)
  expect(() => requireAat(world.aat, { max_age: 60 } as never)).toThrow(/did you mean maxAge\?/)
})
