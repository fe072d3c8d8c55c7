import { afterEach, describe, expect, test } from '@jest/globals'
import { denyListEndpoint, type Stores } from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { recordingStores } from '../support/recording-stores.ts'
import { makeStores } from '../support/stores.ts'
import { basic, claimsOf, manualClock, RESOURCE_SERVER, startWorld, type World } from '../support/world.ts'

const worlds: World[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

async function start(shared: { stores?: Stores; clock?: World['clock']; issuer?: string } = {}) {
  const clock = shared.clock ?? manualClock()
  const made = shared.stores ?? (await makeStores(clock))
  const { stores, calls } = recordingStores(made)
  const world = await startWorld({
    ...(shared.issuer !== undefined && { issuer: shared.issuer }),
    clock,
    stores,
    after: (app, aat) => app.use('/oauth/denylist', denyListEndpoint(aat, { authorize: () => true })),
  })
  worlds.push(world)
  const uses = () => calls.filter(({ store, verb }) => store === 'accessTokens' && verb === 'use').length
  return {
    ...world,
    stores: made,
    uses,
    limit: (parameters: Record<string, string>) => world.post(world.endpoint('denylist'), parameters),
  }
}

const call = async (world: World, token: string, path = '/api/a') => (await world.call(path, token)).status
const jtiOf = (token: string) => String(claimsOf(token).jti)

describe('a token whose uses are limited', () => {
  test('is accepted so many times more, and then never again; others are not counted', async () => {
    const world = await start()
    const { body: one } = await world.signInAndGetTokens()
    const { body: two } = await world.signInAndGetTokens()
    for (let use = 0; use < 3; use++) expect(await call(world, one.access_token)).toBe(200)
    const answer = await world.limit({ token: one.access_token, max_uses: '2' })
    const jti = jtiOf(one.access_token)
    expect([answer.status, answer.body]).toEqual([200, { denied: { type: 'token', id: jti, max_uses: 2 } }])
    const statuses = []
    for (let use = 0; use < 4; use++) statuses.push(await call(world, one.access_token))
    expect(statuses).toEqual([200, 200, 401, 401])
    expect(await call(world, two.access_token)).toBe(200)
    expect(world.uses()).toBe(4)
    const refused = await world.call('/api/a', one.access_token)
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"')
    expect((await world.aat.denyList.list()).denied).toEqual([
      { type: 'token', id: jti, maxUses: 2, expiresAt: expect.any(Number) },
    ])
  })

  test('is counted by all instances together, also in a race', async () => {
    const one = await start()
    const two = await start({ stores: one.stores, clock: one.clock, issuer: one.issuer })
    const { body } = await one.signInAndGetTokens()
    await one.aat.denyList.add({ jti: jtiOf(body.access_token), maxUses: 7 })
    await two.aat.denyList.list()
    const statuses = await Promise.all(
      Array.from({ length: 40 }, (_, index) => call(index % 2 === 0 ? one : two, body.access_token)),
    )
    expect(statuses.filter((status) => status === 200)).toHaveLength(7)
    expect(statuses.filter((status) => status === 401)).toHaveLength(33)
  })

  test('a request that is refused for something else is no use', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    await world.aat.denyList.add({ jti: jtiOf(body.access_token), maxUses: 1 })
    expect(await call(world, body.access_token, '/api/ab')).toBe(403)
    expect(await call(world, body.access_token, '/other/x')).toBe(401)
    expect(world.uses()).toBe(0)
    expect(await call(world, body.access_token)).toBe(200)
    expect(await call(world, body.access_token)).toBe(401)
  })

  test('the limit can be lowered and not raised; 0 denies, and nothing takes that back', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const jti = jtiOf(body.access_token)
    await world.aat.denyList.add({ jti, maxUses: 2 })
    await world.aat.denyList.add({ jti, maxUses: 100 })
    expect(await call(world, body.access_token)).toBe(200)
    await world.aat.denyList.add({ jti, maxUses: 1 })
    expect(await call(world, body.access_token)).toBe(401)
    const { body: another } = await world.signInAndGetTokens()
    await world.limit({ type: 'token', id: jtiOf(another.access_token), max_uses: '0' })
    await world.aat.denyList.add({ jti: jtiOf(another.access_token), maxUses: 5 })
    expect(await call(world, another.access_token)).toBe(401)
  })

  test('nobody is asked for tokens without a limit, not even where there are limited ones', async () => {
    const world = await start()
    const { body: limited } = await world.signInAndGetTokens()
    const { body } = await world.signInAndGetTokens()
    await world.aat.denyList.add({ jti: jtiOf(limited.access_token), maxUses: 5 })
    for (let use = 0; use < 10; use++) expect(await call(world, body.access_token)).toBe(200)
    expect(world.uses()).toBe(0)
  })

  test('a store that cannot count is 503: never one use too many, never 401', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    await world.aat.denyList.add({ jti: jtiOf(body.access_token), maxUses: 5 })
    const { use } = world.stores.accessTokens
    const failing = await start({
      stores: {
        ...world.stores,
        accessTokens: {
          ...world.stores.accessTokens,
          use: () => Promise.reject(new StoreUnavailable('away')),
        },
      },
      clock: world.clock,
      issuer: world.issuer,
    })
    const answer = await failing.call('/api/a', body.access_token)
    expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(typeof use).toBe('function')
    expect(await call(world, body.access_token)).toBe(200)
  })

  test('INT-001: that the server of its resource asks is a use; that its client asks is none', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    await world.aat.denyList.add({ jti: jtiOf(body.access_token), maxUses: 2 })
    const introspect = async (headers: Record<string, string>) =>
      (await world.post(world.endpoint('introspect'), { token: body.access_token }, headers)).body
    const asServer = basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret)
    const asClient = basic('confidential', 'a-secret-of-the-test-suite-0123456789')
    for (let count = 0; count < 3; count++)
      expect(await introspect(asClient)).toMatchObject({ active: true, uses_limited: true })
    expect(await introspect(asServer)).toMatchObject({ active: true, uses_limited: true })
    expect(await call(world, body.access_token)).toBe(200)
    expect(await introspect(asServer)).toEqual({ active: false })
    expect(await introspect(asClient)).toEqual({ active: false })
  })

  test('of a token without a limit, introspection says nothing about uses', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const answer = await world.post(
      world.endpoint('introspect'),
      { token: body.access_token },
      basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret),
    )
    expect(Object.keys(answer.body)).not.toContain('uses_limited')
  })
})

