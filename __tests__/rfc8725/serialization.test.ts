import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { memoryStores, requireAat } from '../../lib/index.ts'
import { type Forger, forge, forgerOf, partsOfToken, segment } from '../support/forge.ts'
import { sendRaw, splitResponses } from '../support/wire.ts'
import { manualClock, startWorld, type World } from '../support/world.ts'

let world: World
let forger: Forger
let token: string
beforeAll(async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  world = await startWorld({
    stores,
    clock,
    after: (app, aat) => {
      app.get('/api/quiet', requireAat(aat, { scope: 'a' }), (_req, res) => void res.send('let in'))
    },
  })
  forger = await forgerOf(world, stores)
  token = (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body.access_token
})
afterAll(() => world.close())

async function expectRefused(text: string): Promise<void> {
  const answer = await world.call('/api/a', text)
  expect([answer.status, answer.body?.error]).toEqual([401, 'invalid_token'])
}

const request = (text: string | Buffer) =>
  Buffer.concat([
    Buffer.from(`GET /api/a HTTP/1.1\r\nHost: ${new URL(world.base).host}\r\nAuthorization: Bearer `),
    Buffer.from(text as string, 'latin1'),
    Buffer.from('\r\n\r\n'),
  ])

test('ALG-014: the 15 other spellings of the last character of the signature are refused', async () => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(token.at(-1) ?? '')
  let variants = 0
  for (let low = 0; low < 16; low++) {
    const other = token.slice(0, -1) + alphabet[(last & ~15) | low]
    if (other === token) continue
    expect(Buffer.from(other.split('.')[2] ?? '', 'base64url')).toEqual(partsOfToken(token).signature)
    await expectRefused(other)
    variants++
  }
  expect(variants).toBe(15)
  expect((await world.call('/api/a', token)).status).toBe(200)
})

test('ALG-014: padding and foreign characters in any part are refused', async () => {
  const [header = '', payload = '', signature = ''] = token.split('.')
  for (const text of [
    `${token}=`,
    `${token}==`,
    `${header}=.${payload}.${signature}`,
    `${header}.${payload}=.${signature}`,
    `${header}.${payload}.${signature}~`,
    `${header}~.${payload}.${signature}`,
  ])
    await expectRefused(text)
})

test('ALG-016: the standard base64 alphabet is refused', async () => {
  let seen = 0
  for (let attempt = 0; attempt < 200 && seen < 5; attempt++) {
    const one = forger.withClaims({})
    if (!/[-_]/.test(one.split('.')[2] ?? '')) continue
    expect((await world.call('/api/a', one)).status).toBe(200)
    await expectRefused(one.replaceAll('-', '+').replaceAll('_', '/'))
    seen++
  }
  expect(seen).toBe(5)
})

test('ALG-017: 1, 2, 4, 5 and 100 parts, and empty parts, are refused', async () => {
  const [header = '', payload = '', signature = ''] = token.split('.')
  for (const parts of [
    [header],
    [header, payload],
    [header, payload, signature, ''],
    [header, payload, signature, signature],
    [header, '', payload, signature, signature],
    Array(100).fill('AA'),
    ['', payload, signature],
    [header, '', signature],
    [header, payload, ''],
    ['', '', ''],
    [...Array(100).fill(''), 'x'],
  ])
    await expectRefused(parts.join('.'))
})

test('ALG-019: the JSON serializations are refused', async () => {
  const { header, payload, signature } = partsOfToken(token)
  const flat = { payload, protected: header, signature: signature.toString('base64url') }
  const general = { payload, signatures: [{ protected: header, signature: flat.signature }] }
  for (const json of [flat, general]) {
    const text = JSON.stringify(json)
    expect((await world.call('/api/a', text)).status).toBe(401)
    await expectRefused(Buffer.from(text).toString('base64url'))
  }
})

test('ALG-032: crit is refused, whatever it names', async () => {
  for (const extra of [{ crit: ['exp'], exp: 1 }, { crit: ['x'], x: 1 }, { crit: [] }, { crit: ['alg'] }])
    await expectRefused(forger.withHeader({ ...forger.header, ...extra }))
})

test('ALG-034: b64=false is refused', async () => {
  await expectRefused(forger.withHeader({ ...forger.header, b64: false, crit: ['b64'] }))
  await expectRefused(forger.withHeader({ ...forger.header, b64: true, crit: ['b64'] }))
  await expectRefused(forger.withHeader({ ...forger.header, b64: false }))
})

test('ALG-035: duplicate header members are refused, in either order', async () => {
  const { alg, kid } = forger.header
  for (const header of [
    `{"alg":"none","alg":"${alg}","typ":"at+jwt","kid":"${kid}"}`,
    `{"alg":"${alg}","alg":"none","typ":"at+jwt","kid":"${kid}"}`,
    `{"alg":"${alg}","alg":"${alg}","typ":"at+jwt","kid":"${kid}"}`,
    `{"alg":"${alg}","typ":"JWT","typ":"at+jwt","kid":"${kid}"}`,
    `{"alg":"${alg}","typ":"at+jwt","kid":"other","kid":"${kid}"}`,
    `{"alg":"${alg}","typ":"at+jwt","kid":"${kid}","__proto__":{"x":1}}`,
    `{"alg":"${alg}", "typ":"at+jwt","kid":"${kid}"}`,
    `{"\\u0061lg":"${alg}","typ":"at+jwt","kid":"${kid}"}`,
    `\uFEFF{"alg":"${alg}","typ":"at+jwt","kid":"${kid}"}`,
  ])
    await expectRefused(forger.withHeader(header))
})

