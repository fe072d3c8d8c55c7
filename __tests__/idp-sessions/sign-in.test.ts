import { describe, expect, test } from '@jest/globals'
import { withWorld } from '../refresh-tokens/instances.ts'
import { Browser, REDIRECT_URI, type World } from '../support/world.ts'
import { bound, clients, IDP, sessionOf, signedIn } from './sessions.ts'

const ONE = { issuer: IDP, sid: 'one' }

/** What becomes of an authorization request of a user who is signed in: sign-in again, the consent page, or a code. */
async function request(world: World, browser: Browser, parameters: Record<string, string> = {}) {
  const response = await browser.get(world.authorizeUrl({ scope: 'a', ...parameters }))
  const location = new URL(response.headers.get('location') ?? '', world.base)
  if (location.pathname === '/sign-in') return 'sign-in'
  if (location.pathname.endsWith('/consent')) return 'consent'
  return location.searchParams.get('error') ?? (location.searchParams.has('code') ? 'code' : 'nothing')
}

async function aliceIn(world: World, seconds = 400): Promise<Browser> {
  signedIn(world, sessionOf(world, 'one', seconds, 'idp-alice'))
  const { browser, code } = await world.authorize({ scope: 'a' })
  expect(code).not.toBe('')
  return browser
}

describe('a user whose session at the provider is over is sent to sign in again', () => {
  test('ended by its id; prompt=none is login_required', () =>
    withWorld(bound(), async (world) => {
      const browser = await aliceIn(world)
      expect(await request(world, browser)).toBe('code')
      await world.aat.idpSessions.end(ONE)
      expect(await request(world, browser)).toBe('sign-in')
      expect(await request(world, browser, { prompt: 'none' })).toBe('login_required')
      signedIn(world, sessionOf(world, 'two', 400, 'idp-alice'))
      expect(await request(world, browser)).toBe('code')
    }))

  test('ended with all sessions of the user there: until a sign-in after that', () =>
    withWorld(bound(), async (world) => {
      const browser = await aliceIn(world)
      world.clock.advance(5)
      await world.aat.idpSessions.end({ issuer: IDP, subject: 'idp-alice' })
      world.clock.advance(5)
      expect(await request(world, browser)).toBe('sign-in')
      expect(await request(world, browser, { prompt: 'none' })).toBe('login_required')
      await browser.get(`${world.base}/sign-in?as=alice&return_to=/`)
      expect(await request(world, browser)).toBe('code')
    }))

  test('ended with all sessions of the user there: not one that began after it, however old the credentials are', () =>
    withWorld(bound(), async (world) => {
      const browser = await aliceIn(world)
      world.clock.advance(5)
      await world.aat.idpSessions.end({ issuer: IDP, subject: 'idp-alice' })
      world.clock.advance(5)
      world.users.alice = { ...world.users.alice, signedInAt: world.clock.now }
      expect(await request(world, browser)).toBe('code')
    }))

  test.each([
    Number.NaN,
    0,
    -1,
    '1800000000',
    null,
    new Date(0),
    Number.POSITIVE_INFINITY,
    1_800_000_000_000,
  ])('a time of the sign-in that is none is a fault of the app: %p', (signedInAt: unknown) =>
    withWorld(bound(), async (world) => {
      world.users.alice = { signedInAt: signedInAt as number }
      const { parameters } = await world.authorize({ scope: 'a' })
      expect(parameters).toMatchObject({ error: 'server_error' })
    }),
  )

  test('past S, by what the app or an update said', () =>
    withWorld(bound(), async (world) => {
      const browser = await aliceIn(world, 100)
      world.clock.advance(99)
      expect(await request(world, browser)).toBe('code')
      world.clock.advance(1)
      expect(await request(world, browser)).toBe('sign-in')
      await world.aat.idpSessions.update({ ...ONE, expiresAt: world.clock.now + 10 })
      expect(await request(world, browser)).toBe('code')
      world.clock.advance(10)
      expect(await request(world, browser, { prompt: 'none' })).toBe('login_required')
    }))

  test('a provider that goes on with a session that was ended is not asked for ever', () =>
    withWorld(bound(), async (world) => {
      const browser = await aliceIn(world)
      await world.aat.idpSessions.end(ONE)
      const first = await browser.get(world.authorizeUrl({ scope: 'a', state: 'xyz' }))
      expect(new URL(first.headers.get('location') ?? '', world.base).pathname).toBe('/sign-in')
      const back = await browser.follow(first)
      const answer = new URL(back.headers.get('location') ?? `error:${back.status}`)
      expect(Object.fromEntries(answer.searchParams)).toMatchObject({
        error: 'login_required',
        error_description: expect.stringContaining('sign out there'),
        state: 'xyz',
        iss: world.issuer,
      })
    }))

  test('a client that is not bound: past S is nothing to it, an end is, since nobody is signed in any more', () =>
    withWorld(bound({ boundToIdpSession: false }), async (world) => {
      const browser = await aliceIn(world, 100)
      world.clock.advance(200)
      expect(await request(world, browser)).toBe('code')
      await world.aat.idpSessions.end(ONE)
      expect(await request(world, browser)).toBe('sign-in')
    }))

  test('which is judged by client', () =>
    withWorld(bound({}, clients({}, { refreshTokens: { boundToIdpSession: false } })), async (world) => {
      const browser = await aliceIn(world, 100)
      await world.authorize({ client_id: 'public', scope: 'a' }, { browser })
      world.clock.advance(100)
      expect(await request(world, browser)).toBe('sign-in')
      expect(await request(world, browser, { client_id: 'public' })).toBe('code')
    }))

  test('while the consent page waits: no code for the decision', () =>
    withWorld(bound(), async (world) => {
      signedIn(world, sessionOf(world, 'one', 400))
      const browser = new Browser(world.base)
      await browser.get(`${world.base}/sign-in?as=alice&return_to=/`)
      const page = await browser.follow(await browser.get(world.authorizeUrl({ scope: 'a' })))
      expect(page.status).toBe(200)
      await world.aat.idpSessions.end(ONE)
      const answer = await browser.submitConsent(page, { decision: 'allow' })
      expect(new URL(answer.headers.get('location') ?? '', world.base).pathname).toBe('/sign-in')
      expect(world.eventsNamed('authorization.granted')).toEqual([])
    }))

  test('between the look and the code: the code is good for nothing', () => {
    let during: (() => Promise<void>) | undefined
    let ended: Promise<void> | undefined
    return withWorld(
      bound(),
      async (world) => {
        const browser = await aliceIn(world)
        during = () => world.aat.idpSessions.end(ONE)
        const { code, verifier } = await world.authorize({ scope: 'a' }, { browser })
        expect(ended).toBeInstanceOf(Promise)
        await ended
        const answer = await world.token({
          grant_type: 'authorization_code',
          code,
          code_verifier: verifier,
          redirect_uri: REDIRECT_URI,
        })
        expect({ status: answer.status, error: answer.body.error }).toEqual({
          status: 400,
          error: 'invalid_grant',
        })
        expect(world.eventsNamed('token.issued')).toEqual([])
      },
      {
        // resolveUser answers, and while the code is being made the session ends.
        after(_app, aat) {
          aat.on('authorization.granted', () => {
            ended = during?.()
          })
        },
      },
    )
  })
})