describe('wrong limits', () => {
  test.each(['-1', '1.5', '1e3', 'x', '1000001', '99999999', '0x10'])(
    'max_uses=%s is refused',
    async (max_uses) => {
      const world = await start()
      const answer = await world.limit({ type: 'token', id: 'x', max_uses })
      expect([answer.status, answer.body.error]).toEqual([400, 'invalid_request'])
      expect((await world.aat.denyList.list()).denied).toEqual([])
    },
  )

  test('of anything but a token', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    for (const target of [
      { type: 'subject', id: 'alice' },
      { type: 'client', id: 'c' },
      { token: body.refresh_token },
    ])
      expect((await world.limit({ ...(target as Record<string, string>), max_uses: '1' })).status).toBe(400)
    const { add } = world.aat.denyList
    await expect(add({ subject: 'alice', maxUses: 1 } as never)).rejects.toThrow('maxUses goes with a jti')
    await expect(add({ jti: 'x', subject: 'alice', maxUses: 1 } as never)).rejects.toThrow(TypeError)
    for (const maxUses of [-1, 1.5, Number.NaN, 1_000_001, '5' as never])
      await expect(add({ jti: 'x', maxUses })).rejects.toThrow(TypeError)
    expect((await world.aat.denyList.list()).denied).toEqual([])
  })
})
