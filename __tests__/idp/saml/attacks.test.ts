import { inflateRawSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import samlify from 'samlify'
import { makeCertificate } from '../../../example-app/idp/certificate.js'
import { samlSignIn } from '../../../lib/idp.ts'
import type { Browser } from '../../support/world.ts'
import { decode, encode, ours, type Site, startSite } from './site.ts'

let site: Site
beforeAll(async () => {
  site = await startSite()
})
afterAll(() => site.close())
afterEach(() => {
  site.alter.message = (xml) => xml
})

/** The page that refuses, and that nobody is signed in. */
async function expectRefusal(response: Response, browser: Browser, words: string | RegExp, status = 400) {
  expect([response.status, await site.textOf(response)]).toEqual([status, expect.stringMatching(words)])
  const page = await browser.follow(await browser.get(site.world.authorizeUrl({})))
  expect(page.headers.get('location')).toMatch(site.provider.signInUrl)
}

/** What the provider answers once `before` changed it ahead of signing, and `after` when it is signed. */
async function attempt({
  before = (xml: string) => xml,
  after = (xml: string) => xml,
}: {
  before?: (xml: string) => string
  after?: (xml: string) => string
}) {
  const browser = site.newBrowser()
  site.alter.message = before
  const answer = await site.answerOf(browser)
  const changed = after(decode(answer.SAMLResponse))
  const response = await site.deliver(browser, { ...answer, SAMLResponse: encode(changed) })
  return { browser, response }
}

const assertionOf = (xml: string) => /<saml:Assertion[\s\S]*<\/saml:Assertion>/.exec(xml)?.[0] ?? ''
const signatureOf = (xml: string) => /<ds:Signature[\s\S]*<\/ds:Signature>/.exec(xml)?.[0] ?? ''
/** An assertion of the attacker's own making: another id and user, and no signature. */
const forged = (xml: string) =>
  assertionOf(xml)
    .replace(signatureOf(xml), '')
    .replace(/ID="[^"]+"/, 'ID="_forged"')
    .replace('>alice<', '>bob<')

test('as it is, the answer signs in', async () => {
  const { response } = await attempt({})
  expect([response.status, response.headers.get('location')]).toEqual([303, '/there'])
})

describe('signatures', () => {
  const signature = /signature is not the identity provider's|assertion is not signed/

  test.each<[string, (xml: string) => string, RegExp]>([
    ['unsigned', (xml) => xml.replace(signatureOf(xml), ''), /assertion is not signed/],
    ['another user under the same signature', (xml) => xml.replace('>alice<', '>bob<'), signature],
    [
      'a damaged signature value',
      (xml) => xml.replace(/<ds:SignatureValue>..../, '<ds:SignatureValue>AAAA'),
      signature,
    ],
    [
      'the session is said to last longer',
      (xml) => xml.replace(/SessionNotOnOrAfter="20/, 'SessionNotOnOrAfter="21'),
      signature,
    ],
    // Somorovsky et al., On Breaking SAML: Be Whoever You Want to Be; the numbers are those of SAML Raider.
    [
      'XSW3: a forged assertion ahead of the signed one',
      (xml) => xml.replace(assertionOf(xml), `${forged(xml)}${assertionOf(xml)}`),
      signature,
    ],
    [
      'XSW4: the signed assertion inside of a forged one',
      (xml) =>
        xml.replace(
          assertionOf(xml),
          forged(xml).replace('</saml:Assertion>', `${assertionOf(xml)}</saml:Assertion>`),
        ),
      signature,
    ],
    [
      'XSW5: a changed assertion with the signature, the signed one behind it',
      (xml) =>
        xml.replace(
          assertionOf(xml),
          `${assertionOf(xml)
            .replace(/ID="[^"]+"/, 'ID="_forged"')
            .replace('>alice<', '>bob<')}${assertionOf(xml).replace(signatureOf(xml), '')}`,
        ),
      signature,
    ],
    [
      'XSW6: the signed assertion inside of the signature of a forged one',
      (xml) => {
        const inner = assertionOf(xml).replace(signatureOf(xml), '')
        const moved = signatureOf(xml).replace('</ds:Signature>', `${inner}</ds:Signature>`)
        return xml.replace(assertionOf(xml), forged(xml).replace('</saml:Issuer>', `</saml:Issuer>${moved}`))
      },
      signature,
    ],
    [
      'XSW7: the signed assertion in Extensions, a forged one in its place',
      (xml) =>
        xml.replace(
          assertionOf(xml),
          `<samlp:Extensions>${assertionOf(xml)}</samlp:Extensions>${forged(xml)}`,
        ),
      signature,
    ],
    [
      'XSW8: the signed assertion in an Object of the signature',
      (xml) => {
        const inner = assertionOf(xml).replace(signatureOf(xml), '')
        const object = `<ds:Object>${inner}</ds:Object>`
        const moved = signatureOf(xml).replace('</ds:Signature>', `${object}</ds:Signature>`)
        return xml.replace(assertionOf(xml), forged(xml).replace('</saml:Issuer>', `</saml:Issuer>${moved}`))
      },
      signature,
    ],
    [
      'XSW1: a forged response around the signed one',
      (xml) =>
        xml
          .replace(/ID="[^"]+"/, 'ID="_forged-response"')
          .replace(assertionOf(xml), `${forged(xml)}${xml.replace(/<\?xml[^>]*\?>/, '')}`),
      signature,
    ],
    [
      'two elements with the id that is signed',
      (xml) => {
        const id = /<saml:Assertion[^>]* ID="([^"]+)"/.exec(xml)?.[1]
        return xml.replace(
          '<samlp:Status>',
          `<samlp:Extensions><x ID="${id}"/></samlp:Extensions><samlp:Status>`,
        )
      },
      signature,
    ],
    [
      'an id that would change an XPath',
      (xml) => xml.replace(/ID="[^"]+"/, `ID="x' or '1'='1"`),
      /no ID, or one that is none/,
    ],
  ])('%s', async (_, after, words) => {
    const { browser, response } = await attempt({ after })
    await expectRefusal(response, browser, words)
  })

  test('a comment in the NameID cuts nothing off', async () => {
    const commented = await attempt({ after: (xml) => xml.replace('>alice<', '>ali<!-- -->ce<') })
    await expectRefusal(commented.response, commented.browser, /plain, well-formed XML/)
  })

  test('of another key, whose certificate is in the message', async () => {
    const keys = makeCertificate('somebody')
    const other = await startSite({
      provider: { keys },
      signIn: {
        idp: {
          entityId: 'https://idp.example',
          signInUrl: 'https://idp.example/sso',
          certificates: ours.certificate,
        },
      },
    })
    try {
      const browser = other.newBrowser()
      const begun = await browser.get(`${other.url}/`)
      const request = new URL(begun.headers.get('location') ?? '')
      const page = await browser.get(`${other.provider.signInUrl}${request.search}`)
      const answer = await other.submit(browser, page, { username: 'alice', password: 'wonderland' })
      const { fields } = await browser.readForm(answer)
      const refused = await other.deliver(browser, Object.fromEntries(fields))
      expect([refused.status, await other.textOf(refused)]).toEqual([400, expect.stringMatching(signature)])
    } finally {
      await other.close()
    }
  })

  test('SHA-1', async () => {
    const weak = await startSite({
      provider: { signatureAlgorithm: samlify.Constants.algorithms.signature.RSA_SHA1 },
    })
    try {
      const browser = weak.newBrowser()
      const refused = await weak.signInAs(browser)
      expect(refused.status).toBe(400)
      expect(await weak.textOf(refused)).toMatch(/algorithm that is not accepted/)
      await browser.get(weak.url)
      // By redirect too.
      const request = weak.provider.logoutRequest({ user: 'alice', index: '_1' }, 'redirect')
      const logout = await fetch(request as string, { redirect: 'manual' })
      expect([logout.status, await weak.textOf(logout)]).toEqual([400, expect.stringMatching(/SigAlg/)])
    } finally {
      await weak.close()
    }
  })
})

