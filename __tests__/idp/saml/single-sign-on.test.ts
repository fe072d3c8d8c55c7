import { createHash } from 'node:crypto'
import { inflateRawSync } from 'node:zlib'
import { afterEach, describe, expect, test } from '@jest/globals'
import { samlSignIn } from '../../../lib/idp.ts'
import { manualClock, startWorld } from '../../support/world.ts'
import { decode, ours, SESSION, type Site, type SiteOptions, signMessage, startSite, theirs } from './site.ts'

const sites: Site[] = []

async function start(options?: SiteOptions) {
  const site = await startSite(options)
  sites.push(site)
  return site
}

afterEach(async () => {
  await Promise.all(sites.splice(0).map((site) => site.close()))
})

const requestIn = (address: string) =>
  inflateRawSync(Buffer.from(new URL(address).searchParams.get('SAMLRequest') ?? '', 'base64')).toString()

describe('refresh tokens live as long as the session at the provider', () => {
  test('sign in, consent, refresh, and the end of the session', async () => {
    const { tokens, clock, world } = await start()
    const first = await tokens()
    expect(first.status).toBe(200)
    expect(first.body.refresh_token_expires_in).toBe(SESSION)
    clock.advance(SESSION / 2)
    const second = await world.refresh(first.body.refresh_token)
    expect(second.body.refresh_token_expires_in).toBe(SESSION / 2)
    expect((await world.call('/api/a', second.body.access_token)).body).toMatchObject({ subject: 'alice' })
    clock.advance(SESSION / 2)
    const after = await world.refresh(second.body.refresh_token)
    expect([after.status, after.body.error]).toEqual([400, 'invalid_grant'])
  })

  test('a session that goes on takes along what was granted in it', async () => {
    const { tokens, clock, world, provider, newBrowser, signInAs } = await start()
    const browser = newBrowser()
    const first = await tokens(browser)
    clock.advance(SESSION / 2)
    for (const session of provider.sessions.values()) session.endsAt += SESSION
    // The provider tells the new end when the user comes by.
    expect((await signInAs(browser)).status).toBe(303)
    expect(world.eventsNamed('idp_session.updated')).toHaveLength(1)
    clock.advance(SESSION / 2 + 1)
    const second = await world.refresh(first.body.refresh_token)
    expect(second.status).toBe(200)
    expect(second.body.refresh_token_expires_in).toBe(SESSION - 1)
  })

  test('no SessionNotOnOrAfter: no refresh token; unless the app knows the end', async () => {
    const without = (xml: string) => xml.replace(/ SessionNotOnOrAfter="[^"]+"/, '')
    const silent = await start({ provider: { alter: without } })
    const first = await silent.tokens()
    expect([first.status, first.body.refresh_token]).toEqual([200, undefined])
    const known = await start({
      provider: { alter: without },
      signIn: {
        sessionEnd: ({ attributes }) => (attributes.displayName?.[0] === 'Alice' ? 1_800_000_600 : undefined),
      },
    })
    expect((await known.tokens()).body.refresh_token_expires_in).toBe(600)
  })

  test.each([
    ['has passed', (now: number) => new Date(now * 1000).toISOString(), /SessionNotOnOrAfter has passed/],
    ['is nonsense', () => 'tomorrow', /SessionNotOnOrAfter of the SAML message is not a time/],
    [
      'is no time of day',
      () => '2027-01-15T25:00:00Z',
      /SessionNotOnOrAfter of the SAML message is not a time/,
    ],
  ])('a SessionNotOnOrAfter that %s', async (_, end, words) => {
    const { alter, clock, signInAs, newBrowser, textOf } = await start()
    alter.message = (xml) =>
      xml.replace(/SessionNotOnOrAfter="[^"]+"/, `SessionNotOnOrAfter="${end(clock())}"`)
    const refused = await signInAs(newBrowser())
    expect([refused.status, await textOf(refused)]).toEqual([400, expect.stringMatching(words)])
  })

  test.each([
    ['a duration', 3600, /not a duration/],
    ['milliseconds', 1_800_000_000_000, /divide by 1000/],
  ])('sessionEnd that returns %s is a fault of the app', async (_, end, words) => {
    const { alter, signInAs, newBrowser, world } = await start({ signIn: { sessionEnd: () => end } })
    alter.message = (xml) => xml.replace(/ SessionNotOnOrAfter="[^"]+"/, '')
    expect((await signInAs(newBrowser())).status).toBe(500)
    expect(world.eventsNamed('fault')).toEqual([
      expect.objectContaining({ error: expect.objectContaining({ message: expect.stringMatching(words) }) }),
    ])
  })
})

