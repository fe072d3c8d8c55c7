import { describe, expect, test } from '@jest/globals'
import { expectRefused, withWorld } from '../refresh-tokens/instances.ts'
import { basic, CONFIDENTIAL, claimsOf, manualClock, REDIRECT_URI, type World } from '../support/world.ts'
import { bound, clients, IDP, publicTokens, sessionOf, signedIn } from './sessions.ts'

const ONE = { issuer: IDP, sid: 'one' }
const ALICE = { issuer: IDP, subject: 'idp-alice' }

async function tokensIn(world: World, sid: string, seconds?: number, user = 'alice') {
  signedIn(world, sessionOf(world, sid, seconds, `idp-${user}`), user)
  return (await world.signInAndGetTokens({ scope: 'a' }, {}, { as: user })).body
}

interface Tokens {
  access_token: string
  refresh_token: string
}

async function expectAlive(world: World, tokens: Tokens): Promise<Tokens> {
  expect((await world.call('/api/a', tokens.access_token)).status).toBe(200)
  const { status, body } = await world.refresh(tokens.refresh_token)
  expect(status).toBe(200)
  return body
}

/** Neither token works; and nothing says otherwise. */
async function expectOver(world: World, tokens: Tokens): Promise<void> {
  expect((await world.call('/api/a', tokens.access_token)).status).toBe(401)
  for (const token of [tokens.refresh_token, tokens.access_token])
    expect(await introspect(world, token)).toEqual({ active: false })
  expectRefused(await world.refresh(tokens.refresh_token), 'invalid_grant')
}

async function introspect(world: World, token: string) {
  const { status, body } = await world.post(
    world.endpoint('introspect'),
    { token },
    basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
  )
  expect(status).toBe(200)
  return body
}

const listed = async (world: World, sid = 'one') =>
  (await world.aat.grants.list({ idpSession: { issuer: IDP, sid } })).grants

