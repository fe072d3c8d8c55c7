import { afterEach, describe, expect, test } from '@jest/globals'
import type { ClientOptions } from '../../lib/index.ts'
import { expectRefused } from '../refresh-tokens/instances.ts'
import { recordingStores } from '../support/recording-stores.ts'
import { basic, CONFIDENTIAL, claimsOf, REDIRECT_URI, startWorld } from '../support/world.ts'
import { closeAll, type Instance, site, startInstance } from './instances.ts'

const DAY = 86_400
let open: Instance[] = []
afterEach(async () => {
  await closeAll(...open)
  open = []
})

/** The confidential client, with refresh tokens of its own. */
const clientWith = (refreshTokens: NonNullable<ClientOptions['refreshTokens']>): ClientOptions => ({
  clientId: CONFIDENTIAL.id,
  clientSecret: CONFIDENTIAL.secret,
  redirectUris: [REDIRECT_URI],
  grantTypes: ['authorization_code', 'refresh_token'],
  refreshTokens,
})

async function start(...parameters: Parameters<typeof startInstance>): Promise<Instance> {
  const instance = await startInstance(...parameters)
  open.push(instance)
  return instance
}

async function introspect(world: Instance, token: string): Promise<unknown> {
  const authorization = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
  return (await world.post(world.endpoint('introspect'), { token }, authorization)).body
}