describe('the request', () => {
  test('is signed, and asks for what the client asked for', async () => {
    const { newBrowser, url, provider } = await start()
    const asked = await newBrowser().get(
      `${url}/?${new URLSearchParams({ return_to: '/x', prompt: 'login', acr_values: 'urn:a b&c' })}`,
    )
    expect(asked.status).toBe(303)
    const address = asked.headers.get('location') ?? ''
    expect(new URL(address).searchParams.get('SigAlg')).toBe(
      'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    )
    const xml = requestIn(address)
    expect(xml).toMatch(`Destination="${provider.signInUrl}"`)
    expect(xml).toMatch(`AssertionConsumerServiceURL="${url}/callback"`)
    expect(xml).toMatch('ForceAuthn="true"')
    expect(xml).toMatch(
      'Comparison="exact"><saml:AuthnContextClassRef>urn:a</saml:AuthnContextClassRef><saml:AuthnContextClassRef>b&#38;c<',
    )
    const plain = await newBrowser().get(`${url}/`)
    expect(requestIn(plain.headers.get('location') ?? '')).not.toMatch(/ForceAuthn|RequestedAuthnContext/)
  })

  test('prompt=login: the provider asks again, also where its clock is behind', async () => {
    let behind = 0
    const site = await start({
      provider: {
        alter: (xml) =>
          xml.replace(
            /AuthnInstant="([^"]+)"/,
            (_, at) => `AuthnInstant="${new Date(Date.parse(at) - behind).toISOString()}"`,
          ),
      },
    })
    const browser = site.newBrowser()
    await site.tokens(browser)
    site.clock.advance(100)
    behind = 20_000
    expect((await site.tokens(browser, 'alice', { prompt: 'login' })).status).toBe(200)
    // A provider that took the old sign-in all the same.
    behind = 40_000
    const answer = await site.answerOf(browser, `${site.url}/?prompt=login`)
    const refused = await site.deliver(browser, answer)
    expect([refused.status, await site.textOf(refused)]).toEqual([
      400,
      expect.stringMatching(/did not ask for credentials/),
    ])
  })

  test('max_age: whoever comes back too old signs in anew, and only then', async () => {
    const site = await start()
    const browser = site.newBrowser()
    await site.tokens(browser)
    site.clock.advance(100)
    const force = async (age: number) =>
      requestIn((await browser.get(`${site.url}/?max_age=${age}`)).headers.get('location') ?? '').includes(
        'ForceAuthn',
      )
    expect([await force(1000), await force(99), await force(0)]).toEqual([false, true, true])
    const { status } = await site.tokens(browser, 'alice', { max_age: '50' })
    expect(status).toBe(200)
  })

  test('acr_values: the class that the provider states is the acr of the token', async () => {
    const { tokens, world } = await start()
    const { body } = await tokens(undefined, 'alice', { acr_values: 'urn:example:mfa' })
    expect((await world.call('/api/a', body.access_token)).body.claims.acr).toBe('urn:example:mfa')
  })
})