describe('end', () => {
  test('EXP-010: the user signs out at 20: at 21 refresh tokens and access tokens are refused', () =>
    withWorld(bound(), async (world) => {
      const first = await tokensIn(world, 'one', 400)
      const second = await expectAlive(world, first)
      world.clock.advance(20)
      await world.aat.idpSessions.end(ONE)
      world.clock.advance(1)
      for (const { access_token: accessToken } of [first, second])
        expect((await world.call('/api/a', accessToken)).status).toBe(401)
      await expectOver(world, second)
      expect(await listed(world)).toEqual([])
      expect(world.eventsNamed('idp_session.ended')).toMatchObject([{ issuer: IDP, by: 'the app' }])
    }))

  test('twice is once, and no event or entry more', () =>
    withWorld(bound(), async (world) => {
      const tokens = await tokensIn(world, 'one', 400)
      for (let time = 0; time < 3; time++) await world.aat.idpSessions.end(ONE)
      await expectOver(world, tokens)
      expect(world.eventsNamed('idp_session.ended')).toHaveLength(1)
      expect(world.eventsNamed('revocation.recorded')).toMatchObject([{ kind: 'session' }, { kind: 'grant' }])
    }))

  test('of a session that nobody has is no trouble', () =>
    withWorld(bound(), async (world) => {
      await world.aat.idpSessions.end({ issuer: IDP, sid: 'of nobody' })
      const alices = await tokensIn(world, 'one', 400)
      await expectAlive(world, alices)
    }))

  test('nothing takes it back: no update, no later sign-in that tells of the same session', () =>
    withWorld(bound(), async (world) => {
      const tokens = await tokensIn(world, 'one', 400)
      await world.aat.idpSessions.end(ONE)
      await world.aat.idpSessions.update({ ...ONE, expiresAt: world.clock.now + 1000 })
      expect(world.eventsNamed('idp_session.updated')).toEqual([])
      world.clock.advance(5)
      await expectOver(world, tokens)
      const { parameters } = await world.authorize({ scope: 'a', prompt: 'none' })
      expect(parameters).toMatchObject({ error: 'login_required' })
    }))

  test('of two sessions of one user the other lives on', () =>
    withWorld(bound(), async (world) => {
      const laptop = await tokensIn(world, 'laptop', 400)
      const phone = await tokensIn(world, 'phone', 400)
      await world.aat.idpSessions.end({ issuer: IDP, sid: 'laptop' })
      await expectOver(world, laptop)
      await expectAlive(world, phone)
      expect(await listed(world, 'phone')).toMatchObject([{ subject: 'alice', idpSession: { sid: 'phone' } }])
    }))

  test('a session of the same name at another provider is another', () =>
    withWorld(bound(), async (world) => {
      const tokens = await tokensIn(world, 'one', 400)
      await world.aat.idpSessions.end({ issuer: 'https://other.example', sid: 'one' })
      await world.aat.idpSessions.end({ issuer: 'https://other.example', subject: 'idp-alice' })
      await world.aat.idpSessions.end({ issuer: IDP, sid: 'idp-alice' })
      await world.aat.idpSessions.end({ issuer: IDP, subject: 'one' })
      await expectAlive(world, tokens)
    }))

  test('several users and clients of one session: all of them', () =>
    withWorld(bound({}, clients({})), async (world) => {
      const alices = await tokensIn(world, 'one', 400)
      const bobs = await tokensIn(world, 'one', 400, 'bob')
      const { body } = await publicTokens(world)
      await world.aat.idpSessions.end(ONE)
      await expectOver(world, alices)
      await expectOver(world, bobs)
      expectRefused(await world.refresh(body.refresh_token, { client_id: 'public' }), 'invalid_grant')
    }))

  test('a client that is not bound is untouched', () =>
    withWorld(bound({}, clients({}, { refreshTokens: { boundToIdpSession: false } })), async (world) => {
      const tokens = await tokensIn(world, 'one', 40)
      const free = (await publicTokens(world)).body
      await world.aat.idpSessions.end(ONE)
      await world.aat.idpSessions.end(ALICE)
      await expectOver(world, tokens)
      expect((await world.call('/api/a', free.access_token)).status).toBe(200)
      world.clock.advance(50)
      const { body } = await world.refresh(free.refresh_token, { client_id: 'public' })
      expect(body.refresh_token_expires_in).toBe(50)
      expect(claimsOf(body.access_token)).not.toHaveProperty('sid')
      expect((await listed(world)).map(({ clientId }) => clientId)).toEqual(['public'])
    }))

  test('by the user of the provider: every session until now, none after', () =>
    withWorld(bound(), async (world) => {
      const laptop = await tokensIn(world, 'laptop', 400)
      const phone = await tokensIn(world, 'phone', 400)
      const bobs = await tokensIn(world, 'bob', 400, 'bob')
      world.clock.advance(1)
      await world.aat.idpSessions.end(ALICE)
      await expectOver(world, laptop)
      await expectOver(world, phone)
      await expectAlive(world, bobs)
      world.clock.advance(1)
      await expectAlive(world, await tokensIn(world, 'anew', 400))
      expect(world.eventsNamed('idp_session.ended')).toHaveLength(1)
    }))

  test('by the user, until a moment: what began after it lives on', () =>
    withWorld(bound(), async (world) => {
      const before = await tokensIn(world, 'before', 400)
      world.clock.advance(10)
      const moment = world.clock.now
      world.clock.advance(10)
      const after = await tokensIn(world, 'after', 400)
      await world.aat.idpSessions.end({ ...ALICE, notAfter: moment })
      await expectOver(world, before)
      await expectAlive(world, after)
    }))

  test('a session is named by its id where both are given, as resolveUser gives them', () =>
    withWorld(bound(), async (world) => {
      const laptop = await tokensIn(world, 'laptop', 400)
      const phone = await tokensIn(world, 'phone', 400)
      await world.aat.idpSessions.end(sessionOf(world, 'laptop', 400, 'idp-alice'))
      await expectOver(world, laptop)
      await expectAlive(world, phone)
    }))

  const wrong: unknown[] = [
    undefined,
    null,
    'one',
    {},
    { issuer: IDP },
    { sid: 'one' },
    { subject: 'idp-alice' },
    { issuer: IDP, sid: '' },
    { issuer: IDP, sid: 1 },
    { issuer: IDP, sid: null, subject: 'idp-alice' },
    { issuer: IDP, subject: '' },
    { issuer: IDP, subject: ['idp-alice'] },
    { issuer: IDP, sid: 'x'.repeat(600) },
    { issuer: IDP, subject: 'idp-alice', notAfter: Number.NaN },
    { issuer: IDP, subject: 'idp-alice', notAfter: Number.NEGATIVE_INFINITY },
    { issuer: IDP, subject: 'idp-alice', notAfter: null },
    { issuer: IDP, subject: 'idp-alice', notAfter: new Date(1_799_999_999_000) },
    { issuer: IDP, subject: 'idp-alice', notAfter: 1_800_000_061 },
    { issuer: IDP, subject: 'idp-alice', notAfter: 1_799_999_999_000 },
  ]
  test('nonsense is a TypeError, and ends nothing', () =>
    withWorld(bound(), async (world) => {
      const tokens = await tokensIn(world, 'one', 400)
      for (const target of wrong)
        await expect(world.aat.idpSessions.end(target as never)).rejects.toThrow(TypeError)
      await expectAlive(world, tokens)
      expect(world.eventsNamed('revocation.recorded')).toEqual([])
    }))
})