test.each(['null', '[]', '"x"', '1', 'true', '{}', '', '{', 'undefined', '[{"alg":"ES256"}]'])(
  'ALG-037: a header that is %s is refused',
  async (header) => {
    await expectRefused(forger.withHeader(header))
  },
)

test.each(['null', '[1]', '"x"', '1', '', '{', '{"a":1}}', '[{}]'])(
  'ALG-038: a signed payload that is %s is refused',
  async (payload) => {
    await expectRefused(forger.withPayload(payload))
  },
)

test('ALG-040: payloads that are not UTF-8 are refused though they are signed', async () => {
  const good = JSON.stringify(forger.claims({ x: 'MARK' }))
  const withBytes = (bytes: number[]) => {
    const [before = '', after = ''] = good.split('MARK')
    return Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])
  }
  expect((await world.call('/api/a', forger.withPayload(good))).status).toBe(200)
  const swapped = Buffer.from(good, 'utf16le').swap16()
  for (const payload of [
    withBytes([0xc0, 0xaf]),
    withBytes([0xed, 0xa0, 0x80]),
    withBytes([0xff]),
    withBytes([0xe2, 0x82]),
    Buffer.from(good, 'utf16le'),
    swapped,
    Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(good, 'utf16le')]),
  ])
    await expectRefused(forger.withPayload(payload))
})

test('ALG-041: a byte order mark before the claims is refused', async () => {
  await expectRefused(forger.withPayload(`\uFEFF${JSON.stringify(forger.claims())}`))
})

test('ALG-043: huge tokens: 401 up to the header limit of Node, 431 above it, and the process stays', async () => {
  const { header, payload } = partsOfToken(token)
  for (const size of [8_193, 12 * 1024, 15 * 1024]) {
    await expectRefused(`${header}.${payload}.${'A'.repeat(size - header.length - payload.length - 2)}`)
    await expectRefused('A'.repeat(size))
  }
  for (const size of [16 * 1024 + 512, 64 * 1024, 1024 * 1024]) {
    const answer = await sendRaw(world.base, request('A'.repeat(size)))
    expect(answer.text).toMatch(/^HTTP\/1\.1 431 /)
  }
  expect((await world.call('/api/a', token)).status).toBe(200)
})

test('ALG-044: a deeply nested payload is refused before it is parsed; signed by us it does no harm either (scaled to what a header holds)', async () => {
  const { header, signature } = partsOfToken(token)
  const depth = 2_800
  const nested = '['.repeat(depth) + ']'.repeat(depth)
  await expectRefused(`${header}.${segment(nested)}.${signature.toString('base64url')}`)
  await expectRefused(`${header}.${segment('['.repeat(5_900))}.${signature.toString('base64url')}`)
  await expectRefused(forger.withPayload(nested))
  const claims = JSON.stringify(forger.claims({ x: 'MARK' })).replace('"MARK"', nested.slice(300, -300))
  const answer = await world.call('/api/quiet', forger.withPayload(claims))
  expect([answer.status, answer.text]).toEqual([200, 'let in'])
})

test('ALG-046: each of the first 2,000 bits flipped, and every truncation: never accepted, never another status than 401', async () => {
  const bytes = Buffer.from(token, 'latin1')
  const wellFormed: Buffer[] = []
  const control: Buffer[] = []
  for (let bit = 0; bit < Math.min(2000, bytes.length * 8); bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const changed = flipped[bit >> 3] ?? 0
    ;(changed < 0x20 || changed === 0x7f ? control : wellFormed).push(flipped)
  }
  for (let length = 0; length < bytes.length; length++) wellFormed.push(bytes.subarray(0, length))
  expect(control.length).toBeGreaterThan(50)

  // The whole crowd over a few connections, pipelined.
  const answers = await Promise.all(
    [0, 1, 2, 3].map((part) => {
      const mine = wellFormed.filter((_, index) => index % 4 === part)
      return sendRaw(world.base, Buffer.concat(mine.map(request)), ({ text }) => {
        const count = text.split('HTTP/1.1 ').length - 1
        return count === mine.length && text.endsWith('}')
      })
    }),
  )
  const statuses = answers.flatMap(({ text }) => splitResponses(text).map(({ status }) => status))
  expect(statuses).toHaveLength(wellFormed.length)
  expect(new Set(statuses)).toEqual(new Set([401]))

  // Control characters in a header never reach the app: the HTTP layer says 400.
  for (const one of control.slice(0, 60)) {
    const { text } = await sendRaw(
      world.base,
      request(one),
      ({ text: so, closed }) => closed || so.includes('\r\n\r\n'),
    )
    expect(text).toMatch(/^HTTP\/1\.1 (?:400|401) /)
  }
  expect((await world.call('/api/a', token)).status).toBe(200)
})

test('ALG-047: claims belong to the token that was presented, however alike two tokens are (2 x 400 presentations)', async () => {
  // Same length, header, prefix, suffix of the payload, and same sum of characters; only subject and order differ.
  const one = forger.withClaims({ sub: 'user-ab', jti: 'the-same-jti' })
  const two = forger.withClaims({ sub: 'user-ba', jti: 'the-same-jti' })
  expect(one).toHaveLength(two.length)
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => world.call('/api/a', index % 2 === 0 ? one : two)),
    )
    for (const [index, { body }] of answers.entries())
      expect(body.subject).toBe(index % 2 === 0 ? 'user-ab' : 'user-ba')
  }
  // A good payload under the signature of another good token.
  const [header, payload] = one.split('.')
  await expectRefused(`${header}.${payload}.${two.split('.')[2]}`)
})

test('ALG-017: a foreign key under our kid is refused', async () => {
  const { generateKeyPairSync } = await import('node:crypto')
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await expectRefused(forge(forger.header, forger.claims(), 'ES256', privateKey))
})
