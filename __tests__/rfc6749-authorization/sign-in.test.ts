import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { SignInContext } from '../../lib/index.ts'
import { Browser, REDIRECT_URI, startWorld, type World } from '../support/world.ts'
import { expectPage, expectRedirect, signedIn } from './pages.ts'

let world: World
const asked: SignInContext[] = []
beforeAll(async () => {
  world = await startWorld({
    authorize: {
      signInUrl(context) {
        asked.push(context)
        return `/sign-in?return_to=${encodeURIComponent(context.returnTo)}`
      },
    },
  })
})
afterEach(() => {
  asked.length = 0
  world.users.alice = {}
})
afterAll(() => world.close())

const locationOf = (response: Response) => response.headers.get('location') ?? ''
const isConsent = (url: string) => /\/oauth\/authorize\/consent\?request=[A-Za-z0-9_-]{32}$/.test(url)

describe('prompt=none shows nothing', () => {
  test('AUT-041: login_required without a session, with state and iss, and no sign-in', async () => {
    const response = await new Browser(world.base).get(world.authorizeUrl({ prompt: 'none' }))
    expect(expectRedirect(response, `${REDIRECT_URI}?`)).toEqual({
      error: 'login_required',
      error_description: expect.any(String),
      state: 'the-state',
      iss: world.issuer,
    })
    expect(asked).toEqual([])
    expect(response.headers.getSetCookie()).toEqual([])
  })

  test('AUT-041: consent_required with a session, a code once consent is remembered', async () => {
    const browser = await signedIn(world, 'carol')
    const none = { scope: 'a', prompt: 'none' }
    expect(expectRedirect(await browser.get(world.authorizeUrl(none)), REDIRECT_URI).error).toBe(
      'consent_required',
    )
    await world.authorize({ scope: 'a' }, { browser })
    expect(expectRedirect(await browser.get(world.authorizeUrl(none)), REDIRECT_URI).code).toMatch(/./)
  })

  test('AUT-041: login_required when the sign-in is older than max_age, and for the wrong acr its own error', async () => {
    const browser = await signedIn(world)
    await world.authorize({ scope: 'a' }, { browser })
    world.clock.advance(61)
    const ask = async (parameters: Record<string, string>) =>
      expectRedirect(
        await browser.get(world.authorizeUrl({ scope: 'a', prompt: 'none', ...parameters })),
        REDIRECT_URI,
      )
    expect((await ask({ max_age: '60' })).error).toBe('login_required')
    expect((await ask({ max_age: '0' })).error).toBe('login_required')
    expect((await ask({ max_age: '61' })).code).toMatch(/./)
    expect((await ask({ acr_values: 'high' })).error).toBe('unmet_authentication_requirements')
    world.users.alice = { acr: 'high' }
    expect((await ask({ acr_values: 'higher high' })).code).toMatch(/./)
  })
})

