import { sign } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Browser, claimsOf } from '../../support/world.ts'
import { decode, encode, ours, type Site, signMessage, startSite, theirs } from './site.ts'

let site: Site
let browser: Browser
let refreshToken: string
let accessToken: string
beforeEach(async () => {
  site = await startSite()
  browser = site.newBrowser()
  const { body } = await site.tokens(browser)
  refreshToken = body.refresh_token
  accessToken = body.access_token
  site.clock.advance(1)
})
afterEach(() => site.close())

async function expectEnded(refresh = refreshToken, access = accessToken) {
  const answer = await site.world.refresh(refresh)
  expect([answer.status, answer.body.error]).toEqual([400, 'invalid_grant'])
  expect((await site.world.call('/api/a', access)).status).toBe(401)
}

async function expectAlive(refresh = refreshToken, access = accessToken) {
  expect((await site.world.call('/api/a', access)).status).toBe(200)
  expect((await site.world.refresh(refresh)).status).toBe(200)
}

const session = () => {
  const [first] = site.provider.sessions.values()
  if (first === undefined) throw new Error('nobody is signed in at the provider')
  return first
}

const get = (address: string) => fetch(address, { redirect: 'manual' })
const byRedirect = (relayState?: string) =>
  site.provider.logoutRequest(session(), 'redirect', relayState) as string

/** The form of a logout request by POST. */
function byPost(relayState?: string) {
  const form = site.provider.logoutRequest(session(), 'post', relayState)
  if (typeof form === 'string') throw new Error('a form was expected')
  return { SAMLRequest: form.context, ...(relayState !== undefined && { RelayState: relayState }) }
}

/** As browsers leave it: an apostrophe in a query is none of it. */
const spell = (text: string) => encodeURIComponent(text).replaceAll("'", '%27')

/** A message by redirect, signed by `key`: the provider's, where no other is named. */
function signed(
  xml: string,
  { kind = 'SAMLRequest', key = theirs.privateKey, relayState = '', algorithm = 'rsa-sha256' } = {},
) {
  const query = [
    `${kind}=${encodeURIComponent(deflateRawSync(xml).toString('base64'))}`,
    ...(relayState === '' ? [] : [`RelayState=${spell(relayState)}`]),
    `SigAlg=${encodeURIComponent(`http://www.w3.org/2001/04/xmldsig-more#${algorithm}`)}`,
  ].join('&')
  const digest = algorithm === 'rsa-sha512' ? 'sha512' : 'sha256'
  const signature = sign(digest, Buffer.from(query), key).toString('base64')
  return `${site.url}/logout?${query}&Signature=${encodeURIComponent(signature)}`
}

const xmlIn = (address: string, name = 'SAMLRequest') =>
  inflateRawSync(Buffer.from(new URL(address).searchParams.get(name) ?? '', 'base64')).toString()

async function expectRefusal(response: Response, words: RegExp, status = 400) {
  expect([response.status, await site.textOf(response)]).toEqual([status, expect.stringMatching(words)])
}

