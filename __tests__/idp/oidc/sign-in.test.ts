import { afterEach, describe, expect, test } from '@jest/globals'
import type { RequestHandler } from 'express'
import { clockOfNow, type Site, startSite } from './site.ts'
import {
  answerUrl,
  begin,
  idToken,
  type StubProvider,
  signInWith,
  startStubProvider,
} from './stub-provider.ts'

let site: Site
let stub: StubProvider | undefined
afterEach(async () => {
  await site.close()
  await stub?.close()
  stub = undefined
})

async function startAtStub(options: Parameters<typeof startSite>[0] = {}) {
  stub = await startStubProvider()
  site = await startSite({ ...options, issuer: stub.issuer })
  return stub
}

test('sign in at the provider, consent, tokens that live as long as the session there', async () => {
  site = await startSite({ provider: { sessionLifetime: 1000 } })
  const browser = site.browser()
  const response = await site.signIn(browser, 'alice', '?return_to=/somewhere')
  expect([response.status, response.headers.get('location')]).toEqual([303, '/somewhere'])
  const user = await site.who(browser)
  expect(user).toMatchObject({
    subject: 'alice',
    idpSession: { issuer: site.provider.issuer, subject: 'alice' },
  })
  const { expiresAt } = user.idpSession
  expect(Math.abs(expiresAt - site.clock() - 1000)).toBeLessThan(20)

  const { status, body } = await site.getTokens(browser)
  expect(status).toBe(200)
  expect(body.refresh_token_expires_in).toBe(Math.floor(expiresAt - site.clock()))
  const refreshed = await site.refresh(body.refresh_token)
  expect(refreshed.status).toBe(200)
  expect((await site.call('/api/a', refreshed.body.access_token)).status).toBe(200)
  site.clock.now = expiresAt
  expect(await site.who(browser)).toBeNull()
  expect((await site.refresh(refreshed.body.refresh_token)).body.error).toBe('invalid_grant')
  expect((await site.call('/api/a', refreshed.body.access_token)).status).toBe(401)
})

test('an authorization request leads through the provider and back to the client', async () => {
  site = await startSite()
  const browser = site.browser()
  const callback = await site.atProvider(
    browser,
    await browser.get(site.authorizeUrl({ login_hint: 'alice' })),
  )
  expect(browser.visited.some((url) => /\/auth\?.*login_hint=alice/.test(url))).toBe(true)
  const consent = await browser.follow(await browser.get(callback.href))
  expect(await consent.text()).toContain('would like to use your account')
})

test('prompt=login asks for credentials again, and the sign-in is as fresh as that', async () => {
  site = await startSite()
  const browser = site.browser()
  await site.signIn(browser)
  const before = (await site.who(browser)).authTime
  site.clock.advance(7)
  const callback = await site.atProvider(browser, await browser.get(site.authorizeUrl({ prompt: 'login' })))
  expect(browser.visited.filter((url) => url.includes('/interaction/'))).toHaveLength(4)
  const consent = await browser.follow(await browser.get(callback.href))
  expect(consent.status).toBe(200)
  expect((await site.who(browser)).authTime).toBeGreaterThan(before)
})

test.each([-25, 25])(
  'the provider and the app are %d seconds apart: a fresh sign-in counts as one',
  async (ahead) => {
    site = await startSite({ clock: clockOfNow(ahead) })
    for (const parameters of [{ prompt: 'login' }, { max_age: '0' }]) {
      const browser = site.browser()
      const callback = await site.atProvider(browser, await browser.get(site.authorizeUrl(parameters)))
      const consent = await browser.follow(await browser.get(callback.href))
      expect(consent.status).toBe(200)
      expect(await consent.text()).toContain('would like to use your account')
      expect((await site.who(browser)).authTime).toBeLessThanOrEqual(site.clock())
    }
  },
)

test('the clocks are too far apart: no sign-in, and the fault is the provider’s', async () => {
  site = await startSite({ clock: clockOfNow(3000) })
  const response = await site.signIn(site.browser())
  expect(response.status).toBe(502)
  expect(site.faults().at(-1)?.error.message).toContain('OAUTH_JWT_TIMESTAMP_CHECK_FAILED')
})

test('two tabs at once: both arrive where they wanted to go', async () => {
  site = await startSite()
  const browser = site.browser()
  const first = await browser.get(`${site.url}?return_to=/one`)
  const second = await browser.get(`${site.url}?return_to=/two`)
  const one = await site.atProvider(browser, first)
  expect((await browser.get(one.href)).headers.get('location')).toBe('/one')
  const two = await site.atProvider(browser, second)
  expect((await browser.get(two.href)).headers.get('location')).toBe('/two')
})

