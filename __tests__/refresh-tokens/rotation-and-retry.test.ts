import { describe, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { CONFIDENTIAL, claimsOf, manualClock, PUBLIC, startWorld } from '../support/world.ts'
import {
  expectDead,
  expectRefused,
  refreshTokens,
  runningTwice,
  startInstances,
  withWorld,
} from './instances.ts'

const scope = 'a b c'

describe('rotation', () => {
  test('RTK-001: a refresh returns a new token and spends the old one', () =>
    withWorld({}, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { status, body: second, headers } = await world.refresh(first.refresh_token)
      expect(status).toBe(200)
      expect(headers.get('cache-control')).toBe('no-store')
      expect(Object.keys(second).sort()).toEqual([
        'access_token',
        'expires_in',
        'refresh_token',
        'refresh_token_expires_in',
        'scope',
        'token_type',
      ])
      expect(second.refresh_token).toMatch(/^aat_rt_[A-Za-z0-9_-]{91}$/)
      expect(second.refresh_token).not.toBe(first.refresh_token)
      const [before, after] = [claimsOf(first.access_token), claimsOf(second.access_token)]
      expect(after.jti).not.toBe(before.jti)
      for (const claim of ['iss', 'sub', 'aud', 'client_id', 'scope', 'auth_time', 'grant_id'])
        expect(after[claim]).toEqual(before[claim])
      world.clock.advance(11)
      await expectDead(world, { refresh: [first.refresh_token, second.refresh_token] })
    }))

  test('RTK-002: keep returns the same token, which works 300 times (of 1,000) until it expires', () =>
    withWorld(
      refreshTokens({ issuance: 'keep', lifetime: 1000, dangerouslyKeepForPublicClients: true }),
      async (world) => {
        const { body } = await world.signInAndGetTokens({ scope })
        const jtis = new Set<unknown>()
        for (let time = 0; time < 300; time++) {
          world.clock.advance(3)
          const answer = await world.refresh(body.refresh_token)
          expect(answer.body).toMatchObject({
            refresh_token: body.refresh_token,
            refresh_token_expires_in: 1000 - 3 * (time + 1),
          })
          jtis.add(claimsOf(answer.body.access_token).jti)
        }
        expect(jtis.size).toBe(300)
        world.clock.advance(100)
        expectRefused(await world.refresh(body.refresh_token), 'invalid_grant')
      },
    ))
})

