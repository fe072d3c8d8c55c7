import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, type JWTPayload } from 'jose'
import { memoryStores } from '../../../lib/index.ts'
import { StoreUnavailable } from '../../../lib/protocol/oauth-error.ts'
import { CLIENT, clockOfNow, type Site, type SiteBrowser, startSite } from './site.ts'
import { type StubProvider, signInWith, startStubProvider } from './stub-provider.ts'

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'

let stub: StubProvider
let site: Site
let browser: SiteBrowser
/** Which of the stores is away. */
let away: { replays: boolean; revocations: boolean }
beforeEach(async () => {
  away = { replays: false, revocations: false }
  stub = await startStubProvider()
  const clock = clockOfNow()
  const stores = memoryStores({ clock })
  const refuse = () => Promise.reject(new StoreUnavailable('away'))
  site = await startSite({
    issuer: stub.issuer,
    clock,
    aat: {
      stores: {
        ...stores,
        replays: {
          claim: (...args) => (away.replays ? refuse() : stores.replays.claim(...args)),
        },
        revocations: {
          ...stores.revocations,
          append: (entry) => (away.revocations ? refuse() : stores.revocations.append(entry)),
        },
      },
    },
  })
  browser = site.browser()
  await signInWith(site, stub, browser)
  expect((await site.who(browser)).idpSession.sid).toBe('session-1')
})
afterEach(async () => {
  await site.close()
  await stub.close()
})

let count = 0
/** Claims that are as they must be (§2.4). */
function claims(more: Record<string, unknown> = {}): JWTPayload {
  const now = Math.floor(site.clock())
  const all = {
    iss: stub.issuer,
    aud: CLIENT.id,
    iat: now,
    exp: now + 120,
    jti: `logout-${++count}`,
    sid: 'session-1',
    sub: 'alice',
    events: { [EVENT]: {} },
    ...more,
  }
  // Members that are undefined are left out.
  return JSON.parse(JSON.stringify(all))
}

const logout = (token: string, more: Record<string, string> = {}) =>
  site.post(`${site.url}/backchannel-logout`, { logout_token: token, ...more })

const isSignedIn = async () => (await site.who(browser)) !== null

async function expectRefused(token: string): Promise<void> {
  const { status, body, headers } = await logout(token)
  expect([status, body.error, headers.get('cache-control')]).toEqual([400, 'invalid_request', 'no-store'])
  expect(await isSignedIn()).toBe(true)
  expect(site.eventsNamed('idp_session.ended')).toEqual([])
  expect(site.faults()).toEqual([])
}

describe('OpenID Connect Back-Channel Logout 1.0 §2.8: the answer', () => {
  test('200, not to be stored', async () => {
    const { status, headers, text } = await logout(await stub.sign(claims()))
    expect([status, headers.get('cache-control'), text]).toEqual([200, 'no-store', '{}'])
    expect(await isSignedIn()).toBe(false)
  })

  test('a session that is not known here is no error', async () => {
    expect((await logout(await stub.sign(claims({ sid: 'another' })))).status).toBe(200)
    expect(await isSignedIn()).toBe(true)
  })
})

describe('OpenID Connect Back-Channel Logout 1.0 §2.6: what is let through', () => {
  test.each<[string, Record<string, unknown>, Record<string, unknown>]>([
    ['typ logout+jwt', {}, { typ: 'logout+jwt' }],
    ['typ in full and in capitals', {}, { typ: 'application/Logout+JWT' }],
    ['typ JWT', {}, { typ: 'JWT' }],
    ['sid alone', { sub: undefined }, {}],
    ['sub alone', { sid: undefined }, {}],
    ['several audiences', { aud: ['another', CLIENT.id] }, {}],
    ['a clock that is ahead by the tolerance', { iat: clockOfNow()() + 28 }, {}],
    ['members that are not understood', { extra: true }, {}],
    ['an event with members', { events: { [EVENT]: { a: 1 }, other: {} } }, {}],
  ])('%s', async (_, more, header) => {
    expect((await logout(await stub.sign(claims(more), header))).status).toBe(200)
    expect(await isSignedIn()).toBe(false)
  })
})