describe('update', () => {
  const to = (world: World, seconds: number) =>
    world.aat.idpSessions.update({ ...ONE, expiresAt: world.clock.now + seconds })

  test('earlier: the next answer says so, access tokens end with it', () =>
    withWorld(bound(), async (world) => {
      const first = await tokensIn(world, 'one', 400)
      await to(world, 30)
      expect(world.eventsNamed('idp_session.updated')).toMatchObject([
        { issuer: IDP, expiresAt: world.clock.now + 30 },
      ])
      const { body: second } = await world.refresh(first.refresh_token)
      expect(second).toMatchObject({ expires_in: 30, refresh_token_expires_in: 30 })
      expect(await introspect(world, second.refresh_token)).toMatchObject({
        active: true,
        exp: world.clock.now + 30,
      })
      expect(await listed(world)).toMatchObject([{ idpSession: { expiresAt: world.clock.now + 30 } }])
      world.clock.advance(30)
      // Also those that were issued before it was said.
      for (const tokens of [first, second])
        expect((await world.call('/api/a', tokens.access_token)).status).toBe(401)
      await expectOver(world, second)
      expect(await listed(world)).toEqual([])
    }))

  test.each(['keep', 'rotate', 'rotate-and-reset'] as const)('%s: later: the same', (issuance) =>
    withWorld(bound({ issuance }), async (world) => {
      const first = await tokensIn(world, 'one', 40)
      await to(world, 600)
      world.clock.advance(30)
      const { body: second } = await world.refresh(first.refresh_token)
      expect(second).toMatchObject({ expires_in: 300, refresh_token_expires_in: 570 })
      world.clock.advance(500)
      expect(await introspect(world, second.refresh_token)).toMatchObject({ exp: world.clock.now + 70 })
      const { body: third } = await world.refresh(second.refresh_token)
      expect(third).toMatchObject({ expires_in: 70, refresh_token_expires_in: 70 })
      world.clock.advance(70)
      expectRefused(await world.refresh(third.refresh_token), 'invalid_grant')
    }),
  )

  test.each(['keep', 'rotate', 'rotate-and-reset'] as const)(
    '%s: later, when the end of before is past: the family is back',
    (issuance) =>
      withWorld(bound({ issuance }), async (world) => {
        const first = await tokensIn(world, 'one', 40)
        world.clock.advance(50)
        expect(await introspect(world, first.refresh_token)).toEqual({ active: false })
        expect(await listed(world)).toEqual([])
        expectRefused(await world.refresh(first.refresh_token), 'invalid_grant')
        await to(world, 100)
        expect(await introspect(world, first.refresh_token)).toMatchObject({ active: true })
        expect(await listed(world)).toHaveLength(1)
        const { body } = await world.refresh(first.refresh_token)
        expect(body).toMatchObject({ expires_in: 100, refresh_token_expires_in: 100 })
      }),
  )

  test('a lost answer at the edge: the retry after the session was prolonged gets the same successor', () =>
    withWorld(bound(), async (world) => {
      const first = await tokensIn(world, 'one', 40)
      world.clock.advance(38)
      const { body: lost } = await world.refresh(first.refresh_token)
      world.clock.advance(4)
      await to(world, 100)
      const { body: again } = await world.refresh(first.refresh_token)
      expect(again).toMatchObject({ refresh_token: lost.refresh_token, refresh_token_expires_in: 100 })
      await expectAlive(world, again)
    }))

  test('to and fro: what was said last holds, also within one moment', () =>
    withWorld(bound(), async (world) => {
      const first = await tokensIn(world, 'one', 40)
      let { refresh_token: token } = first
      for (const seconds of [200, 30, 200, 60]) {
        await to(world, seconds)
        const { body } = await world.refresh(token)
        expect(body.refresh_token_expires_in).toBe(seconds)
        token = body.refresh_token
      }
      await to(world, 60)
      expect(world.eventsNamed('idp_session.updated')).toHaveLength(4)
    }))

  test.each(['keep', 'rotate', 'rotate-and-reset'] as const)(
    '%s: to earlier, asked at its edge and after, then to later: nothing was consumed, nobody is a thief',
    (issuance) =>
      withWorld(bound({ issuance }), async (world) => {
        const { refresh_token: token } = await tokensIn(world, 'one', 400)
        await to(world, 5)
        for (const seconds of [4.5, 1.5, 20]) {
          world.clock.advance(seconds)
          expectRefused(await world.refresh(token), 'invalid_grant')
        }
        expect(world.eventsNamed('token.refreshed')).toEqual([])
        await to(world, 100)
        const { status, body } = await world.refresh(token)
        expect([status, body.refresh_token_expires_in]).toEqual([200, 100])
        expect(world.eventsNamed('refresh_token.reused')).toEqual([])
      }),
  )

  test('the same for a code', () =>
    withWorld(bound(), async (world) => {
      signedIn(world, sessionOf(world, 'one', 400))
      const { code, verifier } = await world.authorize({ scope: 'a' })
      const redeem = () =>
        world.token({
          grant_type: 'authorization_code',
          code,
          code_verifier: verifier,
          redirect_uri: REDIRECT_URI,
        })
      await to(world, 0.5)
      expectRefused(await redeem(), 'invalid_grant')
      await to(world, 100)
      const { status, body } = await redeem()
      expect([status, body.refresh_token_expires_in]).toEqual([200, 100])
    }))

  test('the clock that dates them jumps back an hour: what was said last holds all the same', () => {
    const clock = manualClock()
    return withWorld(
      bound(),
      async (world) => {
        const tokens = await tokensIn(world, 'one', 400)
        const end = world.clock.now + 50
        await world.aat.idpSessions.update({ ...ONE, expiresAt: end + 30 })
        clock.advance(-3600)
        await world.aat.idpSessions.update({ ...ONE, expiresAt: end })
        clock.advance(3600)
        const { body } = await world.refresh(tokens.refresh_token)
        expect(body.refresh_token_expires_in).toBe(50)
      },
      { clock },
    )
  })

  test('to the past: over at once', () =>
    withWorld(bound(), async (world) => {
      const tokens = await tokensIn(world, 'one', 400)
      await to(world, -100)
      await expectOver(world, tokens)
    }))

  test('a sign-in that tells of the old end again gets the one that was said since', () =>
    withWorld(bound(), async (world) => {
      await tokensIn(world, 'one', 400)
      await to(world, 30)
      const tokens = await tokensIn(world, 'one', 400)
      expect(tokens).toMatchObject({ expires_in: 30, refresh_token_expires_in: 30 })
      world.clock.advance(30)
      const { parameters } = await world.authorize({ scope: 'a', prompt: 'none' })
      expect(parameters).toMatchObject({ error: 'login_required' })
    }))

  test('after `longest` it is forgotten, when the session cannot live any more anyway', () =>
    withWorld(bound({}, { idpSessions: { longest: 600 } }), async (world) => {
      const first = await tokensIn(world, 'one', 100_000)
      expect(first.refresh_token_expires_in).toBe(600)
      world.clock.advance(500)
      const { body } = await world.refresh(first.refresh_token)
      await to(world, 100_000)
      world.clock.advance(599)
      expect((await world.refresh(body.refresh_token)).body.refresh_token_expires_in).toBe(1)
      world.clock.advance(1)
      expectRefused(await world.refresh(body.refresh_token), 'invalid_grant')
    }))

  const wrong: unknown[] = [
    undefined,
    null,
    {},
    { issuer: IDP, sid: 'one' },
    { issuer: IDP, expiresAt: 1_800_000_100 },
    { issuer: IDP, subject: 'idp-alice', expiresAt: 1_800_000_100 },
    { ...ONE, expiresAt: Number.NaN },
    { ...ONE, expiresAt: Number.POSITIVE_INFINITY },
    { ...ONE, expiresAt: 0 },
    { ...ONE, expiresAt: -5 },
    { ...ONE, expiresAt: '1800000100' },
    { ...ONE, expiresAt: new Date() },
    { ...ONE, expiresAt: 1_800_000_100_000 },
    { ...ONE, expiresAt: null },
    { ...ONE, sid: 5, expiresAt: 1_800_000_100 },
  ]
  test('nonsense is a TypeError, and changes nothing', () =>
    withWorld(bound(), async (world) => {
      const tokens = await tokensIn(world, 'one', 400)
      for (const session of wrong)
        await expect(world.aat.idpSessions.update(session as never)).rejects.toThrow(TypeError)
      expect((await expectAlive(world, tokens)) as unknown).toMatchObject({ refresh_token_expires_in: 400 })
      expect(world.eventsNamed('revocation.recorded')).toEqual([])
    }))
})