describe('what the provider signed, for somebody else or for another time', () => {
  const at = (seconds: number) => new Date((site.clock() + seconds) * 1000).toISOString()

  test.each<[string, (xml: string) => string, RegExp]>([
    [
      'another audience',
      (xml) => xml.replace(/<saml:Audience>[^<]+/, '<saml:Audience>https://other.example'),
      /another audience/,
    ],
    [
      'no audience',
      (xml) => xml.replace(/<saml:AudienceRestriction>.*<\/saml:AudienceRestriction>/, ''),
      /another audience/,
    ],
    [
      'another issuer of the assertion',
      (xml) =>
        xml.replace(/(<saml:Assertion[^>]*>)<saml:Issuer>[^<]+/, '$1<saml:Issuer>https://other.example'),
      /another issuer/,
    ],
    [
      'another recipient',
      (xml) => xml.replace(/Recipient="[^"]+"/, 'Recipient="https://other.example/acs"'),
      /another recipient/,
    ],
    [
      'another destination',
      (xml) => xml.replace(/Destination="[^"]+"/, 'Destination="https://other.example/acs"'),
      /another destination/,
    ],
    ['no bearer', (xml) => xml.replace('cm:bearer', 'cm:holder-of-key'), /no bearer confirmation/],
    [
      'expired conditions',
      (xml) => xml.replace(/(<saml:Conditions[^>]*NotOnOrAfter=")[^"]+/, `$1${at(-30)}`),
      /has expired/,
    ],
    [
      'an expired confirmation',
      (xml) => xml.replace(/(<saml:SubjectConfirmationData NotOnOrAfter=")[^"]+/, `$1${at(-30)}`),
      /has expired/,
    ],
    [
      'not valid yet',
      (xml) => xml.replace(/(<saml:Conditions NotBefore=")[^"]+/, `$1${at(31)}`),
      /not valid yet/,
    ],
    [
      'a time that is none',
      (xml) => xml.replace(/(<saml:Conditions NotBefore=")[^"]+/, '$1yesterday'),
      /NotBefore of the SAML message is not a time/,
    ],
    [
      'an answer to another request, in what is signed',
      (xml) => xml.replace(/(SubjectConfirmationData.* InResponseTo=")[^"]+/, '$1_another'),
      /another request/,
    ],
    [
      'no InResponseTo: begun at the provider',
      (xml) => xml.replace(/ InResponseTo="[^"]+"/, ''),
      /answers no request/,
    ],
    [
      'an error of the provider',
      (xml) =>
        xml
          .replace(
            /<saml:Assertion[\s\S]*<\/saml:Assertion>/,
            '<saml:Assertion><saml:Issuer/></saml:Assertion>',
          )
          .replace(
            /<samlp:StatusCode[^>]*>/,
            '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"/></samlp:StatusCode>',
          ),
      /did not sign the user in \(AuthnFailed\)/,
    ],
  ])('%s', async (name, before, words) => {
    const { browser, response } = await attempt({ before })
    await expectRefusal(response, browser, words, name === 'an error of the provider' ? 403 : 400)
  })

  test.each([
    ['conditions that expired within the tolerance', /(<saml:Conditions[^>]*NotOnOrAfter=")[^"]+/, -29],
    ['a provider whose clock is a little ahead', /(<saml:Conditions NotBefore=")[^"]+/, 29],
  ])('let through: %s', async (_, pattern, seconds) => {
    const { response } = await attempt({ before: (xml) => xml.replace(pattern, `$1${at(seconds)}`) })
    expect(response.status).toBe(303)
  })
})

