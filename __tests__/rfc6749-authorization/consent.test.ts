import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { ConsentView, ErrorView } from '../../lib/index.ts'
import {
  Browser,
  CONFIDENTIAL,
  claimsOf,
  PUBLIC,
  pkce,
  REDIRECT_URI,
  startWorld,
  type World,
} from '../support/world.ts'
import { expectPage, expectRedirect, signedIn, stranger } from './pages.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const consentUrl = () => `${world.endpoint('authorize')}/consent`

/** A user who sees the consent page of a request. */
async function atConsent(parameters: Record<string, string | undefined> = {}, as = 'alice') {
  const browser = await signedIn(world, as)
  const page = await browser.follow(
    await browser.get(world.authorizeUrl({ prompt: 'consent', ...parameters })),
  )
  expect(page.status).toBe(200)
  const { url } = page
  const text = await page.text()
  const { fields } = await browser.readForm(text)
  const submit = (changed: [string, string][], from = browser, headers: Record<string, string> = {}) =>
    from.send(consentUrl(), { method: 'POST', body: new URLSearchParams(changed), headers })
  return { browser, url, text, fields, submit, yes: [...fields, ['decision', 'allow']] as [string, string][] }
}
const grants = () => world.eventsNamed('authorization.granted').length

describe('the page', () => {
  test('AUT-028, AUT-029: consent is framed by nobody, cached by nobody, and loads nothing', async () => {
    const { browser, url } = await atConsent({ scope: 'a b' })
    const page = await browser.get(url)
    const text = await expectPage(page, 200)
    expect(page.headers.get('content-security-policy')).toContain(
      "form-action 'self' https://client.example;",
    )
    for (const words of ['Confidential', 'client.example', 'Alice', 'Read your things', 'Change your things'])
      expect(text).toContain(words)
    expect(text).not.toContain('Delete your things')
    expect(text).not.toContain('registered itself')
    expect(text).toContain('<html lang="en">')
    expect([...text.matchAll(/<label for="([^"]+)"/g)].map(([, id]) => id)).toEqual(
      [...text.matchAll(/<input type="checkbox" id="([^"]+)"/g)].map(([, id]) => id),
    )
  })

  test('AUT-028, AUT-029: every error page has the same headers', async () => {
    await expectPage(await new Browser(world.base).get(`${consentUrl()}?request=x`))
    await expectPage(await new Browser(world.base).get(consentUrl()))
    await expectPage(await new Browser(world.base).send(consentUrl(), { method: 'POST' }))
  })

  test('AUT-032: names of strangers are escaped, isolated, cut, and never the only thing to see', async () => {
    const { id, redirectUri } = await stranger(world, { client_name: `<b onclick="x">&"'${'y'.repeat(180)}` })
    const { text } = await atConsent({ client_id: id, redirect_uri: redirectUri })
    expect(text).toContain('<bdi>&#60;b onclick=&#34;x&#34;&#62;&#38;&#34;&#39;yyy')
    expect(text).not.toContain('<b ')
    expect(text).not.toContain('y'.repeat(81))
    expect(text).toContain('<strong>stranger.example</strong>')
    expect(text).toContain('registered itself')
  })

  test('AUT-032: what a store was made to hold is shown without tricks', async () => {
    const odd = await startWorld({
      aat: {
        clients: [
          {
            clientId: 'odd',
            name: 'A\u202eB\nC\u200bD\u2028E\u0007',
            redirectUris: [REDIRECT_URI],
          },
        ],
      },
    })
    try {
      const browser = await signedIn(odd)
      const page = await browser.follow(await browser.get(odd.authorizeUrl({ client_id: 'odd' })))
      const text = await expectPage(page, 200)
      expect(text).toContain('<bdi>ABCDE</bdi>')
      expect(text).not.toMatch(/\u202e|\u200b|\u2028/)
    } finally {
      await odd.close()
    }
  })

  test('AUT-032: a displayName is escaped too', async () => {
    world.users.mallory = { displayName: '<script>alert(1)</script>' }
    const { text } = await atConsent({}, 'mallory')
    expect(text).toContain('&#60;script&#62;')
    expect(text).not.toContain('<script')
  })

  test('AUT-028: an odd host of a registered redirect URI cannot break the headers of the page', async () => {
    for (const host of [
      'a;sandbox.example',
      'a,b.example',
      'a;frame-ancestors',
      "a'b.example",
      'a$b.example',
    ]) {
      const { status, body } = await world.register({
        redirect_uris: [`https://${host}/cb`],
        token_endpoint_auth_method: 'none',
      })
      expect([host, status, body.error]).toEqual([host, 400, 'invalid_redirect_uri'])
    }
    for (const uri of [
      'https://a_b.example/cb',
      'https://xn--bcher-kva.example:8443/cb',
      'https://[2001:db8::1]/cb',
    ]) {
      const { id } = await stranger(world, { redirect_uris: [uri] })
      await atConsent({ client_id: id, redirect_uri: uri })
    }
  })
})