describe('what outlives the memory of an end', () => {
  test('a family that lives by its lifetime is not forgotten to be over before its lifetime is', () =>
    withWorld(
      bound(
        { whenIdpSessionEndUnknown: 'use-lifetime', lifetime: 30 * 86_400 },
        { idpSessions: { longest: 86_400 } },
      ),
      async (world) => {
        const tokens = await tokensIn(world, 'one')
        await world.aat.idpSessions.end(ONE)
        world.clock.advance(29 * 86_400)
        expectRefused(await world.refresh(tokens.refresh_token), 'invalid_grant')
      },
    ))

  test('nor a session that ended when its grant was about to be redeemed', () =>
    withWorld(bound(), async (world) => {
      signedIn(world, sessionOf(world, 'one', 400))
      const { code, verifier } = await world.authorize({ scope: 'a' })
      await world.aat.idpSessions.end(ONE)
      const answer = await world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: 'https://client.example/cb',
      })
      expectRefused(answer, 'invalid_grant')
      expect(world.eventsNamed('token.issued')).toEqual([])
    }))
})

describe('what is told', () => {
  test('introspection tells S of a bound refresh token, its lifetime of another', () =>
    withWorld(
      bound(
        {},
        clients({
          refreshTokens: { issuance: 'keep' },
        }),
      ),
      async (world) => {
        const tokens = await tokensIn(world, 'one', 400)
        expect(await introspect(world, tokens.refresh_token)).toMatchObject({
          active: true,
          sub: 'alice',
          exp: world.clock.now + 400,
        })
        const { sid, idp_sub: idpSub } = claimsOf(tokens.access_token)
        expect(await introspect(world, tokens.access_token)).toMatchObject({
          active: true,
          sid,
          idp_sub: idpSub,
        })
      },
    ))

  test('lists: not what is past its cap or its session, though the store still has it', () =>
    withWorld(bound({ absoluteLifetime: 50 }), async (world) => {
      const tokens = await tokensIn(world, 'one', 400)
      expect(await listed(world)).toMatchObject([
        { clientId: 'confidential', idpSession: { ...ONE, expiresAt: world.clock.now + 400 } },
      ])
      world.clock.advance(50)
      expect(await listed(world)).toEqual([])
      expect((await world.aat.grants.list({ subject: 'alice' })).grants).toEqual([])
      expect(await introspect(world, tokens.refresh_token)).toEqual({ active: false })
    }))
})