test('what the client asked for is passed to the provider, and nothing else', async () => {
  const { issuer } = await startAtStub({ signIn: { scope: 'openid profile' } })
  const browser = site.browser()
  const query = new URLSearchParams({
    prompt: 'login none consent',
    max_age: '30',
    acr_values: 'gold silver',
    login_hint: 'al&ice',
    redirect_uri: 'https://evil.example/',
    scope: 'admin',
  })
  const sent = await begin(site, browser, `?${query}`)
  const { state, nonce, code_challenge, ...rest } = sent
  expect([state, nonce].every((one) => /^[\w-]{22}$/.test(one ?? ''))).toBe(true)
  expect(code_challenge).toMatch(/^[\w-]{43}$/)
  expect(rest).toEqual({
    client_id: 'the-app',
    response_type: 'code',
    redirect_uri: `${site.url}/callback`,
    scope: 'openid profile',
    code_challenge_method: 'S256',
    prompt: 'login',
    max_age: '30',
    acr_values: 'gold silver',
    login_hint: 'al&ice',
  })
  expect(issuer).toContain('127.0.0.1')
})

test('acr, amr, the hooks and a session without a name', async () => {
  const provider = await startAtStub({
    signIn: {
      subject: async ({ sub }) => `user-of-${sub}`,
      displayName: ({ name }) => String(name),
      sessionEnd: ({ claims, tokenResponse }) => Number(claims.iat) + Number(tokenResponse.lasts),
    },
  })
  provider.token = async () => ({
    body: {
      access_token: 'a',
      token_type: 'Bearer',
      lasts: 77,
      id_token: await provider.sign(provider.claims),
    },
  })
  const browser = site.browser()
  const claims = {
    acr: 'gold',
    amr: ['pwd', 'otp'],
    name: 'Alice A.',
    sid: undefined,
    session_expiry: undefined,
  }
  expect((await signInWith(site, provider, browser, claims)).status).toBe(303)
  const { idpSession, ...user } = await site.who(browser)
  expect(user).toEqual({
    subject: 'user-of-alice',
    authTime: site.clock(),
    signedInAt: site.clock(),
    acr: 'gold',
    amr: ['pwd', 'otp'],
    displayName: 'Alice A.',
  })
  expect(idpSession).toEqual({
    issuer: provider.issuer,
    sid: expect.stringMatching(/^[\w-]{22}$/),
    subject: 'alice',
    expiresAt: site.clock() + 77,
  })
})

describe('when the session ends', () => {
  test.each([
    ['milliseconds', 1_800_000_000_000],
    ['a text', '1800000000'],
    ['zero', 0],
    ['negative', -5],
    ['null', null],
  ])('session_expiry is nonsense (%s): refused, nothing issued', async (_, value) => {
    const provider = await startAtStub({ signIn: { sessionEnd: () => 1_900_000_000 } })
    const browser = site.browser()
    const response = await signInWith(site, provider, browser, { session_expiry: value })
    expect(response.status).toBe(502)
    expect(await site.who(browser)).toBeNull()
    expect(site.faults().at(-1)?.error.message).toContain('session_expiry')
  })

  test('session_expiry is in the past: the session is over', async () => {
    site = await startSite({ provider: { sessionExpiry: (end) => end - 100_000 } })
    const browser = site.browser()
    const response = await site.signIn(browser)
    expect(response.status).toBe(502)
    expect(await response.text()).toContain('says that the session is over')
    expect(await site.who(browser)).toBeNull()
    expect(site.faults()).toHaveLength(1)
  })

  test('nobody says: the user is signed in, and refresh tokens are withheld', async () => {
    site = await startSite({ provider: { sessionExpiry: () => undefined } })
    const { status, body } = await site.getTokens(site.browser())
    expect([status, body.refresh_token]).toEqual([200, undefined])
    expect(site.eventsNamed('refresh_token.withheld')).toHaveLength(1)
  })

  test('a sessionEnd hook that is wrong is a fault of the app', async () => {
    const provider = await startAtStub({ signIn: { sessionEnd: () => Date.now() } })
    const response = await signInWith(site, provider, site.browser(), { session_expiry: undefined })
    expect(response.status).toBe(500)
    expect(site.faults().at(-1)?.error.message).toContain('milliseconds')
  })

  test.each(['sessionEnd', 'displayName'])(
    'a %s hook may be asynchronous; one that rejects is a fault of the app',
    async (name) => {
      let isAway = false
      const hook = async () => {
        if (isAway) throw new Error('the directory is away')
        return name === 'displayName' ? 'Alice' : site.clock() + 100
      }
      const provider = await startAtStub({ signIn: { [name]: hook } })
      const signIn = () => signInWith(site, provider, site.browser(), { session_expiry: undefined })
      expect((await signIn()).status).toBe(303)
      isAway = true
      expect((await signIn()).status).toBe(500)
      expect(site.faults().at(-1)?.error.message).toBe('the directory is away')
    },
  )

  test('signing in again prolongs the session for what was issued before', async () => {
    const provider = await startAtStub()
    const browser = site.browser()
    const end = site.clock() + 100
    await signInWith(site, provider, browser, { session_expiry: end })
    const { body } = await site.getTokens(browser)
    expect(body.refresh_token_expires_in).toBe(100)
    site.clock.advance(50)
    await signInWith(site, provider, browser, { session_expiry: end + 500 })
    expect(site.eventsNamed('idp_session.updated')).toHaveLength(1)
    site.clock.advance(100)
    const refreshed = await site.refresh(body.refresh_token)
    expect([refreshed.status, refreshed.body.refresh_token_expires_in]).toEqual([200, 450])
    // And shortens it, from another browser too: the app knows of the session by now.
    await signInWith(site, provider, site.browser(), { session_expiry: site.clock() + 10 })
    site.clock.advance(10)
    expect((await site.refresh(refreshed.body.refresh_token)).status).toBe(400)
  })
})

