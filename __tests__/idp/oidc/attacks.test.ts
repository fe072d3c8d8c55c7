import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { CLIENT, type Site, type SiteBrowser, startSite } from './site.ts'
import {
  answerUrl,
  begin,
  idToken,
  type StubProvider,
  signInWith,
  startStubProvider,
} from './stub-provider.ts'

let site: Site
let stub: StubProvider
let browser: SiteBrowser
beforeEach(async () => {
  stub = await startStubProvider()
  site = await startSite({ issuer: stub.issuer })
  browser = site.browser()
})
afterEach(async () => {
  await site.close()
  await stub.close()
})

const asked = () => stub.requests.filter(({ path }) => path === '/token')

describe('state (OpenID Connect Core §3.1.2.1, RFC 9700 §4.7)', () => {
  test('an answer works once', async () => {
    const sent = await begin(site, browser)
    stub.claims = idToken(site, stub, sent)
    expect((await browser.get(answerUrl(site, stub, sent))).status).toBe(303)
    expect((await browser.get(answerUrl(site, stub, sent))).status).toBe(400)
    expect(asked()).toHaveLength(1)
  })

  test('login CSRF: the answer to another browser’s sign-in is not taken', async () => {
    const attacker = await begin(site, site.browser())
    await begin(site, browser)
    stub.claims = idToken(site, stub, attacker)
    expect((await browser.get(answerUrl(site, stub, attacker))).status).toBe(400)
    expect(await site.who(browser)).toBeNull()
    expect(asked()).toHaveLength(0)
  })

  test.each([
    ['missing', { state: '' }],
    ['wrong', { state: 'AAAAAAAAAAAAAAAAAAAAAA' }],
    ['a property of objects', { state: '__proto__' }],
  ])('%s', async (_, more) => {
    const sent = await begin(site, browser)
    expect((await browser.get(answerUrl(site, stub, sent, more))).status).toBe(400)
    expect(asked()).toHaveLength(0)
  })

  test.each(['state', 'code', 'iss'])('%s twice', async (name) => {
    const sent = await begin(site, browser)
    stub.claims = idToken(site, stub, sent)
    const url = new URL(answerUrl(site, stub, sent))
    url.searchParams.append(name, url.searchParams.get(name) ?? '')
    expect((await browser.get(url.href)).status).toBe(400)
    expect(asked()).toHaveLength(0)
  })

  test('too late', async () => {
    const sent = await begin(site, browser)
    site.clock.advance(601)
    stub.claims = idToken(site, stub, sent)
    expect((await browser.get(answerUrl(site, stub, sent))).status).toBe(400)
  })

  test('the state of a sign-out is none of a sign-in, nor the other way round', async () => {
    await signInWith(site, stub, browser)
    const { state = '' } = await begin(site, browser)
    expect((await browser.get(`${site.url}/signed-out?state=${state}`)).status).toBe(400)
    const out = await browser.send(`${site.url}/sign-out`, { method: 'POST' })
    const url = new URL(out.headers.get('location') ?? '')
    const sent = { state: url.searchParams.get('state') ?? '' }
    expect((await browser.get(answerUrl(site, stub, sent))).status).toBe(400)
    expect(asked()).toHaveLength(1)
  })
})

describe('mix-up (RFC 9207 §2.4)', () => {
  test.each([
    ['missing', { iss: '' }],
    ['another provider’s', { iss: 'https://evil.example' }],
  ])('iss is %s: the code goes nowhere', async (_, more) => {
    const sent = await begin(site, browser)
    expect((await browser.get(answerUrl(site, stub, sent, more))).status).toBe(400)
    expect(asked()).toHaveLength(0)
    expect(await site.who(browser)).toBeNull()
  })

  test('an error with another iss is not believed either', async () => {
    const sent = await begin(site, browser)
    const more = { iss: 'https://evil.example', error: 'access_denied' }
    expect((await browser.get(answerUrl(site, stub, sent, more))).status).toBe(400)
  })
})

describe('the ID token (OpenID Connect Core §3.1.3.7)', () => {
  test.each<[string, Record<string, unknown>]>([
    ['another nonce', { nonce: 'AAAAAAAAAAAAAAAAAAAAAA' }],
    ['no nonce', { nonce: undefined }],
    ['another issuer', { iss: 'https://evil.example' }],
    ['another audience', { aud: 'another-app' }],
    ['several audiences and no azp', { aud: [CLIENT.id, 'another-app'] }],
    ['another azp', { aud: [CLIENT.id, 'another-app'], azp: 'another-app' }],
    ['expired', { exp: 1_000_000_000 }],
    ['no exp', { exp: undefined }],
    ['no sub', { sub: undefined }],
    ['a sub that is no text', { sub: 7 }],
    ['an empty sub', { sub: '' }],
    ['a sub that is too long', { sub: 'x'.repeat(600) }],
    ['a sid that is no text', { sid: { a: 1 } }],
    ['an empty sid', { sid: '' }],
    ['a sid that is too long', { sid: 'x'.repeat(600) }],
    ['an auth_time that is no number', { auth_time: 'now' }],
  ])('%s: refused, the provider’s fault', async (_, claims) => {
    const response = await signInWith(site, stub, browser, claims)
    expect(response.status).toBe(502)
    expect(await site.who(browser)).toBeNull()
    expect(site.faults()).toHaveLength(1)
  })

  test.each(['another key', 'none', 'HS256 with the client secret', 'no ID token'])('%s', async (how) => {
    const sent = await begin(site, browser)
    const claims = idToken(site, stub, sent)
    const token =
      how === 'another key'
        ? await stub.sign(claims, {}, stub.otherKey)
        : how === 'none'
          ? `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`
          : await stub.sign(claims, { alg: 'HS256' }, Buffer.from(CLIENT.secret))
    stub.token = async () => ({
      body: { access_token: 'a', token_type: 'Bearer', ...(how !== 'no ID token' && { id_token: token }) },
    })
    expect((await browser.get(answerUrl(site, stub, sent))).status).toBe(502)
    expect(await site.who(browser)).toBeNull()
  })
})