describe('the form is bound to its request, its browser and its user', () => {
  test('AUT-031: nothing of the request can be changed in the form', async () => {
    const before = grants()
    const { submit, yes } = await atConsent({ scope: 'a' })
    for (const extra of [
      ['client_id', 'public'],
      ['redirect_uri', 'https://evil.example/cb'],
      ['scope', 'b'],
      ['scope', 'x'],
      ['state', 'y'],
      ['code_challenge', pkce().challenge],
      ['decision', 'allow'],
      ['request', 'x'.repeat(32)],
      ['token', 'x'],
      ['__proto__', 'x'],
    ] as [string, string][])
      await expectPage(await submit([...yes, extra]))
    for (const name of ['token', 'request', 'decision'])
      await expectPage(await submit(yes.filter(([field]) => field !== name)))
    for (const [name, value] of [
      ['token', ''],
      ['token', 'A'.repeat(43)],
      ['decision', 'yes'],
      ['decision', 'Allow'],
      ['request', 'A'.repeat(32)],
    ])
      await expectPage(await submit(yes.map(([field, old]) => [field, field === name ? (value ?? '') : old])))
    expect(grants()).toBe(before)
    expectRedirect(await submit(yes), `${REDIRECT_URI}?code=`)
  })

  test('AUT-031: the handle is nothing in another browser, with or without the user', async () => {
    const before = grants()
    const { url, submit, yes } = await atConsent()
    for (const other of [new Browser(world.base), await signedIn(world), await signedIn(world, 'bob')]) {
      await expectPage(await other.get(url))
      await expectPage(await submit(yes, other))
    }
    // A browser with a cookie of its own, from a request of its own.
    const { browser: neighbour } = await atConsent()
    await expectPage(await neighbour.get(url))
    await expectPage(await submit(yes, neighbour))
    expect(grants()).toBe(before)
    expectRedirect(await submit(yes), `${REDIRECT_URI}?code=`)
  })

  test('AUT-031: the form of one user is nothing for the next one in the same browser', async () => {
    const before = grants()
    const { browser, submit, yes } = await atConsent()
    await browser.get('/sign-in?as=bob&return_to=/')
    await expectPage(await submit(yes))
    expect(grants()).toBe(before)
  })

  test('AUT-031: the form of one request is nothing for another request', async () => {
    const one = await atConsent({ scope: 'a' })
    const page = await one.browser.follow(
      await one.browser.get(world.authorizeUrl({ scope: 'a b', prompt: 'consent' })),
    )
    const { fields } = await one.browser.readForm(page)
    const request = fields.find(([name]) => name === 'request')?.[1] ?? ''
    await expectPage(
      await one.submit(one.yes.map(([name, value]) => [name, name === 'request' ? request : value])),
    )
  })

  test('AUT-031: a form that another site sends is refused', async () => {
    const before = grants()
    const { submit, yes, browser } = await atConsent()
    for (const site of ['cross-site', 'same-site', 'none'])
      await expectPage(await submit(yes, browser, { 'Sec-Fetch-Site': site }))
    expect(grants()).toBe(before)
    expectRedirect(await submit(yes, browser, { 'Sec-Fetch-Site': 'same-origin' }), `${REDIRECT_URI}?code=`)
  })

  test('AUT-031: the cookie is HttpOnly and SameSite, and __Host- and Secure over https', async () => {
    const browser = await signedIn(world)
    const [cookie] = (await browser.get(world.authorizeUrl({ prompt: 'consent' }))).headers.getSetCookie()
    expect(cookie).toMatch(/^aat_browser=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Lax$/)
    const https = await startWorld({ issuer: 'https://as.example' })
    try {
      const response = await (await signedIn(https)).get(https.authorizeUrl({}))
      expect(response.headers.getSetCookie()[0]).toMatch(
        /^__Host-aat_browser=[A-Za-z0-9_-]{43}; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
      )
    } finally {
      await https.close()
    }
  })

  test('AUT-044: of twenty submissions of one form, one gets a code', async () => {
    const { submit, yes, url, browser } = await atConsent()
    const before = grants()
    const answers = await Promise.all(Array.from({ length: 20 }, () => submit(yes)))
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(19)
    expect(grants()).toBe(before + 1)
    await expectPage(await browser.get(url))
    await expectPage(await submit(yes))
  })

  test('AUT-044: after a denial there is no way back to yes', async () => {
    const { submit, yes, fields } = await atConsent()
    const before = grants()
    expect(expectRedirect(await submit([...fields, ['decision', 'deny']]), `${REDIRECT_URI}?`).error).toBe(
      'access_denied',
    )
    await expectPage(await submit(yes))
    expect(grants()).toBe(before)
  })

  test('AUT-044: the request ends with its time', async () => {
    const { submit, yes, browser, url } = await atConsent()
    world.clock.advance(600)
    await expectPage(await browser.get(url))
    await expectPage(await submit(yes))
  })

  test('AUT-031: a client that is deleted meanwhile gets nothing', async () => {
    const { id, redirectUri } = await stranger(world)
    const { submit, yes, browser, url } = await atConsent({ client_id: id, redirect_uri: redirectUri })
    expect(await world.aat.clients.delete(id)).toBe('deleted')
    await expectPage(await browser.get(url))
    await expectPage(await submit(yes))
  })
})

