import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type DpopKey, dpopKey } from '../support/dpop.ts'
import { forge, segment } from '../support/forge.ts'
import { requestText, sendRaw, splitResponses } from '../support/wire.ts'
import { basic, CONFIDENTIAL, manualClock, startWorld, type World } from '../support/world.ts'

const clock = manualClock()
const BASIC = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
let world: World
let key: DpopKey
let uri: string
beforeAll(async () => {
  world = await startWorld({ clock })
  key = await dpopKey(clock)
  uri = `${world.issuer}/oauth/token`
})
afterAll(() => world.close())

const send = (proof: string, headers: Record<string, string> = {}) =>
  world.token({ grant_type: 'client_credentials' }, { ...BASIC, DPoP: proof, ...headers })
const claims = (more: object = {}) => ({
  jti: Math.random().toString(36),
  htm: 'POST',
  htu: uri,
  iat: clock(),
  ...more,
})

async function expectRefused(proof: string, reason: string | RegExp, headers = {}) {
  world.events.length = 0
  const answer = await send(proof, headers)
  expect([reason, answer.status, answer.body.error]).toEqual([reason, 400, 'invalid_dpop_proof'])
  expect(answer.body.error_description).not.toContain(key.jkt)
  const [event] = world.eventsNamed('dpop_proof.refused') as { reason?: string }[]
  expect(event?.reason).toMatch(reason)
}

test('every algorithm that metadata names', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pairs: [string, { publicKey: KeyObject; privateKey: KeyObject }][] = [
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['ES512', generateKeyPairSync('ec', { namedCurve: 'P-521' })],
    ['RS256', rsa],
    ['PS256', rsa],
    ['EdDSA', generateKeyPairSync('ed25519')],
  ]
  for (const [alg, pair] of pairs) {
    const one = await dpopKey(clock, { alg, pair })
    const { status, body } = await send(one.proof('POST', uri))
    expect([alg, status, body.token_type]).toEqual([alg, 200, 'DPoP'])
  }
  const { jwk, privateKey } = await dpopKey(clock, { pair: generateKeyPairSync('ed25519') })
  const renamed = forge({ typ: 'dpop+jwt', alg: 'Ed25519', jwk }, claims(), 'EdDSA', privateKey)
  expect((await send(renamed)).status).toBe(200)
})

test('DPO-004: htu is compared with the configured address, whatever Host says', async () => {
  const evil = key.proof('POST', 'https://evil.example/oauth/token')
  await expectRefused(evil, 'htu is another address')
  const text = requestText(
    world.base,
    '/oauth/token',
    {
      ...BASIC,
      'Content-Type': 'application/x-www-form-urlencoded',
      'X-Forwarded-Host': 'evil.example',
      'X-Forwarded-Proto': 'https',
      DPoP: key.proof('POST', 'https://evil.example/oauth/token'),
    },
    'grant_type=client_credentials',
  ).replace(/Host: [^\r]*/, 'Host: evil.example')
  const answer = await sendRaw(world.base, text, ({ statuses }) => statuses.length > 0)
  const [{ status, body } = { status: 0, body: '{}' }] = splitResponses(answer.text)
  expect([status, JSON.parse(body).error]).toEqual([400, 'invalid_dpop_proof'])
})

test('htu: normalised, without query and fragment; nothing else passes for it', async () => {
  const { host } = new URL(uri)
  for (const same of [
    uri,
    `${uri}?a=b`,
    `${uri}#c`,
    `HTTP://${host}/oauth/token`,
    `http://${host}/oauth/%74oken`,
    `http://${host}/x/../oauth/./token`,
  ])
    expect([same, (await send(key.proof('POST', same))).status]).toEqual([same, 200])
  for (const other of [
    `${uri}/`,
    `http://${host}/oauth//token`,
    `http://${host}/OAuth/token`,
    `http://${host}/oauth%2Ftoken`,
    `https://${host}/oauth/token`,
    'http://127.0.0.1/oauth/token',
    `http://user@${host}/oauth/token`,
    `http:/${host}/oauth/token`,
    `http:\\\\${host}\\oauth\\token`,
    ` ${uri}`,
    `${uri}\n`,
    `http://${host}/oauth/tok\ten`,
    '/oauth/token',
    '',
    `${uri}?${'x'.repeat(1000)}`.padEnd(5000, 'x'),
  ])
    await expectRefused(key.proof('POST', other), other.length < 3000 ? 'htu' : 'too long')
})

