import { describe, expect, test } from '@jest/globals'
import { type AatOptions, ConfigurationError, createAat, memoryStores } from '../../lib/index.ts'
import {
  CONFIDENTIAL,
  claimsOf,
  manualClock,
  REDIRECT_URI,
  startWorld,
  type World,
} from '../support/world.ts'
import { expectRefused, refreshTokens, startInstances, withWorld } from './instances.ts'

const KEEP = { issuance: 'keep', lifetime: 100, dangerouslyKeepForPublicClients: true } as const
const ROTATE = { issuance: 'rotate', lifetime: 100 } as const
const RESET = { issuance: 'rotate-and-reset', lifetime: 100 } as const

/** A family opened now, and refreshes of its newest token at seconds after that. */
async function open(world: World) {
  const { body } = await world.signInAndGetTokens({ scope: 'a' })
  const openedAt = world.clock.now
  let token: string = body.refresh_token
  return {
    openedAt,
    first: body,
    token: () => token,
    async refreshAt(seconds: number) {
      world.clock.now = openedAt + seconds
      const answer = await world.refresh(token)
      if (answer.status === 200) token = answer.body.refresh_token
      return answer
    },
    /** When the newest token ends, in seconds after the opening, as the answer tells it. */
    async endAfterRefreshAt(seconds: number): Promise<number> {
      const { status, body } = await this.refreshAt(seconds)
      expect(status).toBe(200)
      return seconds + body.refresh_token_expires_in
    },
  }
}

describe('the three strategies', () => {
  test('EXP-001: keep has a fixed end', () =>
    withWorld(refreshTokens(KEEP), async (world) => {
      const family = await open(world)
      expect(family.first.refresh_token_expires_in).toBe(100)
      for (const seconds of [10, 50, 99]) expect(await family.endAfterRefreshAt(seconds)).toBe(100)
      expect(family.token()).toBe(family.first.refresh_token)
      expectRefused(await family.refreshAt(100), 'invalid_grant')
      expectRefused(await family.refreshAt(101), 'invalid_grant')
    }))

  test('EXP-002: rotate leaves the end where it is', () =>
    withWorld(refreshTokens(ROTATE), async (world) => {
      const family = await open(world)
      expect(await family.endAfterRefreshAt(10)).toBe(100)
      expect(await family.endAfterRefreshAt(60)).toBe(100)
      expectRefused(await family.refreshAt(100), 'invalid_grant')
      expect((await world.aat.grants.list({ subject: 'alice' })).grants).toEqual([])
    }))

  test('rotate-and-reset begins anew each time, without end', () =>
    withWorld(refreshTokens(RESET), async (world) => {
      const family = await open(world)
      for (let seconds = 99; seconds < 1000; seconds += 99)
        expect(await family.endAfterRefreshAt(seconds)).toBe(seconds + 100)
      expectRefused(await family.refreshAt(99 * 10 + 100), 'invalid_grant')
    }))

  test('EXP-004: rotate-and-reset under a cap ends at 190, 250, 250', () =>
    withWorld(refreshTokens({ ...RESET, absoluteLifetime: 250 }), async (world) => {
      const family = await open(world)
      const ends = []
      for (const seconds of [90, 180, 240]) ends.push(await family.endAfterRefreshAt(seconds))
      expect(ends).toEqual([190, 250, 250])
      expectRefused(await family.refreshAt(250), 'invalid_grant')
    }))

  test('EXP-005: a retry in the grace window does not move the end a second time', () =>
    withWorld(refreshTokens(RESET), async (world) => {
      const family = await open(world)
      expect(await family.endAfterRefreshAt(90)).toBe(190)
      world.clock.now = family.openedAt + 95
      const retry = await world.refresh(family.first.refresh_token)
      expect(retry.body).toMatchObject({ refresh_token: family.token(), refresh_token_expires_in: 95 })
      expectRefused(await family.refreshAt(190), 'invalid_grant')
    }))
})