describe('what the user chose', () => {
  test('scopes that were not ticked are not granted', async () => {
    const { body } = await world.signInAndGetTokens(
      { scope: 'a b c', prompt: 'consent' },
      {},
      { scopes: ['a', 'c'] },
    )
    expect(body.scope).toBe('a c')
    expect(claimsOf(body.access_token).scope).toBe('a c')
    const refreshed = await world.refresh(body.refresh_token, { scope: 'b' })
    expect([refreshed.status, refreshed.body.error]).toEqual([400, 'invalid_scope'])
  })

  test('a remembered consent covers what was agreed to, and nothing more', async () => {
    const fresh = await startWorld({ aat: { consentLifetime: 1000 } })
    try {
      const browser = await signedIn(fresh)
      const step = async (parameters: Record<string, string>) =>
        (await browser.get(fresh.authorizeUrl(parameters))).headers.get('location') ?? ''
      await fresh.authorize({ scope: 'a b' }, { browser, scopes: ['a'] })
      expect(await step({ scope: 'a' })).toContain(`${REDIRECT_URI}?code=`)
      expect(await step({ scope: 'b' })).toContain('/consent?request=')
      expect(await step({ scope: 'a b' })).toContain('/consent?request=')
      expect(await step({ scope: 'a', resource: fresh.otherResource })).toContain('/consent?request=')
      expect(await step({ scope: 'a', prompt: 'consent' })).toContain('/consent?request=')
      expect(await step({ scope: 'a', client_id: PUBLIC.id })).toContain('/consent?request=')
      const bob = await signedIn(fresh, 'bob')
      expect((await bob.get(fresh.authorizeUrl({ scope: 'a' }))).headers.get('location')).toContain(
        '/consent?',
      )
      fresh.clock.advance(1000)
      expect(await step({ scope: 'a' })).toContain('/consent?request=')
    } finally {
      await fresh.close()
    }
  })

  test('AUT-044: each remembered answer is a new code, and both are single-use', async () => {
    const first = await world.authorize({ scope: 'a', prompt: 'consent' })
    const url = world.authorizeUrl({ scope: 'a' })
    const codes = await Promise.all(
      [1, 2].map(async () => expectRedirect(await first.browser.get(url), `${REDIRECT_URI}?`).code),
    )
    expect(new Set([first.code, ...codes]).size).toBe(3)
  })

  test('consentLifetime 0 remembers nothing', async () => {
    const fresh = await startWorld({ aat: { consentLifetime: 0 } })
    try {
      const { browser } = await fresh.authorize({ scope: 'a' })
      const again = await browser.get(fresh.authorizeUrl({ scope: 'a' }))
      expect(again.headers.get('location')).toContain('/consent?request=')
    } finally {
      await fresh.close()
    }
  })

  test('a public client on loopback or a private-use scheme is asked about each time (RFC 8252 section 8.6)', async () => {
    for (const uri of ['http://127.0.0.1:9999/cb', 'http://[::1]:9999/cb', 'com.example.app:/cb']) {
      const { id } = await stranger(world, { redirect_uris: [uri] })
      const parameters = { client_id: id, redirect_uri: uri, scope: 'a' }
      const { browser, code } = await world.authorize(parameters)
      expect(code).not.toBe('')
      const again = await browser.get(world.authorizeUrl(parameters))
      expect(again.headers.get('location')).toContain('/consent?request=')
      const silent = await browser.get(world.authorizeUrl({ ...parameters, prompt: 'none' }))
      expect(silent.headers.get('location')).toContain('error=consent_required')
    }
    const { id, redirectUri } = await stranger(world)
    const parameters = { client_id: id, redirect_uri: redirectUri, scope: 'a' }
    const { browser } = await world.authorize(parameters)
    const again = await browser.get(world.authorizeUrl(parameters))
    expect(again.headers.get('location')).toContain(`${redirectUri}?code=`)
  })
})