describe('an instance that does not know of the epoch yet', () => {
  test.each([{ subject: 'alice' }, { clientId: CONFIDENTIAL.id }])(
    'answers a refresh with a young token of an old grant, which the epoch covers all the same: %j',
    async (target) => {
      const place = site()
      const [one, two] = [await start(place), await start(place)]
      const { body } = await one.signInAndGetTokens({ scope: 'a' })
      place.clock.advance(10)
      await one.aat.revoke(target)
      place.clock.advance(3)
      const late = await two.refresh(body.refresh_token)
      expect(late.status).toBe(200)
      expect(claimsOf(late.body.access_token).iat).toBeGreaterThan(place.clock.now - 1)
      expect((await two.call('/api/a', late.body.access_token)).status).toBe(200)
      expect((await one.call('/api/a', late.body.access_token)).status).toBe(401)
      await two.tick()
      expect((await two.call('/api/a', late.body.access_token)).status).toBe(401)
      for (const instance of [one, two]) {
        expect(await introspect(instance, late.body.access_token)).toEqual({ active: false })
        expectRefused(await instance.refresh(late.body.refresh_token), 'invalid_grant')
      }
    },
  )

  test('a grant of a moment later, in the same second, is not covered; one of that very moment is', async () => {
    const place = site()
    const world = await start(place)
    place.clock.now += 0.5
    const before = (await world.signInAndGetTokens({ scope: 'a' })).body
    await world.aat.revoke({ subject: 'alice' })
    place.clock.now += 0.001
    const after = (await world.signInAndGetTokens({ scope: 'a' })).body
    expect(claimsOf(after.access_token).iat).toBe(claimsOf(before.access_token).iat)
    expect((await world.call('/api/a', before.access_token)).status).toBe(401)
    expect((await world.call('/api/a', after.access_token)).status).toBe(200)
    expect(await introspect(world, before.access_token)).toEqual({ active: false })
    expect(await introspect(world, after.access_token)).toMatchObject({ active: true })
    expectRefused(await world.refresh(before.refresh_token), 'invalid_grant')
    expect((await world.refresh(after.refresh_token)).status).toBe(200)
  })

  test('a token without a grant of the same second counts as issued before; one of the next second does not', async () => {
    const place = site()
    const world = await start(place)
    place.clock.now += 0.5
    await world.aat.revoke({ clientId: CONFIDENTIAL.id })
    place.clock.now += 0.25
    const get = async () =>
      (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body.access_token
    expect((await world.call('/api/a', await get())).status).toBe(401)
    place.clock.now += 0.25
    expect((await world.call('/api/a', await get())).status).toBe(200)
  })
})

describe('families from before an epoch', () => {
  const strategies = [
    { issuance: 'keep', lifetime: 30 * DAY },
    { issuance: 'rotate', lifetime: 30 * DAY },
    { issuance: 'rotate-and-reset', lifetime: 30 * DAY },
  ] as const

  test.each(strategies)(
    'never get another token, up to the end of their lives: $issuance',
    async (policy) => {
      const place = site()
      const options = { clients: [clientWith(policy)] }
      const world = await start(place, options)
      const families = []
      // After the longest token and its margin, after a day, at the very end.
      const moments = [1, 361, 1000, DAY, 29 * DAY, 30 * DAY - 1]
      for (const _ of moments) families.push((await world.signInAndGetTokens({ scope: 'a' })).body)
      await world.aat.revoke({ subject: 'alice' })
      const began = place.clock.now
      for (const [index, moment] of moments.entries()) {
        place.clock.now = began + moment
        world.monotonic.advance(1)
        await world.tick()
        // One that starts only now learns of it from the store.
        const late = await start(place, options)
        for (const instance of [late, world])
          expectRefused(await instance.refresh(families[index].refresh_token), 'invalid_grant')
      }
      expect(world.eventsNamed('token.refreshed')).toEqual([])
    },
  )

  test('of a client with refresh tokens that live longer than the others’, too', async () => {
    const place = site()
    const world = await start(place, {
      clients: [clientWith({ issuance: 'rotate', lifetime: 90 * DAY })],
      refreshTokens: { lifetime: DAY },
    })
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    await world.aat.revoke({ subject: 'alice' })
    place.clock.advance(90 * DAY - 1)
    expectRefused(await world.refresh(body.refresh_token), 'invalid_grant')
  })

  test('a code from before is not redeemed, and the user can sign in anew', async () => {
    const place = site()
    const world = await start(place)
    const { code, verifier } = await world.authorize({ scope: 'a' })
    place.clock.advance(1)
    await world.aat.revoke({ subject: 'alice' })
    place.clock.advance(1)
    const redemption = { grant_type: 'authorization_code', code, code_verifier: verifier }
    expectRefused(await world.token({ ...redemption, redirect_uri: REDIRECT_URI }), 'invalid_grant')
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    expect((await world.call('/api/a', body.access_token)).status).toBe(200)
    expect((await world.refresh(body.refresh_token)).status).toBe(200)
  })

  test('are one entry of the log and no call of the grant store; lists leave them out, introspection knows', async () => {
    const place = site()
    const { stores, calls } = recordingStores(place.stores)
    const world = await start(place, {}, { stores })
    const bodies = []
    for (let index = 0; index < 5; index++) bodies.push((await world.signInAndGetTokens({ scope: 'a' })).body)
    const bob = (await world.signInAndGetTokens({ scope: 'a' }, {}, { as: 'bob' })).body
    calls.length = 0
    await world.aat.revoke({ subject: 'alice' })
    expect(calls.filter(({ store }) => store === 'grants')).toEqual([])
    expect(world.line.appended).toMatchObject([{ kind: 'subject', id: 'alice', notAfter: place.clock.now }])
    expect((await place.stores.grants.listFamilies({ subject: 'alice' })).families).toHaveLength(5)
    expect(await world.aat.grants.list({ subject: 'alice' })).toEqual({ grants: [], cursor: undefined })
    const listed = await world.aat.grants.list({ clientId: CONFIDENTIAL.id })
    expect(listed.grants.map(({ subject }) => subject)).toEqual(['bob'])
    for (const body of bodies) expect(await introspect(world, body.refresh_token)).toEqual({ active: false })
    expect((await world.refresh(bob.refresh_token)).status).toBe(200)
    // Use ends it in the store as well.
    expectRefused(await world.refresh(bodies[0].refresh_token), 'invalid_grant')
    expect((await place.stores.grants.listFamilies({ subject: 'alice' })).families).toHaveLength(4)
  })
})

describe('revoke before a moment', () => {
  test('FLT-030: ends what anybody was granted until then, and nothing that came later', async () => {
    const world = await startWorld()
    try {
      const old = await world.signInAndGetTokens({ scope: 'a' })
      world.clock.advance(10)
      const later = await world.signInAndGetTokens({ scope: 'a' }, {}, { as: 'bob' })
      await world.aat.revoke({ before: world.clock() - 5 })
      expect((await world.call('/api/a', old.body.access_token)).status).toBe(401)
      expect((await world.refresh(old.body.refresh_token)).body.error).toBe('invalid_grant')
      expect((await world.call('/api/a', later.body.access_token)).status).toBe(200)
      expect((await world.refresh(later.body.refresh_token)).status).toBe(200)
    } finally {
      await world.close()
    }
  })

  test('a moment in the future, or none, is a mistake', async () => {
    const world = await startWorld()
    try {
      for (const before of [world.clock() + 60, Number.NaN, '1', undefined])
        await expect(world.aat.revoke({ before } as never)).rejects.toThrow(TypeError)
    } finally {
      await world.close()
    }
  })
})