describe('which browser, and how often', () => {
  test('an answer to a request of another browser', async () => {
    const attacker = site.newBrowser()
    const answer = await site.answerOf(attacker)
    const victim = site.newBrowser()
    await victim.get(`${site.url}/`)
    await expectRefusal(await site.deliver(victim, answer), victim, /did not begin in this browser/)
    // Nor as the second of the two forms.
    const again = await victim.send(`${site.url}/callback`, {
      method: 'POST',
      body: new URLSearchParams({ SAMLResponse: answer.SAMLResponse, again: 'yes' }),
    })
    await expectRefusal(again, victim, /did not begin in this browser/)
  })

  test('an answer to a request that went to another provider of the same app', async () => {
    const other = samlSignIn(site.world.aat, {
      url: `${site.world.base}/other`,
      idp: { entityId: 'urn:other', signInUrl: 'https://idp.example/sso', certificates: ours.certificate },
    })
    site.world.app.use('/other', other.router)
    const browser = site.newBrowser()
    const begun = await browser.get(`${site.world.base}/other/`)
    const request = new URL(begun.headers.get('location') ?? '').searchParams.get('SAMLRequest') ?? ''
    const id = / ID="([^"]+)"/.exec(inflateRawSync(Buffer.from(request, 'base64')).toString())?.[1]
    site.alter.message = (xml) => xml.replaceAll(/InResponseTo="[^"]+"/g, `InResponseTo="${id}"`)
    await expectRefusal(await site.signInAs(browser), browser, /another identity provider/)
  })

  test('a request that was begun too long ago', async () => {
    const browser = site.newBrowser()
    const answer = await site.answerOf(browser)
    site.clock.advance(600)
    await expectRefusal(await site.deliver(browser, answer), browser, /took too long/)
  })

  test('the same answer twice', async () => {
    const browser = site.newBrowser()
    const answer = await site.answerOf(browser)
    expect((await site.deliver(browser, answer)).status).toBe(303)
    const second = await site.deliver(browser, answer)
    expect([second.status, await site.textOf(second)]).toEqual([
      400,
      expect.stringMatching(/finished before/),
    ])
  })

  test('the same answer at once, and in a session that forgot that it was used', async () => {
    const browser = site.newBrowser()
    const answer = await site.answerOf(browser)
    const cookie = browser.cookies.get('connect.sid') ?? ''
    const send = () =>
      fetch(`${site.url}/callback`, {
        method: 'POST',
        headers: { cookie: `connect.sid=${cookie}` },
        body: new URLSearchParams({ SAMLResponse: answer.SAMLResponse, again: 'yes' }),
        redirect: 'manual',
      })
    const statuses = (await Promise.all([send(), send(), send()])).map(({ status }) => status)
    expect(statuses.sort()).toEqual([303, 400, 400])
  })

  test('an assertion of one answer in another answer', async () => {
    const browser = site.newBrowser()
    const first = await site.answerOf(browser)
    await site.deliver(browser, first)
    const second = await site.answerOf(browser)
    const mixed = decode(second.SAMLResponse).replace(
      assertionOf(decode(second.SAMLResponse)),
      assertionOf(decode(first.SAMLResponse)),
    )
    const response = await site.deliver(browser, { ...second, SAMLResponse: encode(mixed) })
    expect([response.status, await site.textOf(response)]).toEqual([
      400,
      expect.stringMatching(/another request/),
    ])
  })
})