test('PKCE: the verifier of this sign-in goes with the code, the secret in the header', async () => {
  const sent = await begin(site, browser)
  stub.claims = idToken(site, stub, sent)
  await browser.get(answerUrl(site, stub, sent))
  const [{ body, authorization } = { body: '', authorization: '' }] = asked()
  const form = new URLSearchParams(body)
  const { createHash } = await import('node:crypto')
  const challenge = createHash('sha256')
    .update(form.get('code_verifier') ?? '')
    .digest('base64url')
  expect(challenge).toBe(sent.code_challenge)
  expect(form.get('redirect_uri')).toBe(`${site.url}/callback`)
  expect(authorization).toMatch(/^Basic /)
})

test.each([
  'https://evil.example/',
  '//evil.example/',
  '/\\evil.example',
  '/.//evil.example',
  '/%09/evil.example/..//x',
  'javascript:alert(1)',
  '\t//evil.example',
  '/a\r\nSet-Cookie: a=b',
])('return_to=%j leads nowhere else', async (returnTo) => {
  const response = await signInWith(
    site,
    stub,
    browser,
    {},
    `?${new URLSearchParams({ return_to: returnTo })}`,
  )
  const location = response.headers.get('location')
  if (response.status === 303) expect(new URL(location ?? '', site.base).origin).toBe(site.base)
  else expect(location).toBeNull()
})

test('a Host header decides nothing', async () => {
  const { request } = await import('node:http')
  const location = await new Promise<string>((resolve, reject) => {
    const sent = request(site.url, { headers: { host: 'evil.example' } }, (res) =>
      resolve(res.headers.location ?? ''),
    )
    sent.on('error', reject).end()
  })
  expect(new URL(location).searchParams.get('redirect_uri')).toBe(`${site.url}/callback`)
})

test('session fixation: a session that was planted is not the one that is signed in', async () => {
  await begin(site, browser)
  const planted = browser.cookies.get('app') ?? ''
  await signInWith(site, stub, browser)
  expect(browser.cookies.get('app')).not.toBe(planted)
  const attacker = site.browser()
  attacker.cookies.set('app', planted)
  expect(await site.who(attacker)).toBeNull()
  expect((await site.who(browser)).subject).toBe('alice')
})

test('a sign-out must come from this site', async () => {
  await signInWith(site, stub, browser)
  for (const headers of [
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
  ] as Record<string, string>[]) {
    const response = await browser.send(`${site.url}/sign-out`, { method: 'POST', headers })
    expect(response.status).toBe(403)
  }
  expect((await browser.get(`${site.url}/sign-out`)).status).toBe(200)
  expect((await site.who(browser)).subject).toBe('alice')
})

test('other paths and methods', async () => {
  expect((await browser.get(`${site.url}/elsewhere`)).status).toBe(404)
  const wrong = await browser.get(`${site.url}/backchannel-logout`)
  expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST'])
})

test('no secret is in an event, an error page or a URL of the app', async () => {
  const texts: string[] = []
  const secrets = [CLIENT.secret, 'at-secret', 'the-code']
  const see = async (response: Response) =>
    void texts.push(await response.text(), [...response.headers].join('\n'))
  for (const claims of [{}, { nonce: 'other' }, { session_expiry: 'soon' }, { sub: 7 }]) {
    await see(await signInWith(site, stub, browser, claims))
    secrets.push(String(stub.claims.nonce))
  }
  for (const body of ['at-secret {', { error: 'invalid_client', error_description: CLIENT.secret }, 'null']) {
    const sent = await begin(site, browser)
    stub.token = async () => ({ status: typeof body === 'string' ? 200 : 401, body })
    await see(await browser.get(answerUrl(site, stub, sent)))
  }
  const told = site.events.map((event) => {
    const { error, ...rest } = event as { error?: unknown }
    const words: string[] = []
    for (let one = error; one instanceof Error; one = one.cause)
      words.push(one.stack ?? '', JSON.stringify(one))
    return JSON.stringify(rest) + words.join('\n')
  })
  expect(site.faults().length).toBeGreaterThanOrEqual(6)
  for (const secret of secrets.filter((one) => one !== 'other' && one !== 'undefined'))
    expect([...told, ...texts].filter((text) => text.includes(secret))).toEqual([])
})
