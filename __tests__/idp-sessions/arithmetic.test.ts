import { describe, expect, test } from '@jest/globals'
import { expectRefused, withWorld } from '../refresh-tokens/instances.ts'
import { claimsOf, REDIRECT_URI, type World } from '../support/world.ts'
import { bound, clients, IDP, publicTokens, sessionOf, signedIn } from './sessions.ts'

const ISSUANCES = ['keep', 'rotate', 'rotate-and-reset'] as const

/** A family whose session ends so many seconds after now, and refreshes of its newest token. */
async function open(world: World, s: number | undefined) {
  const openedAt = world.clock.now
  signedIn(world, sessionOf(world, 'one', s, 'idp-alice'))
  const first = await world.signInAndGetTokens({ scope: 'a' })
  let token: string = first.body.refresh_token
  return {
    openedAt,
    first,
    token: () => token,
    async refreshAt(seconds: number) {
      world.clock.now = openedAt + seconds
      const answer = await world.refresh(token)
      if (answer.status === 200) token = answer.body.refresh_token
      return answer
    },
  }
}

/** What an answer says of its tokens: how long they live, where the access token’s own claim says the same. */
function livesOf({ status, body }: Awaited<ReturnType<World['refresh']>>, world: World) {
  if (status !== 200) return body.error
  const { exp, iat } = claimsOf(body.access_token) as { exp: number; iat: number }
  expect(exp - iat).toBe(body.expires_in)
  expect(exp).toBeLessThanOrEqual(world.clock.now + body.expires_in)
  return [body.expires_in, body.refresh_token_expires_in]
}

describe('the cells of the table', () => {
  const over = 'invalid_grant'
  const cells: [string, number, number | undefined, Record<number, unknown>][] = [
    ['S before L', 40, undefined, { 0: [40, 40], 10: [30, 30], 39: [1, 1], 39.25: over, 40: over }],
    ['S after L', 500, undefined, { 0: [300, 500], 99: [300, 401], 250: [250, 250], 499: [1, 1], 500: over }],
    ['S after A', 500, 350, { 0: [300, 350], 99: [251, 251], 349: [1, 1], 350: over }],
    ['S before A', 500, 700, { 0: [300, 500], 150: [300, 350], 499: [1, 1], 500: over, 501: over }],
    ['S no whole second away', 40.75, undefined, { 0: [40, 40], 10: [30, 30], 39.5: [1, 1], 40: over }],
  ]
  for (const issuance of ISSUANCES)
    test.each(cells)(
      `${issuance}, %s: expires_in and refresh_token_expires_in are true`,
      (_, s, a, answers) =>
        withWorld(bound({ issuance, absoluteLifetime: a }), async (world) => {
          const family = await open(world, s)
          const times = Object.keys(answers)
            .map(Number)
            .sort((one, two) => one - two)
          for (const seconds of times) {
            const answer = seconds === 0 ? family.first : await family.refreshAt(seconds)
            expect([seconds, livesOf(answer, world)]).toEqual([seconds, answers[seconds]])
          }
          expect(family.token() === family.first.body.refresh_token).toBe(issuance === 'keep')
        }),
    )

  test('EXP-007: the end of the session bounds rotate: ok at 39, over at 40', () =>
    withWorld(bound({ issuance: 'rotate' }), async (world) => {
      const family = await open(world, 40)
      expect((await family.refreshAt(39)).status).toBe(200)
      expectRefused(await family.refreshAt(40), 'invalid_grant')
    }))

  test('EXP-008: the end of the session bounds rotate-and-reset: at 30 the end is 40, not 130', () =>
    withWorld(bound({ issuance: 'rotate-and-reset' }), async (world) => {
      const family = await open(world, 40)
      expect((await family.refreshAt(30)).body.refresh_token_expires_in).toBe(10)
      expectRefused(await family.refreshAt(40), 'invalid_grant')
    }))

  test('EXP-011: an access token never outlives the session: exp and expires_in', () =>
    withWorld(bound(), async (world) => {
      const { first, openedAt } = await open(world, 40)
      expect(first.body.expires_in).toBe(40)
      expect(claimsOf(first.body.access_token).exp).toBe(openedAt + 40)
      world.clock.now = openedAt + 39
      expect((await world.call('/api/a', first.body.access_token)).status).toBe(200)
      // A guard allows for clocks that differ by five seconds.
      world.clock.now = openedAt + 45
      expect((await world.call('/api/a', first.body.access_token)).status).toBe(401)
    }))

  test('EXP-011: also of a client that has no refresh tokens, and with an end of the session that was said since', () =>
    withWorld(bound({}, clients({ grantTypes: ['authorization_code'] })), async (world) => {
      const { first } = await open(world, 40)
      expect(first.body).toMatchObject({ expires_in: 40 })
      expect(first.body).not.toHaveProperty('refresh_token')
      expect(world.eventsNamed('refresh_token.withheld')).toEqual([])
      await world.aat.idpSessions.update({ issuer: IDP, sid: 'one', expiresAt: world.clock.now + 20 })
      expect((await world.signInAndGetTokens({ scope: 'a' })).body.expires_in).toBe(20)
      await world.aat.idpSessions.end({ issuer: IDP, sid: 'one' })
      expect((await world.call('/api/a', first.body.access_token)).status).toBe(401)
    }))
})