describe('the provider ends a session', () => {
  test.each(['redirect', 'post'])('by %s, in the browser', async (binding) => {
    const page = await site.submit(browser, await browser.get(site.provider.signOutUrl), { binding })
    const answer =
      binding === 'redirect'
        ? await browser.get(page.headers.get('location') ?? '')
        : await site.submit(browser, page)
    expect(answer.status).toBe(303)
    // The provider checks our signature over the RelayState too.
    const end = await browser.get(answer.headers.get('location') ?? '')
    expect([end.status, await site.textOf(end)]).toEqual([
      200,
      expect.stringMatching(/signed out everywhere/),
    ])
    await expectEnded()
    expect(site.world.eventsNamed('idp_session.ended')).toMatchObject([
      { issuer: site.provider.entityId, by: 'single logout' },
    ])
  })

  test('by redirect, in a frame without any cookie', async () => {
    const relayState = "a b+c~(d)!'*é&="
    const answer = await get(signed(xmlIn(byRedirect()), { relayState }))
    const address = answer.headers.get('location') ?? ''
    expect(address.startsWith(`${site.provider.logoutUrl}?SAMLResponse=`)).toBe(true)
    expect(new URL(address).searchParams.get('RelayState')).toBe(relayState)
    expect((await get(address)).status).toBe(200)
    await expectEnded()
    // Who is signed in here is not, whatever the browser's cookie says.
    const page = await browser.get(site.world.authorizeUrl({}))
    expect(page.headers.get('location')).toMatch('/saml')
  })

  test('by POST, without any cookie', async () => {
    const answer = await site.postFromElsewhere(`${site.url}/logout`, byPost('r'))
    expect((await get(answer.headers.get('location') ?? '')).status).toBe(200)
    await expectEnded()
  })

  test('one of two of the same user', async () => {
    const other = site.newBrowser()
    const second = (await site.tokens(other)).body
    expect(claimsOf(second.access_token).sub).toBe('alice')
    await get(byRedirect())
    await expectEnded()
    await expectAlive(second.refresh_token, second.access_token)
  })

  test('saml-core-2.0-os §2.7.2: of two users with one SessionIndex, only the one that it names', async () => {
    await site.close()
    site = await startSite({
      provider: { alter: (xml) => xml.replace(/SessionIndex="[^"]*"/, 'SessionIndex="1"') },
    })
    const alice = (await site.tokens(site.newBrowser(), 'alice')).body
    const bob = (await site.tokens(site.newBrowser(), 'bob')).body
    site.clock.advance(1)
    const xml = xmlIn(byRedirect()).replace(/(<samlp:SessionIndex>)[^<]*/, (_, tag) => `${tag}1`)
    expect(xml).toContain('>1</samlp:SessionIndex>')
    expect((await get(signed(xml.replace(/(<saml:NameID[^>]*>)[^<]*/, '$1alice')))).status).toBe(303)
    await expectEnded(alice.refresh_token, alice.access_token)
    await expectAlive(bob.refresh_token, bob.access_token)
  })

  test('several in one request', async () => {
    const second = (await site.tokens(site.newBrowser())).body
    const indexes = [...site.provider.sessions.values()].map(({ index }) => index)
    expect(indexes).toHaveLength(2)
    const all = indexes.map((index) => `<samlp:SessionIndex>${index}</samlp:SessionIndex>`).join('')
    const xml = xmlIn(byRedirect()).replace(/<samlp:SessionIndex>.*<\/samlp:SessionIndex>/, all)
    expect((await get(signed(xml))).status).toBe(303)
    await expectEnded()
    await expectEnded(second.refresh_token, second.access_token)
  })

  test('all of a user that began until then, where it names none', async () => {
    const bob = (await site.tokens(site.newBrowser(), 'bob')).body
    const xml = xmlIn(byRedirect()).replace(/<samlp:SessionIndex>.*<\/samlp:SessionIndex>/, '')
    site.clock.advance(100)
    const later = (await site.tokens(site.newBrowser())).body
    expect((await get(signed(xml))).status).toBe(303)
    await expectEnded()
    await expectAlive(bob.refresh_token, bob.access_token)
    await expectAlive(later.refresh_token, later.access_token)
  })

  test('for good: its next answer is refused', async () => {
    await get(byRedirect())
    const refused = await site.signInAs(browser)
    await expectRefusal(refused, /signed out: sign out there as well, then sign in again/, 403)
  })

  test('SHA-512 is as good', async () => {
    expect((await get(signed(xmlIn(byRedirect()), { algorithm: 'rsa-sha512' }))).status).toBe(303)
    await expectEnded()
  })
})

describe('the user signs out here', () => {
  test('here and at the provider', async () => {
    const page = await browser.get(`${site.url}/sign-out`)
    expect(page.headers.get('content-security-policy')).toMatch(
      `form-action 'self' https: ${new URL(site.provider.logoutUrl).origin}`,
    )
    const toProvider = await site.submit(browser, page)
    expect(toProvider.status).toBe(303)
    await expectEnded()
    const back = await browser.get(toProvider.headers.get('location') ?? '')
    expect(site.provider.sessions.size).toBe(0)
    const done = await browser.get(back.headers.get('location') ?? '')
    expect([done.status, done.headers.get('location')]).toEqual([303, '/'])
    // Nobody is signed in, here or there.
    const again = await browser.follow(await browser.get(site.world.authorizeUrl({})), () => true)
    expect(await again.text()).toMatch('name="password"')
  })

  test('and the answer needs no cookie, by POST either', async () => {
    const toProvider = await site.submit(browser, await browser.get(`${site.url}/sign-out`))
    const back = (await get(toProvider.headers.get('location') ?? '')).headers.get('location') ?? ''
    expect((await get(back)).headers.get('location')).toBe('/')
    const xml = xmlIn(back, 'SAMLResponse')
    const post = (SAMLResponse: string) => site.postFromElsewhere(`${site.url}/logout`, { SAMLResponse })
    expect((await post(signMessage(xml))).headers.get('location')).toBe('/')
    await expectRefusal(await post(encode(xml)), /signature is not/)
    await expectRefusal(await post(signMessage(xml, ours)), /signature is not/)
    const changed = decode(signMessage(xml)).replace('status:Success', 'status:Responder')
    await expectRefusal(await post(encode(changed)), /signature is not/)
  })

  test('nobody is signed in: nothing to do', async () => {
    const stranger = site.newBrowser()
    const done = await site.submit(stranger, await stranger.get(`${site.url}/sign-out`))
    expect(done.headers.get('location')).toBe('/')
  })

  test.each([
    ['of another site', { 'sec-fetch-site': 'cross-site' }],
    ['of an origin that is not ours', { origin: 'https://evil.example' }],
  ])('a form %s is refused', async (_, headers) => {
    const refused = await browser.send(`${site.url}/sign-out`, { method: 'POST', headers })
    expect(refused.status).toBe(403)
    await expectAlive()
  })

  test.each<[string, (xml: string) => string, RegExp]>([
    [
      'to a request that is not ours',
      (xml) => xml.replace(/InResponseTo="[^"]+"/, 'InResponseTo="_x"'),
      /no request of ours/,
    ],
    ['to none', (xml) => xml.replace(/ InResponseTo="[^"]+"/, ''), /no request of ours/],
    [
      'that is no success',
      (xml) => xml.replace('status:Success', 'status:Responder'),
      /could not sign you out everywhere/,
    ],
    [
      'of another issuer',
      (xml) => xml.replace(/<saml:Issuer>[^<]+/, '<saml:Issuer>urn:other'),
      /another issuer/,
    ],
  ])('an answer %s', async (_, change, words) => {
    const toProvider = await site.submit(browser, await browser.get(`${site.url}/sign-out`))
    const back = (await get(toProvider.headers.get('location') ?? '')).headers.get('location') ?? ''
    const xml = change(xmlIn(back, 'SAMLResponse'))
    await expectRefusal(await get(signed(xml, { kind: 'SAMLResponse' })), words)
  })
})

describe('what is refused, and ends nothing', () => {
  const change = (address: string, edit: (query: URLSearchParams) => void) => {
    const url = new URL(address)
    edit(url.searchParams)
    return url.href
  }

  test.each<[string, (address: string) => string, RegExp]>([
    ['no signature', (address) => address.replace(/&SigAlg=.*/, ''), /must be signed/],
    ['a stripped Signature', (address) => change(address, (q) => q.delete('Signature')), /must be signed/],
    ['an empty Signature', (address) => change(address, (q) => q.set('Signature', '')), /must be signed/],
    ['a stripped SigAlg', (address) => change(address, (q) => q.delete('SigAlg')), /must be signed/],
    [
      'SHA-1',
      (address) => change(address, (q) => q.set('SigAlg', 'http://www.w3.org/2000/09/xmldsig#rsa-sha1')),
      /SigAlg must be/,
    ],
    [
      'an algorithm of the prototype',
      (address) => change(address, (q) => q.set('SigAlg', 'constructor')),
      /SigAlg must be/,
    ],
    [
      'another algorithm than was signed with',
      (address) => address.replace('rsa-sha256', 'rsa-sha512'),
      /signature is not/,
    ],
    [
      'a RelayState that was put in',
      (address) => change(address, (q) => q.set('RelayState', 'x')),
      /signature is not/,
    ],
    ['a second SAMLRequest', (address) => `${address}&SAMLRequest=x`, /twice/],
    ['a SAMLRequest in another spelling', (address) => `${address}&%53AMLRequest=x`, /another spelling/],
    [
      'a SAMLResponse beside it',
      (address) => `${address}&SAMLResponse=x`,
      /either a SAMLRequest or a SAMLResponse/,
    ],
    ['another encoding', (address) => `${address}&SAMLEncoding=plain`, /SAMLEncoding/],
    ['nothing', () => `${site.url}/logout`, /either a SAMLRequest or a SAMLResponse/],
    [
      'a signature of another key',
      (address) => signed(xmlIn(address), { key: ours.privateKey }),
      /signature is not/,
    ],
    ['a bomb', () => signed(' '.repeat(1_000_000)), /at most 65536 bytes/],
    ['a document type', (address) => signed(`<!DOCTYPE x>${xmlIn(address)}`), /plain, well-formed XML/],
    [
      'another issuer',
      (address) => signed(xmlIn(address).replace(/<saml:Issuer>[^<]+/, '<saml:Issuer>urn:other')),
      /another issuer/,
    ],
    [
      'another destination',
      (address) =>
        signed(xmlIn(address).replace(/Destination="[^"]+"/, 'Destination="https://other.example"')),
      /Destination/,
    ],
    [
      'no destination',
      (address) => signed(xmlIn(address).replace(/ Destination="[^"]+"/, '')),
      /Destination/,
    ],
    ['no id', (address) => signed(xmlIn(address).replace(/ ID="[^"]+"/, '')), /no ID/],
    [
      'a request as a response',
      (address) => signed(xmlIn(address), { kind: 'SAMLResponse' }),
      /belongs into SAMLRequest/,
    ],
    [
      'an old one',
      (address) =>
        signed(
          xmlIn(address).replace(
            /IssueInstant="[^"]+"/,
            `IssueInstant="${new Date((site.clock() - 630) * 1000).toISOString()}"`,
          ),
        ),
      /has expired/,
    ],
    [
      'one of the future',
      (address) =>
        signed(
          xmlIn(address).replace(
            /IssueInstant="[^"]+"/,
            `IssueInstant="${new Date((site.clock() + 31) * 1000).toISOString()}"`,
          ),
        ),
      /of the future/,
    ],
    [
      'one whose time is up',
      (address) =>
        signed(
          xmlIn(address).replace(
            ' Destination',
            ` NotOnOrAfter="${new Date((site.clock() - 30) * 1000).toISOString()}" Destination`,
          ),
        ),
      /has expired/,
    ],
    [
      'an empty SessionIndex',
      (address) => signed(xmlIn(address).replace(/<samlp:SessionIndex>[^<]+/, '<samlp:SessionIndex>')),
      /SessionIndex is empty/,
    ],
    [
      'two users',
      (address) =>
        signed(
          xmlIn(address).replace(
            '<samlp:SessionIndex>',
            '<saml:NameID>bob</saml:NameID><samlp:SessionIndex>',
          ),
        ),
      /more than one NameID/,
    ],
  ])('by redirect: %s', async (_, edit, words) => {
    await expectRefusal(await get(edit(byRedirect())), words)
    await expectAlive()
  })

  test('by redirect: a RelayState that was swapped', async () => {
    const address = byRedirect('mine').replace('RelayState=mine', 'RelayState=yours')
    await expectRefusal(await get(address), /signature is not/)
    await expectAlive()
  })

  test.each<[string, (xml: string) => string, RegExp]>([
    ['unsigned', (xml) => xml.replace(/<ds:Signature[\s\S]*<\/ds:Signature>/, ''), /signature is not/],
    [
      'another session under the same signature',
      (xml) => xml.replace(/<samlp:SessionIndex>_/, '<samlp:SessionIndex>x'),
      /signature is not/,
    ],
    [
      'a second session beside',
      (xml) =>
        xml.replace('<samlp:SessionIndex>', '<samlp:SessionIndex>x</samlp:SessionIndex><samlp:SessionIndex>'),
      /signature is not/,
    ],
    [
      'the signed request inside of another',
      (xml) => {
        const outer = xml
          .replace(/<ds:Signature[\s\S]*<\/ds:Signature>/, '')
          .replace(/ ID="[^"]+"/, ' ID="_forged"')
        return outer.replace(
          '</samlp:LogoutRequest>',
          `<samlp:Extensions>${xml}</samlp:Extensions></samlp:LogoutRequest>`,
        )
      },
      /signature is not/,
    ],
    [
      'an id that would change an XPath',
      (xml) => xml.replace(/ ID="[^"]+"/, ` ID="x' or '1'='1"`),
      /no ID, or one that is none/,
    ],
    ['a comment', (xml) => xml.replace('>alice<', '>ali<!---->ce<'), /plain, well-formed XML/],
  ])('by POST: %s', async (_, edit, words) => {
    const form = byPost()
    const SAMLRequest = encode(edit(decode(form.SAMLRequest)))
    await expectRefusal(await site.postFromElsewhere(`${site.url}/logout`, { SAMLRequest }), words)
    await expectAlive()
  })

  test('by POST: an assertion of the provider is no logout message', async () => {
    const { SAMLResponse } = await site.answerOf(browser)
    const refused = await site.postFromElsewhere(`${site.url}/logout`, { SAMLResponse })
    await expectRefusal(refused, /signature is not|LogoutRequest or LogoutResponse belongs here/)
    await expectAlive()
  })

  test('by POST: neither, and both', async () => {
    const { SAMLRequest } = byPost()
    for (const fields of [{}, { SAMLRequest, SAMLResponse: SAMLRequest }])
      await expectRefusal(
        await site.postFromElsewhere(`${site.url}/logout`, fields as Record<string, string>),
        /either a SAMLRequest or a SAMLResponse/,
      )
    await expectAlive()
  })

  test('another method', async () => {
    const refused = await fetch(`${site.url}/logout`, { method: 'PUT' })
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'GET, POST'])
  })
})

describe('again and again', () => {
  test.each(['redirect', 'POST'])('a request that was received before, by %s', async (binding) => {
    const [address, form] = [byRedirect(), byPost()]
    const send = () =>
      binding === 'redirect' ? get(address) : site.postFromElsewhere(`${site.url}/logout`, form)
    expect((await send()).status).toBe(303)
    await expectRefusal(await send(), /was received before/)
  })

  test('the revocations are away: nothing has ended, and the next attempt ends it', async () => {
    const address = byRedirect()
    site.away.revocations = true
    const refused = await get(address)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    site.away.revocations = false
    expect((await get(address)).status).toBe(303)
    await expectEnded()
  })

  test('the replays are away: the session has ended, and the next attempt is answered', async () => {
    const address = byRedirect()
    site.away.replays = true
    const refused = await get(address)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    await expectEnded()
    site.away.replays = false
    expect((await get(address)).status).toBe(303)
  })
})