describe('messages that are none', () => {
  const entities = Array.from({ length: 9 }, (_, i) => `<!ENTITY e${i + 1} "${`&e${i};`.repeat(10)}">`).join(
    '',
  )

  test.each([
    ['a document type', (xml: string) => `<!DOCTYPE x>${xml}`],
    [
      'an entity bomb',
      (xml: string) => `<!DOCTYPE x [<!ENTITY e0 "boom">${entities}]>${xml.replace('>alice<', '>&e9;<')}`,
    ],
    [
      'an external entity',
      (xml: string) => `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>${xml.replace('alice', '&e;')}`,
    ],
    ['an unknown entity', (xml: string) => xml.replace('>alice<', '>&nbsp;<')],
    ['CDATA', (xml: string) => xml.replace('>alice<', '><![CDATA[alice]]><')],
    ['a processing instruction', (xml: string) => xml.replace('>alice<', '><?x y?>alice<')],
    ['half of it', (xml: string) => xml.slice(0, xml.length / 2)],
    ['two roots', (xml: string) => `${xml}<x/>`],
    ['a depth without end', (xml: string) => xml.replace('>alice<', `>${'<a>'.repeat(9000)}<`)],
    ['elements without number', (xml: string) => xml.replace('>alice<', `>${'<a/>'.repeat(9000)}<`)],
    ['an unbound prefix', (xml: string) => xml.replace('<samlp:Status>', '<y:x/><samlp:Status>')],
    ['an attribute twice', (xml: string) => xml.replace('Version="2.0"', 'Version="2.0" Version="2.0"')],
    ['a stylesheet', (xml: string) => `<?xml-stylesheet href="https://evil.example/x.xsl"?>${xml}`],
  ])('%s', async (_, after) => {
    const { browser, response } = await attempt({ after })
    await expectRefusal(response, browser, /plain, well-formed XML/)
  })

  test.each([
    ['no message', {}, /base64|no SAML|well-formed/],
    ['not base64', { SAMLResponse: '%%%' }, /not base64/],
    ['not UTF-8', { SAMLResponse: Buffer.from([0xff, 0xfe]).toString('base64') }, /not UTF-8/],
    ['another message', { SAMLResponse: encode('<x ID="_1"/>') }, /a SAML Response belongs here/i],
  ])('%s', async (_, fields, words) => {
    const browser = site.newBrowser()
    const response = await browser.send(`${site.url}/callback`, {
      method: 'POST',
      body: new URLSearchParams(fields as Record<string, string>),
    })
    await expectRefusal(response, browser, words)
  })

  test('a body over the limit, and a message over its own', async () => {
    const browser = site.newBrowser()
    const post = (SAMLResponse: string) =>
      browser.send(`${site.url}/callback`, { method: 'POST', body: new URLSearchParams({ SAMLResponse }) })
    expect((await post('A'.repeat(400 * 1024))).status).toBe(413)
    expect((await post('A'.repeat(300 * 1024))).status).toBe(413)
  })
})