describe('near the end', () => {
  /** A code for a session that ends so many seconds after now, and its redemption some seconds later. */
  async function redemptionAfter(world: World, s: number, seconds: number) {
    signedIn(world, sessionOf(world, 'one', s))
    const { code, verifier } = await world.authorize({ scope: 'a' })
    world.clock.advance(seconds)
    return () =>
      world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      })
  }

  test('TOK-010: with 0.4 s of the session left a code is refused, never answered with expires_in 0', () =>
    withWorld(bound(), async (world) => {
      const redeem = await redemptionAfter(world, 10.4, 10)
      expectRefused(await redeem(), 'invalid_grant')
      expect(world.eventsNamed('token.issued')).toEqual([])
    }))

  test('TOK-010: and so is a refresh, which consumes nothing', () =>
    withWorld(bound(), async (world) => {
      const family = await open(world, 10.4)
      expectRefused(await family.refreshAt(10), 'invalid_grant')
      expect(world.eventsNamed('token.refreshed')).toEqual([])
      await world.aat.idpSessions.update({ issuer: IDP, sid: 'one', expiresAt: world.clock.now + 60 })
      expect((await family.refreshAt(20)).body.refresh_token_expires_in).toBe(50)
    }))

  test('EXP-013: S passes between the code and its redemption: 400, nothing stored, the code not consumed', () =>
    withWorld(bound(), async (world) => {
      const redeem = await redemptionAfter(world, 10, 11)
      expectRefused(await redeem(), 'invalid_grant')
      expect((await world.aat.grants.list({ subject: 'alice' })).grants).toEqual([])
      await world.aat.idpSessions.update({ issuer: IDP, sid: 'one', expiresAt: world.clock.now + 60 })
      expect((await redeem()).body).toMatchObject({ expires_in: 60, refresh_token_expires_in: 60 })
    }))

  test('EXP-013: S is past when the client asks: no code at all', () =>
    withWorld(bound(), async (world) => {
      signedIn(world, sessionOf(world, 'one', -1))
      const { parameters } = await world.authorize({ scope: 'a', prompt: 'none' })
      expect(parameters).toMatchObject({ error: 'login_required' })
      expect(world.eventsNamed('authorization.granted')).toEqual([])
    }))
})