describe('retry and reuse', () => {
  test('RTK-004: a retry after the grace window is reuse, and the family is dead', () =>
    withWorld({}, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token)
      expect((await world.call('/api/a', second.access_token)).status).toBe(200)
      world.clock.advance(10.001)
      expectRefused(await world.refresh(first.refresh_token), 'invalid_grant')
      const grantId = claimsOf(first.access_token).grant_id
      expect(world.eventsNamed('refresh_token.reused')).toEqual([
        expect.objectContaining({ clientId: CONFIDENTIAL.id, subject: 'alice', grantId }),
      ])
      await expectDead(world, {
        refresh: [second.refresh_token, first.refresh_token],
        access: [first.access_token, second.access_token],
      })
      expect(world.eventsNamed('refresh_token.reused')).toHaveLength(1)
      expect(JSON.stringify(world.events)).not.toContain('aat_rt_')
    }))

  test('RTK-004: with a grace of 0 the second use is reuse at once', () =>
    withWorld(refreshTokens({ grace: 0 }), async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token)
      await expectDead(world, {
        refresh: [first.refresh_token, second.refresh_token],
        access: [second.access_token],
      })
    }))

  test('RTK-005: the grace window is for the immediate predecessor only', () =>
    withWorld(refreshTokens({ grace: 30 }), async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token)
      world.clock.advance(1)
      const { body: third } = await world.refresh(second.refresh_token)
      await expectDead(world, {
        refresh: [first.refresh_token, third.refresh_token, second.refresh_token],
        access: [first.access_token, second.access_token, third.access_token],
      })
      expect(world.eventsNamed('refresh_token.reused')).toHaveLength(1)
    }))

  test('RTK-007: the grace window counts from the first use and does not slide', () =>
    withWorld(refreshTokens({ grace: 10 }), async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token)
      world.clock.advance(8)
      const retry = await world.refresh(first.refresh_token)
      expect(retry.status).toBe(200)
      expect(retry.body.refresh_token).toBe(second.refresh_token)
      expect(world.eventsNamed('token.retried')).toHaveLength(1)
      world.clock.advance(3)
      await expectDead(world, { refresh: [first.refresh_token, second.refresh_token] })
      expect(world.eventsNamed('refresh_token.reused')).toHaveLength(1)
    }))

  test.each(['rotate', 'rotate-and-reset'] as const)(
    'RTK-008: under %s a token that expired within its grace window is refused and revives nothing',
    (issuance) =>
      withWorld(refreshTokens({ issuance, lifetime: 100, grace: 10 }), async (world) => {
        const { body: first } = await world.signInAndGetTokens({ scope })
        world.clock.advance(99)
        const { body: second } = await world.refresh(first.refresh_token)
        expect(second.refresh_token_expires_in).toBe(issuance === 'rotate' ? 1 : 100)
        world.clock.advance(2)
        expectRefused(await world.refresh(first.refresh_token), 'invalid_grant')
        const successor = await world.refresh(second.refresh_token)
        expect(successor.status).toBe(issuance === 'rotate' ? 400 : 200)
      }),
  )

  test('RTK-016: a driver that runs the refresh twice gives the successor, and the family lives', async () => {
    const clock = manualClock()
    const stores = runningTwice(memoryStores({ clock }), 'refresh')
    await withWorld(
      refreshTokens({ grace: 0 }),
      async (world) => {
        let { body } = await world.signInAndGetTokens({ scope })
        for (let time = 0; time < 5; time++) {
          const answer = await world.refresh(body.refresh_token)
          expect(answer.status).toBe(200)
          body = answer.body
        }
        expect(world.eventsNamed('refresh_token.reused')).toEqual([])
        expect(world.eventsNamed('token.retried')).toEqual([])
      },
      { stores, clock },
    )
  })

  test('RTK-016: the same of the redemption of a code', async () => {
    const clock = manualClock()
    const stores = runningTwice(memoryStores({ clock }), 'redeemCode')
    await withWorld(
      {},
      async (world) => {
        const { status, body } = await world.signInAndGetTokens({ scope })
        expect(status).toBe(200)
        expect((await world.refresh(body.refresh_token)).status).toBe(200)
        expect(world.eventsNamed('code.reused')).toEqual([])
      },
      { stores, clock },
    )
  })

  test('RTK-017: a restart of every instance does not forget that a token is spent', async () => {
    const server = await startInstances(2)
    try {
      const [one, two] = server.worlds
      const { body: first } = await one.signInAndGetTokens({ scope })
      const { body: second } = await (two as typeof one).refresh(first.refresh_token)
      await server.close()
      server.clock.advance(11)
      const restarted = await server.start()
      expectRefused(await restarted.refresh(first.refresh_token), 'invalid_grant')
      expect(restarted.eventsNamed('refresh_token.reused')).toHaveLength(1)
      await expectDead(restarted, { refresh: [second.refresh_token], access: [second.access_token] })
    } finally {
      await server.worlds.at(-1)?.close()
    }
  })

  test('RTK-017: nor do instances that were there already: one replays, the others refuse its access tokens', async () => {
    const server = await startInstances(3)
    const [one, two, three] = server.worlds as [
      (typeof server.worlds)[0],
      (typeof server.worlds)[0],
      (typeof server.worlds)[0],
    ]
    const { body: first } = await one.signInAndGetTokens({ scope })
    const { body: second } = await two.refresh(first.refresh_token)
    expect((await three.call('/api/a', second.access_token)).status).toBe(200)
    server.clock.advance(10)
    expectRefused(await one.refresh(first.refresh_token), 'invalid_grant')
    for (const world of server.worlds)
      await expectDead(world, {
        refresh: [second.refresh_token],
        access: [first.access_token, second.access_token],
      })
    await server.close()
  })

  test.each<[string, Record<string, string>]>([
    ['a resource outside the grant', { resource: 'https://evil.example/' }],
    ['a malformed resource', { resource: 'not a uri#' }],
    ['a scope outside the grant', { scope: 'a nothing' }],
    ['a malformed scope', { scope: 'a  b"' }],
  ])('RTK-025: reuse is seen with %s beside the spent token', (_, parameters) =>
    withWorld({}, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token)
      world.clock.advance(11)
      expectRefused(await world.refresh(first.refresh_token, parameters), 'invalid_grant')
      expect(world.eventsNamed('refresh_token.reused')).toHaveLength(1)
      await expectDead(world, { refresh: [second.refresh_token], access: [second.access_token] })
    }),
  )

  test('RTK-025: reuse is seen where the app’s hooks would refuse, too', () =>
    withWorld({ isSubjectActive: () => active, claims: () => ({}) }, async (world) => {
      active = true
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token)
      world.clock.advance(11)
      active = false
      expectRefused(await world.refresh(first.refresh_token), 'invalid_grant')
      expect(world.eventsNamed('refresh_token.reused')).toHaveLength(1)
      active = true
      await expectDead(world, { refresh: [second.refresh_token] })
    }))

  test('RTK-025: but not before the client is authenticated', () =>
    withWorld({}, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token)
      world.clock.advance(11)
      const stranger = await world.token({
        grant_type: 'refresh_token',
        refresh_token: first.refresh_token,
        client_id: CONFIDENTIAL.id,
        client_secret: 'a-wrong-secret-of-the-test-suite',
      })
      expectRefused(stranger, 'invalid_client', 401)
      expect((await world.refresh(second.refresh_token)).status).toBe(200)
    }))

  test('RTK-038: a retry with another scope or resource is served within the grant', () =>
    withWorld({}, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope })
      const { body: second } = await world.refresh(first.refresh_token, { scope: 'a' })
      expect(second.scope).toBe('a')
      const retry = await world.refresh(first.refresh_token, { scope: 'b c', resource: world.resource })
      expect(retry.body).toMatchObject({ scope: 'b c', refresh_token: second.refresh_token })
      expectRefused(await world.refresh(first.refresh_token, { scope: 'a x' }), 'invalid_scope')
      expectRefused(
        await world.refresh(first.refresh_token, { resource: world.otherResource }),
        'invalid_target',
      )
      const again = await world.refresh(second.refresh_token)
      expect(again.body.scope).toBe('a b c')
    }))
})