describe('OpenID Connect Back-Channel Logout 1.0 §2.6: what is refused', () => {
  test.each<[string, Record<string, unknown>]>([
    ['iss: missing', { iss: undefined }],
    ['iss: another provider', { iss: 'https://evil.example' }],
    ['iss: with a slash more', { iss: 'SLASH' }],
    ['aud: missing', { aud: undefined }],
    ['aud: another client', { aud: 'another' }],
    ['aud: other clients', { aud: ['another', 'third'] }],
    ['iat: missing', { iat: undefined }],
    ['iat: in the future', { iat: 'FUTURE' }],
    ['iat: too old, whatever exp says', { iat: 'OLD', exp: 'FAR' }],
    ['iat: a text', { iat: '1800000000' }],
    ['exp: missing', { exp: undefined }],
    ['exp: past', { exp: 'OLD' }],
    ['exp: a text', { exp: '1900000000' }],
    ['jti: missing', { jti: undefined }],
    ['jti: empty', { jti: '' }],
    ['jti: no text', { jti: 7 }],
    ['jti: too long', { jti: 'x'.repeat(600) }],
    ['events: missing', { events: undefined }],
    ['events: no object', { events: EVENT }],
    ['events: a list', { events: [EVENT] }],
    ['events: another event', { events: { 'http://schemas.openid.net/event/other': {} } }],
    ['events: the member is no object', { events: { [EVENT]: true } }],
    ['events: the member is a list', { events: { [EVENT]: [] } }],
    ['nonce: there', { nonce: 'n' }],
    ['nonce: there and null', { nonce: null }],
    ['sid and sub: neither', { sid: undefined, sub: undefined }],
    ['sid: no text', { sid: 7 }],
    ['sid: empty', { sid: '' }],
    ['sid: too long', { sid: 'x'.repeat(600) }],
    ['sub: no text', { sub: { a: 1 } }],
    ['sub: empty, without sid', { sub: '', sid: undefined }],
  ])('%s', async (_, more) => {
    const now = Math.floor(site.clock())
    const values: Record<string, unknown> = {
      SLASH: `${stub.issuer}/`,
      FUTURE: now + 40,
      OLD: now - 4000,
      FAR: now + 4000,
    }
    const named = Object.entries(more).map(([name, value]) => [name, values[String(value)] ?? value])
    await expectRefused(await stub.sign(claims(Object.fromEntries(named))))
  })

  test.each<[string, Record<string, unknown>]>([
    ['typ: of an access token', { typ: 'at+jwt' }],
    ['typ: of a security event', { typ: 'secevent+jwt' }],
    ['typ: no text', { typ: 7 }],
    ['crit: there', { crit: ['urn:x'], 'urn:x': 1 }],
    ['crit: there, and known to libraries', { crit: ['b64'], b64: true }],
    ['kid: unknown', { kid: 'two' }],
  ])('%s', async (_, header) => {
    await expectRefused(await stub.sign(claims(), header))
  })

  test('signature: by a key that is not the provider’s', async () => {
    await expectRefused(await stub.sign(claims(), {}, stub.otherKey))
  })

  test('signature: of other claims', async () => {
    const [header, , signature] = (await stub.sign(claims())).split('.')
    const [, payload] = (await stub.sign(claims({ sub: 'bob' }))).split('.')
    await expectRefused(`${header}.${payload}.${signature}`)
  })

  test('alg: none', async () => {
    const [, payload] = (await stub.sign(claims())).split('.')
    for (const alg of ['none', 'None', 'NONE']) {
      const header = Buffer.from(JSON.stringify({ alg, typ: 'logout+jwt' })).toString('base64url')
      await expectRefused(`${header}.${payload}.`)
    }
  })

  test('alg: HS256 with the client secret, or with the public key', async () => {
    stub.metadata.id_token_signing_alg_values_supported = ['HS256', 'ES256']
    const jwk = await exportJWK(stub.publicKey)
    for (const key of [CLIENT.secret, JSON.stringify(jwk)])
      await expectRefused(await stub.sign(claims(), { alg: 'HS256' }, Buffer.from(key)))
  })

  test('alg: one that the provider does not use', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES384')
    stub.jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: 'one' }] }
    await expectRefused(await stub.sign(claims(), { alg: 'ES384' }, privateKey))
  })

  test('size: too long, and signed', async () => {
    await expectRefused(await stub.sign(claims({ padding: 'x'.repeat(20_000) })))
  })

  test('an ID token', async () => {
    const now = Math.floor(site.clock())
    await expectRefused(
      await stub.sign({
        iss: stub.issuer,
        aud: CLIENT.id,
        sub: 'alice',
        sid: 'session-1',
        iat: now,
        exp: now + 300,
      }),
    )
  })

  test.each([
    ['empty', ''],
    ['no JWT', 'hello'],
    ['two parts', 'e30.e30'],
    ['encrypted', 'e30.e30.e30.e30.e30'],
    ['no JSON', 'AAAA.AAAA.AAAA'],
    ['too long', `${'A'.repeat(9000)}.${'A'.repeat(9000)}.AAAA`],
  ])('format: %s', async (_, token) => {
    await expectRefused(token)
  })

  test('form: twice, as JSON, without it, too large', async () => {
    const token = await stub.sign(claims())
    const url = `${site.url}/backchannel-logout`
    expect(
      (
        await site.post(url, [
          ['logout_token', token],
          ['logout_token', token],
        ])
      ).status,
    ).toBe(400)
    expect((await site.post(url, {})).status).toBe(400)
    expect((await site.post(url, { logout_token: 'x'.repeat(70_000) })).status).toBe(413)
    const json = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ logout_token: token }),
    })
    expect(json.status).toBe(400)
    expect(await isSignedIn()).toBe(true)
    // More parameters are not understood, and no error (§2.5).
    expect((await logout(token, { extra: '1' })).status).toBe(200)
  })
})