test('a key is read last: it costs more than the claims beside it', async () => {
  const jwk = { kty: 'EC', crv: 'P-256', x: 'no', y: 'key' }
  const bad = (more: object) =>
    forge({ typ: 'dpop+jwt', alg: 'ES256', jwk }, claims(more), 'ES256', key.privateKey)
  await expectRefused(bad({}), /^jwk/)
  await expectRefused(bad({ htm: 'GET' }), 'htm is another method')
})

test('DPO-005: htu that is no string, and every other claim of the wrong kind', async () => {
  for (const htu of [{}, 1, null, [uri], true, undefined])
    await expectRefused(key.proof('POST', uri, { htu }), 'htu')
  for (const htm of ['GET', 'post', 1, {}, undefined])
    await expectRefused(key.proof('POST', uri, { htm }), 'htm')
  for (const jti of ['', 1, {}, undefined, 'x'.repeat(257)])
    await expectRefused(key.proof('POST', uri, { jti }), 'jti')
  for (const iat of ['1800000000', null, {}, undefined])
    await expectRefused(key.proof('POST', uri, { iat }), 'iat')
})

test('iat: good for a minute, and half a minute ahead of this clock', async () => {
  for (const [iat, good] of [
    [clock() - 59, true],
    [clock() - 60, false],
    [clock() - 1e9, false],
    [clock() + 30, true],
    [clock() + 31, false],
    [clock() * 1000, false],
    [-1, false],
  ] as const)
    expect([iat, (await send(key.proof('POST', uri, { iat }))).status]).toEqual([iat, good ? 200 : 400])
  const longer = await startWorld({ clock, aat: { dpop: { proofLifetime: 300 } } })
  const proof = key.proof('POST', `${longer.issuer}/oauth/token`, { iat: clock() - 299 })
  const answer = await longer.token({ grant_type: 'client_credentials' }, { ...BASIC, DPoP: proof })
  await longer.close()
  expect(answer.status).toBe(200)
})

test('exp and nbf need not be there; where they are, they hold', async () => {
  for (const [claims, good] of [
    [{ exp: clock() + 10 }, true],
    [{ exp: clock() - 29 }, true],
    [{ exp: clock() - 30 }, false],
    [{ exp: 'never' }, false],
    [{ exp: null }, false],
    [{ nbf: clock() + 30 }, true],
    [{ nbf: clock() + 31 }, false],
    [{ nbf: {} }, false],
  ] as const)
    expect([claims, (await send(key.proof('POST', uri, claims))).status]).toEqual([claims, good ? 200 : 400])
})

test('DPO-007: alg none, HS256 and others that are not supported', async () => {
  const secret = Buffer.from('a secret that anybody may know 0123456789')
  const header = { typ: 'dpop+jwt', jwk: key.jwk }
  await expectRefused(`${segment({ ...header, alg: 'none' })}.${segment(claims())}.`, 'JWS')
  await expectRefused(`${segment({ ...header, alg: 'none' })}.${segment(claims())}.AA`, 'alg')
  for (const alg of ['HS256', 'ES256K', 'RS1', 'es256', 'RS384', '', 1, undefined, 'constructor'])
    await expectRefused(forge({ ...header, alg }, claims(), 'HS256', secret), 'alg')
  // Another algorithm than the key's, and the HMAC with the public key as its secret.
  await expectRefused(
    forge({ ...header, alg: 'ES384' }, claims(), 'ES384', key.privateKey),
    'another algorithm',
  )
  await expectRefused(forge({ ...header, alg: 'RS256' }, claims(), 'HS256', secret), 'another algorithm')
})