describe('the answer', () => {
  test('comes without cookies, and is sent on once by our own page', async () => {
    const { answerOf, newBrowser, postFromElsewhere, submit, url, textOf } = await start()
    const browser = newBrowser()
    const { action, SAMLResponse } = await answerOf(browser)
    const page = await postFromElsewhere(action, { SAMLResponse, RelayState: '<&">' })
    const text = await page.clone().text()
    expect(page.status).toBe(200)
    expect(page.headers.get('set-cookie')).toBeNull()
    const script = /<script>([^<]+)<\/script>/.exec(text)?.[1] ?? ''
    const hash = createHash('sha256').update(script).digest('base64')
    expect(page.headers.get('content-security-policy')).toBe(
      `default-src 'none'; script-src 'sha256-${hash}'; frame-ancestors 'none'; base-uri 'none'`,
    )
    expect(text).toMatch('<button type="submit">')
    const { action: ownAction, fields } = await browser.readForm(text)
    expect(ownAction).toBe(new URL(`${url}/callback`).pathname)
    expect(Object.fromEntries(fields)).toEqual({ SAMLResponse, RelayState: '<&">', again: 'yes' })
    const second = await postFromElsewhere(action, Object.fromEntries(fields))
    expect([second.status, await textOf(second)]).toEqual([
      400,
      expect.stringMatching(/did not begin in this browser/),
    ])
    expect((await submit(browser, page)).headers.get('location')).toBe('/there')
  })

  test('our own page does not set a cookie, where the session middleware would', async () => {
    const { answerOf, newBrowser, postFromElsewhere } = await start({ session: { saveUninitialized: true } })
    const { action, SAMLResponse } = await answerOf(newBrowser())
    const page = await postFromElsewhere(action, { SAMLResponse })
    expect([page.status, page.headers.get('set-cookie')]).toEqual([200, null])
  })

  test('may come with the cookies at once, and in lines', async () => {
    const { answerOf, newBrowser, url } = await start()
    const browser = newBrowser()
    const { SAMLResponse } = await answerOf(browser)
    const lines = SAMLResponse.replace(/.{76}/g, '$&\r\n')
    const response = await browser.send(`${url}/callback`, {
      method: 'POST',
      body: new URLSearchParams({ SAMLResponse: lines }),
    })
    expect(response.headers.get('location')).toBe('/there')
  })

  test('of each of several tabs finds its own way back', async () => {
    const { answerOf, deliver, newBrowser, url } = await start()
    const browser = newBrowser()
    const first = await answerOf(browser, `${url}/?return_to=/first`)
    const second = await answerOf(browser, `${url}/?return_to=/second`)
    expect((await deliver(browser, second)).headers.get('location')).toBe('/second')
    expect((await deliver(browser, first)).headers.get('location')).toBe('/first')
  })

  test.each([
    ['of the future', '2199-01-01T00:00:00Z', /sign in in the future: the clocks differ/],
    ['of no time', '0001-01-01T00:00:00Z', /does not say when the user signed in/],
  ])('an AuthnInstant %s is refused', async (_, instant, words) => {
    const { signInAs, newBrowser, alter, textOf } = await start()
    alter.message = (xml) => xml.replace(/AuthnInstant="[^"]*"/, `AuthnInstant="${instant}"`)
    const answer = await signInAs(newBrowser())
    expect([answer.status, await textOf(answer)]).toEqual([400, expect.stringMatching(words)])
  })

  test('SessionNotOnOrAfter of the year 9999 is far away, and no mistake', async () => {
    const { tokens, alter } = await start()
    alter.message = (xml) =>
      xml.replace(/SessionNotOnOrAfter="[^"]*"/, 'SessionNotOnOrAfter="9999-12-31T23:59:59.999Z"')
    const { status, body } = await tokens()
    expect([status, body.refresh_token_expires_in]).toEqual([200, 30 * 86_400])
  })

  test('may be signed as a whole too', async () => {
    const { answerOf, deliver, newBrowser } = await start()
    const browser = newBrowser()
    const { SAMLResponse } = await answerOf(browser)
    const response = await deliver(browser, { SAMLResponse: signMessage(decode(SAMLResponse)) })
    expect(response.headers.get('location')).toBe('/there')
  })

  test('may have characters that XML escapes', async () => {
    const { signInAs, newBrowser, alter } = await start()
    alter.message = (xml) => xml.replaceAll('>Alice<', '>A &amp; &lt;b&gt; &#x1F600;<')
    expect((await signInAs(newBrowser())).status).toBe(303)
  })

  test('the subject is that of the app, where it says so', async () => {
    const { tokens, world } = await start({
      signIn: {
        subject: async ({ nameId, attributes }) => `${nameId}/${attributes.displayName}`,
        displayName: ({ attributes }) => attributes.displayName?.[0],
      },
    })
    const { body } = await tokens()
    expect((await world.call('/api/a', body.access_token)).body.subject).toBe('alice/Alice')
  })

  test.each(['sessionEnd', 'displayName'])(
    '%s may be asynchronous; where it rejects that is a fault of the app',
    async (name) => {
      let isAway = false
      const hook = async () => {
        if (isAway) throw new Error('the directory is away')
        return name === 'displayName' ? 'Alice' : 1_800_000_600
      }
      const { signInAs, newBrowser, alter, world } = await start({ signIn: { [name]: hook } })
      alter.message = (xml) => xml.replace(/ SessionNotOnOrAfter="[^"]+"/, '')
      expect((await signInAs(newBrowser())).status).toBe(303)
      isAway = true
      expect((await signInAs(newBrowser())).status).toBe(500)
      expect(world.eventsNamed('fault')).toMatchObject([{ error: { message: 'the directory is away' } }])
    },
  )

  test('a transient NameID is no subject, and the fault says what to do', async () => {
    const { signInAs, newBrowser, alter, world } = await start()
    alter.message = (xml) => xml.replace('nameid-format:persistent', 'nameid-format:transient')
    expect((await signInAs(newBrowser())).status).toBe(500)
    expect(world.eventsNamed('fault')[0]).toMatchObject({
      error: {
        message: 'samlSignIn: the NameID is transient, another one at each sign-in: give the option subject',
      },
    })
  })

  test('while the store is away it is kept for another try', async () => {
    const { answerOf, deliver, newBrowser, away } = await start()
    const browser = newBrowser()
    const answer = await answerOf(browser)
    away.replays = true
    const refused = await deliver(browser, answer)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    away.replays = false
    expect((await deliver(browser, answer)).status).toBe(303)
  })

  test('while keys rotate either certificate may have signed', async () => {
    // The same provider's keys, of which one is retired.
    for (const certificates of [
      [ours.certificate, theirs.certificate],
      ours.certificate + theirs.certificate,
    ]) {
      const { signInAs, newBrowser } = await start({ certificates })
      expect((await signInAs(newBrowser())).status).toBe(303)
    }
  })
})