describe('secrets that rotate', () => {
  const [older, newer] = ['the-older-secret-'.repeat(3), 'the-newer-secret-'.repeat(3)]

  test('a token of the older secret is refreshed, and retried on instances of before and after', async () => {
    const server = await startInstances(1, { aat: { secrets: [older, newer] } })
    const [before] = server.worlds
    const after = await server.start({ aat: { secrets: [newer, older] } })
    const { body: first } = await before.signInAndGetTokens({ scope })
    const { body: second } = await after.refresh(first.refresh_token)
    const retries = [await before.refresh(first.refresh_token), await after.refresh(first.refresh_token)]
    for (const retry of retries) expect(retry.body.refresh_token).toBe(second.refresh_token)
    const { body: third } = await before.refresh(second.refresh_token)
    expect((await after.refresh(third.refresh_token)).status).toBe(200)
    await server.close()
  })

  test('an instance without the secret of the successor answers 503 to the retry, and ends nothing', async () => {
    const server = await startInstances(1, { aat: { secrets: [older, newer] } })
    const [withBoth] = server.worlds
    const { body: first } = await withBoth.signInAndGetTokens({ scope })
    const promoted = await startWorld({
      aat: { secrets: [newer, older] },
      stores: server.stores,
      clock: server.clock,
      issuer: withBoth.issuer,
    })
    const left = await startWorld({
      aat: { secrets: [older] },
      stores: { ...server.stores, ring: memoryStores({ clock: server.clock }).ring },
      clock: server.clock,
      issuer: withBoth.issuer,
    })
    const { body: second } = await promoted.refresh(first.refresh_token)
    const retry = await left.refresh(first.refresh_token)
    expectRefused(retry, 'temporarily_unavailable', 503)
    expect(retry.headers.get('retry-after')).toMatch(/^\d+$/)
    expect((await promoted.refresh(second.refresh_token)).status).toBe(200)
    for (const world of [promoted, left]) await world.close()
    await server.close()
  })
})

test('a public client rotates the same way, by its client_id', () =>
  withWorld({}, async (world) => {
    const { code, verifier } = await world.authorize({ client_id: PUBLIC.id, scope })
    const { body: first } = await world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: 'https://client.example/cb',
      client_id: PUBLIC.id,
    })
    const { body: second } = await world.refresh(first.refresh_token, { client_id: PUBLIC.id })
    expect(second.refresh_token).not.toBe(first.refresh_token)
    world.clock.advance(10)
    expectRefused(await world.refresh(first.refresh_token, { client_id: PUBLIC.id }), 'invalid_grant')
    expectRefused(await world.refresh(second.refresh_token, { client_id: PUBLIC.id }), 'invalid_grant')
  }))

let active = true