describe('pages of the app', () => {
  test('renderConsent gets the view, strict headers are set, and its form works', async () => {
    const views: ConsentView[] = []
    const own = await startWorld({
      authorize: {
        renderConsent(view, _req, res) {
          views.push(view)
          const hidden = Object.entries(view.form.fields).map(
            ([name, value]) => `<input type="hidden" name="${name}" value="${value}">`,
          )
          res.send(`<form action="${view.form.action}">${hidden}<input name="scope" value="a"></form>`)
        },
      },
    })
    try {
      const browser = await signedIn(own)
      const page = await browser.follow(await browser.get(own.authorizeUrl({ scope: 'a b' })))
      expect(page.headers.get('x-frame-options')).toBe('DENY')
      expect(page.headers.get('cache-control')).toBe('no-store')
      expect(page.headers.get('content-security-policy')).toContain("frame-ancestors 'none'")
      const answer = await browser.submitConsent(page, { decision: 'allow' })
      expect(expectRedirect(answer, `${REDIRECT_URI}?`).code).toMatch(/./)
      expect(views).toEqual([
        expect.objectContaining({
          client: expect.objectContaining({ id: CONFIDENTIAL.id, name: 'Confidential', isVouchedFor: true }),
          redirectHost: 'client.example',
          user: { subject: 'alice', displayName: 'Alice' },
          scopes: [
            { scope: 'a', description: 'Read your things' },
            { scope: 'b', description: 'Change your things' },
          ],
        }),
      ])
      expect(own.eventsNamed('authorization.granted')).toMatchObject([{ scope: 'a' }])
    } finally {
      await own.close()
    }
  })

  test('renderError gets the view', async () => {
    const views: ErrorView[] = []
    const own = await startWorld({
      authorize: {
        renderError(view, _req, res) {
          views.push(view)
          res.send('<h1>Sorry</h1>')
        },
      },
    })
    try {
      const response = await fetch(own.authorizeUrl({ client_id: 'nope' }))
      expect([response.status, await response.text()]).toEqual([400, '<h1>Sorry</h1>'])
      expect(response.headers.get('x-frame-options')).toBe('DENY')
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(views).toEqual([{ status: 400, code: 'invalid_client', description: expect.any(String) }])
    } finally {
      await own.close()
    }
  })

  test('HTP-008: a page of the app that throws shows the plain error page, and nothing of what was thrown', async () => {
    const failing = () => {
      throw new Error('SELECT secret')
    }
    const own = await startWorld({ authorize: { renderConsent: failing, renderError: failing } })
    try {
      const browser = await signedIn(own)
      const consent = await browser.follow(await browser.get(own.authorizeUrl({})))
      expect(await expectPage(consent, 500)).not.toContain('SELECT')
      const error = await browser.get(own.authorizeUrl({ client_id: 'nope' }))
      expect(await expectPage(error, 400)).not.toContain('SELECT')
      expect(own.eventsNamed('fault').length).toBeGreaterThanOrEqual(2)
    } finally {
      await own.close()
    }
  })
})