test('a session that was ended is not signed in to again', async () => {
  const provider = await startAtStub()
  const browser = site.browser()
  await signInWith(site, provider, browser)
  await site.aat.idpSessions.end({ issuer: provider.issuer, sid: 'session-1' })
  expect(await site.who(browser)).toBeNull()
  const response = await signInWith(site, provider, browser)
  expect(response.status).toBe(403)
  expect(await response.text()).toContain('sign out there as well')
  expect(await site.who(browser)).toBeNull()
  expect((await signInWith(site, provider, browser, { sid: 'session-2' })).status).toBe(303)
})

test('a provider that does not ask for credentials again is no loop', async () => {
  const provider = await startAtStub()
  const response = await signInWith(
    site,
    provider,
    site.browser(),
    { auth_time: site.clock() - 31 },
    '?prompt=login',
  )
  expect(response.status).toBe(403)
  expect(await response.text()).toContain('did not ask for your credentials again')
})

test('max_age is checked against auth_time', async () => {
  const provider = await startAtStub()
  const tooOld = { auth_time: site.clock() - 100 }
  expect((await signInWith(site, provider, site.browser(), tooOld, '?max_age=60')).status).toBe(502)
  expect(
    (await signInWith(site, provider, site.browser(), { auth_time: undefined }, '?max_age=60')).status,
  ).toBe(502)
  expect((await signInWith(site, provider, site.browser(), {}, '?max_age=60')).status).toBe(303)
})

test('max_age is the age at the time of the request: whoever takes a while at the provider is let in', async () => {
  const provider = await startAtStub()
  const browser = site.browser()
  const sent = await begin(site, browser, '?max_age=60')
  const authTime = site.clock()
  site.clock.advance(200)
  provider.claims = { ...idToken(site, provider, sent), auth_time: authTime }
  expect((await browser.get(answerUrl(site, provider, sent))).status).toBe(303)
})

describe('session middlewares', () => {
  test('one that is shaped like cookie-session will do', async () => {
    const kept = new Map<string, string>()
    const sessions: RequestHandler = (req, res, next) => {
      const id = /(?:^|; )id=(\w+)/.exec(req.headers.cookie ?? '')?.[1] ?? `b${kept.size}`
      const session = JSON.parse(kept.get(id) ?? '{}')
      Object.assign(req, { session })
      res.setHeader('Set-Cookie', `id=${id}; Path=/`)
      const { end } = res
      res.end = ((...args: Parameters<typeof end>) => {
        kept.set(id, JSON.stringify(session))
        return end.apply(res, args)
      }) as typeof end
      next()
    }
    site = await startSite({ sessions })
    const browser = site.browser()
    expect((await site.signIn(browser)).status).toBe(303)
    expect((await site.who(browser)).subject).toBe('alice')
    expect((await browser.send(`${site.url}/sign-out`, { method: 'POST' })).status).toBe(303)
    expect(await site.who(browser)).toBeNull()
  })

  test('without one there is a fault that says so', async () => {
    site = await startSite({ sessions: (_req, _res, next) => next() })
    expect((await site.browser().get(site.url)).status).toBe(500)
    expect(site.faults().at(-1)?.error.message).toContain('mount a session middleware')
  })
})