describe('used once', () => {
  test('a replay is refused, and changes nothing', async () => {
    const token = await stub.sign(claims())
    expect((await logout(token)).status).toBe(200)
    const { status, body } = await logout(token)
    expect([status, body.error]).toEqual([400, 'invalid_request'])
    expect(site.eventsNamed('idp_session.ended')).toHaveLength(1)
  })

  test('two at once: one is taken, and the session has ended', async () => {
    const token = await stub.sign(claims())
    const answers = await Promise.all([logout(token), logout(token)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400])
    expect(await isSignedIn()).toBe(false)
  })

  test('a replay by user ends no session that began later', async () => {
    const token = await stub.sign(claims({ sid: undefined, exp: Math.floor(site.clock()) + 600 }))
    expect((await logout(token)).status).toBe(200)
    expect(await isSignedIn()).toBe(false)
    site.clock.advance(40)
    expect((await signInWith(site, stub, browser, { sid: 'session-2' })).status).toBe(303)
    expect((await logout(token)).status).toBe(400)
    expect(await isSignedIn()).toBe(true)
  })

  test('the store of replays is away: 503, the session has ended, and the provider may try again', async () => {
    const token = await stub.sign(claims())
    away.replays = true
    const first = await logout(token)
    expect([first.status, first.headers.has('retry-after')]).toEqual([503, true])
    expect(await isSignedIn()).toBe(false)
    away.replays = false
    expect((await logout(token)).status).toBe(200)
  })

  test('the revocation log is away: 503, nothing has happened, and the provider may try again', async () => {
    const token = await stub.sign(claims())
    away.revocations = true
    const first = await logout(token)
    expect([first.status, first.headers.has('retry-after')]).toEqual([503, true])
    expect(await isSignedIn()).toBe(true)
    away.revocations = false
    expect((await logout(token)).status).toBe(200)
    expect(await isSignedIn()).toBe(false)
  })
})

describe('the provider’s keys', () => {
  const keySets = () => stub.requests.filter(({ path }) => path === '/jwks').length

  test('are fetched once for many tokens', async () => {
    await logout(await stub.sign(claims()))
    const before = keySets()
    for (let index = 0; index < 5; index++) await logout(await stub.sign(claims()))
    expect(keySets()).toBe(before)
  })

  test.each<[string, (path: string) => number | undefined]>([
    ['cannot be had', () => 500],
    ['are not found', () => 404],
    ['are somewhere else', () => 302],
  ])('%s: 503, never 400', async (_, statusOf) => {
    stub.instead = (path, res) => {
      if (path !== '/jwks') return false
      res.statusCode = statusOf(path) ?? 200
      res.end('away')
      return true
    }
    const token = await stub.sign(claims())
    const answer = await logout(token)
    expect([answer.status, answer.body.error, answer.headers.has('retry-after')]).toEqual([
      503,
      'temporarily_unavailable',
      true,
    ])
    stub.instead = undefined
    expect((await logout(token)).status).toBe(200)
  })

  test.each<[string, unknown]>([
    ['no JSON', 'hello'],
    ['no set', { a: 1 }],
    ['a key that is none', { keys: [{ kty: 'EC', crv: 'P-256', x: '!', y: '!', kid: 'one', alg: 'ES256' }] }],
  ])('are %s: 503, never 400', async (_, jwks) => {
    stub.jwks = jwks
    expect((await logout(await stub.sign(claims()))).status).toBe(503)
  })

  test('an unknown key soon after a fetch: it may be new, so the provider tries again', async () => {
    expect((await logout(await stub.sign(claims({ sid: 'x' })))).status).toBe(200)
    expect((await logout(await stub.sign(claims(), { kid: 'new' }))).status).toBe(503)
    expect(await isSignedIn()).toBe(true)
  })
})

test('the token is in no event and no answer', async () => {
  const good = await stub.sign(claims({ sid: 'x' }))
  const bad = await stub.sign(claims(), {}, stub.otherKey)
  const answers = [await logout(good), await logout(good), await logout(bad)]
  away.revocations = true
  answers.push(await logout(await stub.sign(claims())))
  const told = JSON.stringify([site.events, answers.map(({ text }) => text)])
  for (const token of [good, bad]) for (const part of token.split('.')) expect(told).not.toContain(part)
  expect(told).not.toContain('logout-')
})