describe('the bound of access tokens', () => {
  // Here the cap on the family's age stands in for the end of a session: the same bound, the same arithmetic.
  test('EXP-011: an access token never outlives what bounds its family', () =>
    withWorld(refreshTokens({ ...RESET, absoluteLifetime: 400 }), async (world) => {
      const family = await open(world)
      const lives = [family.first]
      for (const seconds of [90, 180, 270, 360, 399]) lives.push((await family.refreshAt(seconds)).body)
      expect(lives.map(({ expires_in: expiresIn }) => expiresIn)).toEqual([300, 300, 220, 130, 40, 1])
      for (const { access_token: accessToken } of lives) {
        const { exp } = claimsOf(accessToken) as { exp: number }
        expect(exp).toBeLessThanOrEqual(family.openedAt + 400)
      }
      expectRefused(await family.refreshAt(399.5), 'invalid_grant')
    }))

  test('EXP-011: with a cap that is no whole second', () =>
    withWorld(refreshTokens({ ...ROTATE, lifetime: 1000, absoluteLifetime: 40 }), async (world) => {
      world.clock.now += 0.25
      const family = await open(world)
      const { body } = await family.refreshAt(37.5)
      expect(body.expires_in).toBe(2)
      expect(body.refresh_token_expires_in).toBe(2)
      expect((claimsOf(body.access_token) as { exp: number }).exp).toBeLessThanOrEqual(family.openedAt + 40)
    }))

  test('the first access token is bounded as well', () =>
    withWorld(refreshTokens({ ...ROTATE, absoluteLifetime: 40 }), async (world) => {
      const { body } = await world.signInAndGetTokens({ scope: 'a' })
      expect(body).toMatchObject({ expires_in: 40, refresh_token_expires_in: 40 })
    }))

  test('without a cap an access token may outlive the refresh token, which is over on its own', () =>
    withWorld(refreshTokens(ROTATE), async (world) => {
      const family = await open(world)
      const { body } = await family.refreshAt(99)
      expect(body).toMatchObject({ expires_in: 300, refresh_token_expires_in: 1 })
      world.clock.now = family.openedAt + 200
      expect((await world.call('/api/a', body.access_token)).status).toBe(200)
    }))
})

describe('the configuration', () => {
  const create = (options: Partial<AatOptions>) =>
    createAat({
      issuer: 'https://as.example',
      resources: { 'https://as.example/api': { scopes: ['a'] } },
      every: () => () => undefined,
      ...options,
    })
  const wrong = [
    0,
    -1,
    -0.5,
    1.5,
    2 ** 31 + 1,
    2 ** 53,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    '100',
    null,
    new Date(),
  ]

  test.each(wrong)('EXP-016: a lifetime or cap of %p is refused at start', (value) => {
    for (const name of ['lifetime', 'absoluteLifetime']) {
      const options = { [name]: value } as NonNullable<AatOptions['refreshTokens']>
      expect(() => create({ refreshTokens: options })).toThrow(ConfigurationError)
      expect(() => create({ refreshTokens: options })).toThrow(new RegExp(`refreshTokens\\.${name}`))
      const client = { clientId: 'c', redirectUris: ['https://c.example/cb'], refreshTokens: options }
      expect(() => create({ clients: [client] })).toThrow(
        new RegExp(`clients\\[0\\]\\.refreshTokens\\.${name}`),
      )
    }
  })

  test('EXP-016: 2^31 seconds work without overflow', () =>
    withWorld(refreshTokens({ ...RESET, lifetime: 2 ** 31, absoluteLifetime: 2 ** 31 }), async (world) => {
      const family = await open(world)
      expect(family.first.refresh_token_expires_in).toBe(2 ** 31)
      const { body } = await family.refreshAt(1000)
      expect(body).toMatchObject({ refresh_token_expires_in: 2 ** 31 - 1000, expires_in: 300 })
    }))

  test('keep for a public client is refused, unless it is allowed by name', () => {
    const clients = [{ clientId: 'c', redirectUris: ['https://c.example/cb'] }]
    expect(() => create({ clients, refreshTokens: KEEP })).not.toThrow()
    expect(() => create({ clients, refreshTokens: { issuance: 'keep' } })).toThrow(/RFC 9700 section 2\.2\.2/)
    const own = [{ ...clients[0], clientId: 'c', refreshTokens: { issuance: 'keep' as const } }]
    expect(() => create({ clients: own })).toThrow(/clients\[0\]: refresh tokens that are kept/)
  })
})