describe('what resolveUser may say', () => {
  test.each([
    Number.NaN,
    'tomorrow',
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    new Date(),
    null,
    0,
    -1,
    '1800000100',
    1_800_000_100_000,
    {},
    true,
    [[1_800_000_100]],
  ])('EXP-014: an end of %p is a fault of the app: nothing is issued', (expiresAt: unknown) =>
    withWorld(bound(), async (world) => {
      signedIn(world, { issuer: IDP, sid: 'one', expiresAt })
      const { parameters } = await world.authorize({ scope: 'a' })
      expect(parameters).toMatchObject({ error: 'server_error', state: 'the-state' })
      expect(world.eventsNamed('fault')).toHaveLength(1)
      expect(world.eventsNamed('authorization.granted')).toEqual([])
      expect(JSON.stringify(parameters)).not.toContain('idpSession')
    }),
  )

  const wrongSessions: unknown[] = [
    'a text',
    1,
    true,
    null,
    [],
    {},
    { issuer: IDP },
    { sid: 'one' },
    { issuer: IDP, sid: '' },
    { issuer: '', sid: 'one' },
    { issuer: IDP, sid: 7 },
    { issuer: new URL(IDP), sid: 'one' },
    { issuer: IDP, sid: 'x'.repeat(511) },
    { issuer: IDP, sid: '\ud800' },
    { issuer: IDP, sid: 'one', subject: '' },
    { issuer: IDP, sid: 'one', subject: 7 },
    { issuer: IDP, sid: 'one', subject: null },
  ]
  test.each(wrongSessions.map((session) => ({ session })))(
    'a session $session is a fault of the app too',
    ({ session }) =>
      withWorld(bound(), async (world) => {
        signedIn(world, session)
        expect((await world.authorize({ scope: 'a' })).parameters).toMatchObject({ error: 'server_error' })
        expect(world.eventsNamed('fault')).toHaveLength(1)
      }),
  )

  test.each([
    ['no session', undefined],
    ['a session without an end', { issuer: IDP, sid: 'one' }],
    ['one whose end is undefined', { issuer: IDP, sid: 'one', expiresAt: undefined, subject: undefined }],
  ])('EXP-014: %s: no refresh token, an access token as configured, and an event', (_, idpSession) =>
    withWorld(bound(), async (world) => {
      signedIn(world, idpSession)
      const { status, body } = await world.signInAndGetTokens({ scope: 'a' })
      expect(status).toBe(200)
      expect(body).not.toHaveProperty('refresh_token')
      expect(body).not.toHaveProperty('refresh_token_expires_in')
      expect(body.expires_in).toBe(300)
      expect(world.eventsNamed('refresh_token.withheld')).toMatchObject([
        { clientId: 'confidential', subject: 'alice', reason: 'idp_session_end_unknown' },
      ])
      expect((await world.call('/api/a', body.access_token)).status).toBe(200)
      expect((await world.aat.grants.list({ subject: 'alice' })).grants).toEqual([])
    }),
  )

  test.each(ISSUANCES)(
    'EXP-014: %s, use-lifetime: undefined is unbounded, by the lifetime alone',
    (issuance) =>
      withWorld(bound({ issuance, whenIdpSessionEndUnknown: 'use-lifetime' }), async (world) => {
        const family = await open(world, undefined)
        expect(livesOf(family.first, world)).toEqual([300, 100])
        const end = issuance === 'rotate-and-reset' ? 100 : 10
        expect(livesOf(await family.refreshAt(90), world)).toEqual([300, end])
        expectRefused(await family.refreshAt(190), 'invalid_grant')
        expect(world.eventsNamed('refresh_token.withheld')).toEqual([])
      }),
  )

  test('use-lifetime: as soon as the end of the session is known, that is what counts', () =>
    withWorld(bound({ whenIdpSessionEndUnknown: 'use-lifetime' }), async (world) => {
      const family = await open(world, undefined)
      await world.aat.idpSessions.update({ issuer: IDP, sid: 'one', expiresAt: family.openedAt + 250 })
      expect(livesOf(await family.refreshAt(20), world)).toEqual([230, 230])
      // What was said there is kept, past the lifetime.
      expect(livesOf(await family.refreshAt(150), world)).toEqual([100, 100])
      expectRefused(await family.refreshAt(250), 'invalid_grant')
    }))

  test('use-lifetime: also where the lifetime of the family was over when that was said', () =>
    withWorld(bound({ whenIdpSessionEndUnknown: 'use-lifetime' }), async (world) => {
      const family = await open(world, undefined)
      expectRefused(await family.refreshAt(150), 'invalid_grant')
      await world.aat.idpSessions.update({ issuer: IDP, sid: 'one', expiresAt: family.openedAt + 250 })
      expect(livesOf(await family.refreshAt(160), world)).toEqual([90, 90])
    }))

  test('an end further away than `longest` counts as one at that distance, as the answer tells', () =>
    withWorld(bound({}, { idpSessions: { longest: 1000 } }), async (world) => {
      const family = await open(world, 5000)
      expect(family.first.body.refresh_token_expires_in).toBe(1000)
      expect(livesOf(await family.refreshAt(900), world)).toEqual([100, 100])
      await world.aat.idpSessions.update({ issuer: IDP, sid: 'one', expiresAt: family.openedAt + 5000 })
      // A thousand seconds from when that was said.
      expect(livesOf(await family.refreshAt(950), world)).toEqual([300, 950])
      expectRefused(await family.refreshAt(1900), 'invalid_grant')
    }))

  test('a provider whose clock is two minutes off gives that much more or less', () =>
    withWorld(bound(), async (world) => {
      for (const skew of [120, -120]) {
        // The provider means an hour.
        signedIn(world, { issuer: IDP, sid: `skew ${skew}`, expiresAt: world.clock.now + skew + 3600 })
        const { body } = await world.signInAndGetTokens({ scope: 'a' })
        expect(body.refresh_token_expires_in).toBe(3600 + skew)
      }
    }))
})