test.each([25, -25])('a provider whose clock is off by %d seconds: in, and out again', async (skew) => {
  const clock = manualClock()
  const { tokens, world, provider } = await start({
    world: { clock },
    provider: { clock: () => clock() + skew },
  })
  const { status, body } = await tokens(undefined, 'alice', { prompt: 'login' })
  expect([status, body.refresh_token_expires_in]).toEqual([200, SESSION + skew])
  const [session] = provider.sessions.values()
  const request = provider.logoutRequest(session ?? { user: '', index: '' }, 'redirect') as string
  expect((await fetch(request, { redirect: 'manual' })).status).toBe(303)
  expect((await world.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
})

test('our metadata', async () => {
  const { url } = await start()
  const response = await fetch(`${url}/metadata`)
  const xml = await response.text()
  expect(response.headers.get('content-type')).toBe('application/samlmetadata+xml; charset=utf-8')
  expect(xml).toMatch(`entityID="${url}/metadata"`)
  expect(xml).toMatch('AuthnRequestsSigned="true" WantAssertionsSigned="true"')
  for (const binding of ['Redirect', 'POST'])
    expect(xml).toMatch(
      `<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-${binding}" Location="${url}/logout"/>`,
    )
  expect(xml).toMatch(`Location="${url}/callback" index="0"`)
  expect(xml).toMatch(ours.certificate.replace(/-----[^-]+-----|\n/g, ''))
})

describe('options', () => {
  const good = {
    url: 'https://shop.example/saml',
    idp: { entityId: 'urn:idp', signInUrl: 'https://idp.example/sso', certificates: theirs.certificate },
  }

  test.each<[string, object, RegExp]>([
    ['an unknown one', { ...good, nameid: 'x' }, /nameid is not an option/],
    ['http', { ...good, url: 'http://shop.example/saml' }, /url is http to a host that is not loopback/],
    ['a slash at the end', { ...good, url: 'https://shop.example/saml/' }, /no slash at its end/],
    [
      'no certificate',
      { ...good, idp: { ...good.idp, certificates: 'MIIB' } },
      /must be a certificate in PEM/,
    ],
    [
      'logout without a key',
      { ...good, idp: { ...good.idp, logoutUrl: 'https://idp.example/slo' } },
      /logoutUrl needs privateKey/,
    ],
    ['a key without its certificate', { ...good, privateKey: ours.privateKey }, /go together/],
    [
      'the certificate of another key',
      { ...good, privateKey: ours.privateKey, certificate: theirs.certificate },
      /certificate is not that of privateKey/,
    ],
    ['a way out of the site', { ...good, afterSignOut: '//evil.example' }, /must be a path of this site/],
  ])('%s', async (_, options, words) => {
    const world = await startWorld({ ready: false })
    try {
      expect(() => samlSignIn(world.aat, good)).not.toThrow()
      expect(() => samlSignIn(world.aat, options as never)).toThrow(words)
    } finally {
      await world.close()
    }
  })
})