test('DPO-008: a jwk with private members, a symmetric one, a weak one, one off its curve, none', async () => {
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const other = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  const { d: _d, ...bare } = key.privateKey.export({ format: 'jwk' })
  const off = { ...bare, y: Buffer.from(`${'00'.repeat(31)}07`, 'hex').toString('base64url') }
  for (const jwk of [
    key.privateKey.export({ format: 'jwk' }),
    { kty: 'oct', k: 'AAAA' },
    weak.publicKey.export({ format: 'jwk' }),
    other.publicKey.export({ format: 'jwk' }),
    off,
    { ...bare, y: undefined },
    { ...bare, x: { a: 1 } },
    { ...bare, use: 'enc' },
    { ...bare, crv: 'P-384' },
    { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) },
    {},
    [],
    'jwk',
    null,
    undefined,
  ])
    await expectRefused(key.proof('POST', uri, {}, { jwk }), 'jwk')
  const { publicKey, privateKey } = weak
  const signed = await dpopKey(clock, { alg: 'RS256', pair: { publicKey, privateKey } })
  await expectRefused(signed.proof('POST', uri), 'jwk')
})

test('DPO-008: one key has one thumbprint: another spelling of its members is refused', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = rsa.publicKey.export({ format: 'jwk' })
  const signed = await dpopKey(clock, { alg: 'RS256', pair: rsa })
  await expectRefused(signed.proof('POST', uri, {}, { jwk: { ...jwk, e: 'AAEAAQ' } }), 'spelling')
  await expectRefused(key.proof('POST', uri, {}, { jwk: { ...key.jwk, x: `${key.jwk.x}=` } }), /jwk/)
})

test('DPO-011: two DPoP headers, in two lines or in one', async () => {
  const two = [key.proof('POST', uri), key.proof('POST', uri)]
  await expectRefused(two.join(', '), 'JWS')
  world.events.length = 0
  const text = requestText(
    world.base,
    '/oauth/token',
    { ...BASIC, 'Content-Type': 'application/x-www-form-urlencoded', DPoP: two[0] ?? '', dpop: two[1] ?? '' },
    'grant_type=client_credentials',
  )
  const answer = await sendRaw(world.base, text, ({ statuses }) => statuses.length > 0)
  expect(answer.statuses).toEqual([400])
  expect(answer.text).toContain('invalid_dpop_proof')
})

test('typ, form, extensions and signature', async () => {
  for (const typ of ['jwt', 'JWT', 'at+jwt', 'application/dpop+jwt', '', 1, undefined])
    await expectRefused(key.proof('POST', uri, {}, { typ }), 'typ')
  await expectRefused(key.proof('POST', uri, {}, { crit: ['b64'], b64: false }), 'extension')
  await expectRefused(key.proof('POST', uri, {}, { crit: [] }), 'extension')
  const good = key.proof('POST', uri)
  const [header = '', payload = '', signature = ''] = good.split('.')
  const flipped = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`
  await expectRefused(`${header}.${payload}.${flipped}`, 'signature')
  await expectRefused(`${header}.${payload}.${signature.slice(0, -2)}`, 'signature')
  await expectRefused(`${header}.${segment(claims())}.${signature}`, 'signature')
  const stranger = await dpopKey(clock)
  await expectRefused(
    forge({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }, claims(), 'ES256', stranger.privateKey),
    'signature',
  )
  for (const text of ['x', 'a.b', `${good}.x`, `${good}=`, `${segment('{')}.${payload}.${signature}`])
    await expectRefused(text, /JWS|JSON/)
  for (const part of ['[]', '"x"', 'null', '{"typ":']) {
    await expectRefused(forge(part, claims(), 'ES256', key.privateKey), 'JSON')
    await expectRefused(
      forge({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }, part, 'ES256', key.privateKey),
      'JSON',
    )
  }
  await expectRefused(key.proof('POST', uri, { more: 'x'.repeat(4096) }), 'too long')
  // What is unknown and may be ignored is ignored (RFC 7515 section 4).
  expect((await send(key.proof('POST', uri, { more: [1] }, { kid: 'mine' }))).status).toBe(200)
})