test('an open redirect: return_to leads to this site or to its root', async () => {
  for (const target of [
    'https://evil.example',
    '//evil.example',
    '/\\evil.example',
    '/.//evil.example',
    'javascript:1',
  ]) {
    const browser = site.newBrowser()
    const address = `${site.url}/?${new URLSearchParams({ return_to: target })}`
    expect((await site.signInAs(browser, 'alice', address)).headers.get('location')).toBe('/')
  }
})

test('a RelayState leads nowhere', async () => {
  const browser = site.newBrowser()
  const answer = await site.answerOf(browser)
  const response = await site.deliver(browser, { ...answer, RelayState: 'https://evil.example' })
  expect(response.headers.get('location')).toBe('/there')
})

test('session fixation: who signs in gets another session', async () => {
  const browser = site.newBrowser()
  const answer = await site.answerOf(browser)
  const planted = browser.cookies.get('connect.sid')
  await site.deliver(browser, answer)
  expect(browser.cookies.get('connect.sid')).not.toBe(planted)
  const attacker = site.newBrowser()
  attacker.cookies.set('connect.sid', planted ?? '')
  const page = await attacker.follow(await attacker.get(site.world.authorizeUrl({})))
  expect(page.headers.get('location')).toMatch(site.provider.signInUrl)
})