describe('a configuration that changes', () => {
  const client = (over: NonNullable<AatOptions['clients']>[number]['refreshTokens'] = {}) => ({
    clients: [
      {
        clientId: CONFIDENTIAL.id,
        clientSecret: CONFIDENTIAL.secret,
        redirectUris: [REDIRECT_URI],
        refreshTokens: over,
      },
    ],
  })

  test('EXP-022: keep → rotate: the next refresh of an old family rotates, its end stays', async () => {
    const server = await startInstances(1, { aat: client({ issuance: 'keep', lifetime: 100 }) })
    const family = await open(server.worlds[0])
    await family.refreshAt(20)
    const rotating = await server.start({ aat: client(ROTATE) })
    server.clock.now = family.openedAt + 60
    const { body } = await rotating.refresh(family.first.refresh_token)
    expect(body.refresh_token).not.toBe(family.first.refresh_token)
    expect(body.refresh_token_expires_in).toBe(40)
    server.clock.advance(10)
    expectRefused(await rotating.refresh(family.first.refresh_token), 'invalid_grant')
    expect(rotating.eventsNamed('refresh_token.reused')).toHaveLength(1)
    await server.close()
  })

  test('EXP-023: rotate → keep: the current token keeps working, a spent one is still reuse', async () => {
    const server = await startInstances(1, { aat: client(ROTATE) })
    const family = await open(server.worlds[0])
    await family.refreshAt(20)
    const keeping = await server.start({ aat: client({ issuance: 'keep', lifetime: 100 }) })
    server.clock.now = family.openedAt + 60
    for (let time = 0; time < 3; time++) {
      const { body } = await keeping.refresh(family.token())
      expect(body).toMatchObject({ refresh_token: family.token(), refresh_token_expires_in: 40 })
    }
    expectRefused(await keeping.refresh(family.first.refresh_token), 'invalid_grant')
    expectRefused(await keeping.refresh(family.token()), 'invalid_grant')
    await server.close()
  })

  test('EXP-025: each client obeys its own lifetime', () =>
    withWorld(
      {
        clients: [
          {
            clientId: CONFIDENTIAL.id,
            clientSecret: CONFIDENTIAL.secret,
            redirectUris: [REDIRECT_URI],
            refreshTokens: { lifetime: 10 },
          },
          { clientId: 'public', redirectUris: [REDIRECT_URI], refreshTokens: { lifetime: 100 } },
        ],
        refreshTokens: { lifetime: 50 },
      },
      async (world) => {
        const short = (await world.signInAndGetTokens({ scope: 'a' })).body
        const { code, verifier } = await world.authorize({ client_id: 'public', scope: 'a' })
        const redemption = {
          grant_type: 'authorization_code',
          code,
          code_verifier: verifier,
          redirect_uri: REDIRECT_URI,
        }
        const long = (await world.token({ ...redemption, client_id: 'public' })).body
        expect([short.refresh_token_expires_in, long.refresh_token_expires_in]).toEqual([10, 100])
        world.clock.advance(10)
        expectRefused(await world.refresh(short.refresh_token), 'invalid_grant')
        world.clock.advance(89)
        const { body } = await world.refresh(long.refresh_token, { client_id: 'public' })
        expect(body.refresh_token_expires_in).toBe(1)
        world.clock.advance(1)
        expectRefused(await world.refresh(body.refresh_token, { client_id: 'public' }), 'invalid_grant')
      },
    ))
})

describe('clocks', () => {
  test.each([3600, -3600])(
    'EXP-019: an instance whose clock is %d s off sees families as the store’s clock does',
    async (skew) => {
      const clock = manualClock()
      const wrongClock = Object.assign(() => clock.now + skew, { now: 0, advance: () => undefined })
      const stores = memoryStores({ clock })
      const aat = refreshTokens({ ...RESET, grace: 10 })
      const right = await startWorld({ stores, clock, aat })
      const skewed = await startWorld({ stores, clock: wrongClock, issuer: right.issuer, aat })
      const { body: first } = await right.signInAndGetTokens({ scope: 'a' })
      clock.advance(90)
      const { status, body: second } = await skewed.refresh(first.refresh_token)
      expect({ status, expires: second.refresh_token_expires_in }).toEqual({ status: 200, expires: 100 })
      clock.advance(9)
      expect((await skewed.refresh(first.refresh_token)).body.refresh_token).toBe(second.refresh_token)
      clock.advance(90)
      const { body: third } = await skewed.refresh(second.refresh_token)
      expect(third.refresh_token_expires_in).toBe(100)
      clock.advance(100)
      expectRefused(await skewed.refresh(third.refresh_token), 'invalid_grant')
      await skewed.close()
      await right.close()
    },
  )

  test('EXP-020: a clock that jumps back an hour prolongs nothing and opens no grace window again', () =>
    withWorld(refreshTokens({ ...RESET, absoluteLifetime: 250 }), async (world) => {
      const family = await open(world)
      expect(await family.endAfterRefreshAt(90)).toBe(190)
      world.clock.now = family.openedAt + 90 - 3600
      const { body } = await world.refresh(family.token())
      // As if it were still second 90.
      expect(body.refresh_token_expires_in).toBe(100)
      world.clock.now = family.openedAt + 190
      expectRefused(await world.refresh(body.refresh_token), 'invalid_grant')
    }))

  test('EXP-020: nor for a token that was spent before the jump', () =>
    withWorld(refreshTokens({ ...ROTATE, grace: 10 }), async (world) => {
      const family = await open(world)
      await family.refreshAt(20)
      await family.refreshAt(40)
      world.clock.now = family.openedAt + 21
      expectRefused(await world.refresh(family.first.refresh_token), 'invalid_grant')
      expectRefused(await world.refresh(family.token()), 'invalid_grant')
      expect(world.eventsNamed('refresh_token.reused')).toHaveLength(1)
    }))
})