describe('the way over the sign-in', () => {
  test('the sign-in is asked with what the client wants, and its return path has only the handle', async () => {
    const browser = new Browser(world.base)
    const response = await browser.get(
      world.authorizeUrl({
        prompt: 'login',
        max_age: '5',
        acr_values: 'x y',
        login_hint: 'alice@example.com',
      }),
    )
    expect(response.status).toBe(303)
    expect(asked).toEqual([
      {
        returnTo: expect.stringMatching(/^\/oauth\/authorize\/consent\?request=[A-Za-z0-9_-]{32}$/),
        clientId: 'confidential',
        prompt: ['login'],
        maxAge: 5,
        acrValues: ['x', 'y'],
        loginHint: 'alice@example.com',
      },
    ])
  })

  test('AUT-043: nobody signed in, no code: resolveUser says when sign-in is complete', async () => {
    const browser = new Browser(world.base)
    const response = await browser.get(world.authorizeUrl({ prompt: 'consent' }))
    const { returnTo } = asked[0] as SignInContext
    expect(locationOf(response)).toContain('/sign-in?')
    // The first factor alone: resolveUser still says undefined, and the way goes back to sign-in each time.
    for (let visit = 0; visit < 3; visit++)
      expect(locationOf(await browser.get(returnTo))).toContain('/sign-in?')
    const post = await browser.send(`${world.endpoint('authorize')}/consent`, {
      method: 'POST',
      body: new URLSearchParams({
        request: returnTo.split('=')[1] ?? '',
        token: 'x',
        decision: 'allow',
        scope: 'a',
      }),
    })
    expect(locationOf(post)).toContain('/sign-in?')
    expect(await browser.follow(await browser.get(returnTo)).then((page) => page.status)).toBe(200)
  })

  test('prompt=login wants a sign-in since the request, also on the way back', async () => {
    const browser = await signedIn(world)
    await world.authorize({ scope: 'a' }, { browser })
    world.clock.advance(10)
    const first = await browser.get(world.authorizeUrl({ scope: 'a', prompt: 'login' }))
    expect(locationOf(first)).toContain('/sign-in?')
    const returnTo = asked.at(-1)?.returnTo ?? ''
    // Straight to the return path without signing in again.
    expect(locationOf(await browser.get(returnTo))).toContain('/sign-in?')
    const answer = await browser.follow(await browser.get(returnTo))
    expect(locationOf(answer)).toContain(`${REDIRECT_URI}?code=`)
  })

  test('prompt=select_account asks once', async () => {
    const browser = await signedIn(world)
    await world.authorize({ scope: 'a' }, { browser })
    const first = await browser.get(world.authorizeUrl({ scope: 'a', prompt: 'select_account' }))
    expect(locationOf(first)).toContain('/sign-in?')
    expect(locationOf(await browser.follow(first))).toContain(`${REDIRECT_URI}?code=`)
  })

  test('prompt=login consent: both', async () => {
    const browser = await signedIn(world)
    await world.authorize({ scope: 'a' }, { browser })
    world.clock.advance(1)
    const first = await browser.get(world.authorizeUrl({ scope: 'a', prompt: 'login consent' }))
    expect(locationOf(first)).toContain('/sign-in?')
    await expectPage(await browser.follow(first), 200)
  })

  test('max_age: an old sign-in is asked for again, a fresh one is enough, 0 works once the user has signed in', async () => {
    const browser = await signedIn(world)
    await world.authorize({ scope: 'a' }, { browser })
    world.clock.advance(100)
    const ask = (maxAge: string) => browser.get(world.authorizeUrl({ scope: 'a', max_age: maxAge }))
    expect(locationOf(await ask('100'))).toContain(`${REDIRECT_URI}?code=`)
    for (const maxAge of ['99', '0']) {
      const first = await ask(maxAge)
      expect(locationOf(first)).toContain('/sign-in?')
      expect(locationOf(await browser.follow(first))).toContain(`${REDIRECT_URI}?code=`)
      world.clock.advance(100)
    }
  })

  test('AUT-043: max_age still holds when the form is submitted', async () => {
    const browser = await signedIn(world)
    world.clock.advance(1)
    const page = await browser.follow(
      await browser.get(world.authorizeUrl({ prompt: 'consent', max_age: '30' })),
    )
    world.clock.advance(31)
    const answer = await browser.submitConsent(page, { decision: 'allow' })
    expect(locationOf(answer)).toContain('/sign-in?')
  })

  test('AUT-043: acr_values not met: sign-in, and coming back without it is the error of its specification', async () => {
    const browser = await signedIn(world)
    const first = await browser.get(world.authorizeUrl({ acr_values: 'high' }))
    expect(locationOf(first)).toContain('/sign-in?')
    const back = await browser.follow(first)
    expect(expectRedirect(back, `${REDIRECT_URI}?`)).toMatchObject({
      error: 'unmet_authentication_requirements',
      state: 'the-state',
      iss: world.issuer,
    })
    await expectPage(await browser.get(asked[0]?.returnTo ?? ''))
  })

  test('AUT-043: acr_values met by the second sign-in goes on, and the token says so', async () => {
    const browser = await signedIn(world)
    const first = await browser.get(world.authorizeUrl({ acr_values: 'high', prompt: 'consent' }))
    world.users.alice = { acr: 'high', amr: ['pwd', 'otp'] }
    const page = await browser.follow(first)
    expect(isConsent(page.url)).toBe(true)
    await expectPage(page, 200)
  })

  test('the requests of two tabs do not disturb each other', async () => {
    const browser = await signedIn(world)
    const pages = []
    for (const state of ['one', 'two'])
      pages.push(await browser.follow(await browser.get(world.authorizeUrl({ state, prompt: 'consent' }))))
    for (const [index, state] of [...['one', 'two'].entries()].reverse()) {
      const answer = await browser.submitConsent(pages[index] as Response, { decision: 'allow' })
      expect(expectRedirect(answer, `${REDIRECT_URI}?`).state).toBe(state)
    }
  })
})

describe('what resolveUser returns is checked', () => {
  test('a wrong user is a fault of the app, told to the client without detail', async () => {
    for (const user of [
      { subject: '', authTime: 1 },
      { subject: 'client:x', authTime: 1 },
      { subject: 'x'.repeat(256), authTime: 1 },
      { subject: 7, authTime: 1 },
      { subject: 'alice' },
      { subject: 'alice', authTime: Date.now() * 1000 },
      { subject: 'alice', authTime: Number.NaN },
      { subject: 'alice', authTime: 1, acr: 5 },
      { subject: 'alice', authTime: 1, amr: 'pwd' },
      { subject: 'alice', authTime: 1, displayName: {} },
      'alice',
      true,
      [],
    ]) {
      const odd = await startWorld({ authorize: { resolveUser: () => user as never } })
      try {
        const response = await new Browser(odd.base).get(odd.authorizeUrl({}))
        const answer = expectRedirect(response, `${REDIRECT_URI}?`)
        expect([user, answer.error]).toEqual([user, 'server_error'])
        expect(answer.error_description).not.toContain('resolveUser')
        expect(odd.eventsNamed('fault')).toHaveLength(1)
      } finally {
        await odd.close()
      }
    }
  })

  test('signInUrl that returns no text is a fault of the app', async () => {
    const odd = await startWorld({ authorize: { signInUrl: () => undefined as never } })
    try {
      const response = await new Browser(odd.base).get(odd.authorizeUrl({}))
      expect(expectRedirect(response, `${REDIRECT_URI}?`).error).toBe('server_error')
    } finally {
      await odd.close()
    }
  })
})