describe('claims', () => {
  test('sid and idp_sub are hashes, and only there where the session bounds', () =>
    withWorld(bound({}, clients({}, { refreshTokens: { boundToIdpSession: false } })), async (world) => {
      const family = await open(world, 400)
      const second = await family.refreshAt(10)
      const [one, two] = [family.first, second].map(({ body }) => claimsOf(body.access_token))
      const hash = expect.stringMatching(/^[\w-]{22}$/)
      expect(one).toMatchObject({ sid: hash, idp_sub: hash })
      expect(one?.sid).not.toBe(one?.idp_sub)
      expect([two?.sid, two?.idp_sub]).toEqual([one?.sid, one?.idp_sub])
      expect(JSON.stringify(one)).not.toMatch(/idp-alice|idp\.example/)
      const { body } = await publicTokens(world)
      expect(body.refresh_token_expires_in).toBe(100)
      expect(Object.keys(claimsOf(body.access_token))).not.toEqual(expect.arrayContaining(['sid']))
      expect(Object.keys(claimsOf(body.access_token))).not.toEqual(expect.arrayContaining(['idp_sub']))
    }))

  test('a user without a session, or without a name there, has no such claim', () =>
    withWorld(bound(), async (world) => {
      const claims = async () => claimsOf((await world.signInAndGetTokens({ scope: 'a' })).body.access_token)
      expect(await claims()).not.toHaveProperty('sid')
      signedIn(world, sessionOf(world, 'one', 100))
      const named = await claims()
      expect(named).toHaveProperty('sid')
      expect(named).not.toHaveProperty('idp_sub')
    }))

  test.each(['sid', 'idp_sub'])('a hook cannot set %s', (name) =>
    withWorld(bound({}, { claims: () => ({ [name]: 'of another' }) }), async (world) => {
      signedIn(world, sessionOf(world, 'one', 100))
      const { status, body } = await world.signInAndGetTokens({ scope: 'a' })
      expect({ status, error: body.error }).toEqual({ status: 500, error: 'server_error' })
    }),
  )
})
