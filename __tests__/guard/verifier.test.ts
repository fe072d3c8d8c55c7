import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect, test } from '@jest/globals'
import type { SigningAlgorithm } from '../../lib/protocol/jwa.ts'
import { createVerifier, type VerifierOptions } from '../../lib/tokens/verifier.ts'
import { forge } from '../support/forge.ts'
import { manualClock } from '../support/world.ts'

const ISSUER = 'https://as.example'
const keyPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** A verifier with one key, and who holds it; each check of a signature looks at the key once. */
function start(options: Partial<VerifierOptions> = {}) {
  const clock = manualClock()
  const { privateKey, publicKey } = keyPair()
  let checks = 0
  const key = {
    alg: 'ES256' as SigningAlgorithm,
    get publicKey() {
      checks++
      return publicKey
    },
  }
  const keys = new Map([['k1', key]])
  const asked: string[] = []
  const revoked = new Set<string>()
  const verifier = createVerifier({
    issuer: ISSUER,
    audiences: ['https://api.example'],
    clock,
    tolerance: 5,
    maxLifetime: 3600,
    keyNow: (kid) => keys.get(kid),
    async keyFor(kid) {
      asked.push(kid)
      return keys.get(kid)
    },
    isRevoked() {
      return revoked.has(this.claims.jti)
    },
    limits: { entries: 100, bytes: 1_000_000 },
    ...options,
  })
  const token = (changes: object = {}, key: KeyObject = privateKey, kid = 'k1') =>
    forge(
      { alg: 'ES256', typ: 'at+jwt', kid },
      {
        iss: ISSUER,
        sub: 'alice',
        aud: 'https://api.example',
        client_id: 'app',
        iat: clock.now,
        exp: clock.now + 300,
        jti: 'j1',
        scope: 'a',
        ...changes,
      },
      'ES256',
      key,
    )
  return { verifier, clock, keys, asked, revoked, token, privateKey, checks: () => checks }
}

test('a good token is verified once; then it is known without a promise', async () => {
  const { verifier, token, checks } = start()
  const good = token()
  const verified = await verifier.verify(good)
  expect(verified?.claims).toMatchObject({ sub: 'alice', scope: 'a' })
  expect(Object.isFrozen(verified?.claims)).toBe(true)
  expect(verifier.verify(good)).toBe(verified)
  expect(checks()).toBe(1)
})

test('all who present a token while its key is looked for wait for one check', async () => {
  const { verifier, token, keys, checks } = start({
    keyNow: () => undefined,
    keyFor: async () => keys.get('k1'),
  })
  const good = token()
  const all = Array.from({ length: 10 }, () => verifier.verify(good))
  expect(new Set(all).size).toBe(1)
  expect(await all[0]).toBeDefined()
  expect(checks()).toBe(1)
})

test('a forged token costs one check of a signature, however often it comes, and takes no place', async () => {
  const { verifier, token, checks } = start()
  const forged = token({}, keyPair().privateKey)
  expect(await verifier.verify(forged)).toBeUndefined()
  for (let round = 0; round < 3; round++) expect(verifier.verify(forged)).toBeUndefined()
  expect([verifier.size(), checks()]).toEqual([0, 1])
})

test('what was forged under one key may be good under the next of the same name', async () => {
  const { verifier, token, keys } = start()
  const next = keyPair()
  const early = token({}, next.privateKey)
  expect(await verifier.verify(early)).toBeUndefined()
  keys.set('k1', { alg: 'ES256', publicKey: next.publicKey })
  expect(await verifier.verify(early)).toBeDefined()
})

test.each([
  ['another issuer', { iss: 'https://other.example' }],
  ['another audience', { aud: 'https://other.example' }],
  ['expired', { iat: 1, exp: 300 }],
  ['from the future', { iat: 4_000_000_000, exp: 4_000_000_300 }],
  ['a lifetime too long', { exp: 1_800_100_000 }],
  ['no jti', { jti: undefined }],
])('a token of %s is refused before any signature is looked at', (_what, changes) => {
  const { verifier, token, checks } = start()
  expect(verifier.verify(token(changes))).toBeUndefined()
  expect(checks()).toBe(0)
})

test('another algorithm, another type, a short signature, junk: refused at once', () => {
  const { verifier, token, privateKey, checks } = start()
  const good = token()
  const [header, payload] = good.split('.')
  const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString())
  for (const bad of [
    forge({ alg: 'ES384', typ: 'at+jwt', kid: 'k1' }, claims, 'ES256', privateKey),
    forge({ alg: 'ES256', typ: 'JWT', kid: 'k1' }, claims, 'ES256', privateKey),
    `${good}.`,
    `.${good}`,
    `${header}.${payload}`,
    `${header}.${payload}.`,
    `${header}..${payload}`,
    '',
    '.',
    '..',
    'x'.repeat(9000),
  ])
    expect(verifier.verify(bad)).toBeUndefined()
  expect(checks()).toBe(0)
})

test('a kid that is not known is asked for, and costs no signature', async () => {
  const { verifier, token, asked, checks } = start()
  expect(await verifier.verify(token({}, keyPair().privateKey, 'k9'))).toBeUndefined()
  expect(asked).toEqual(['k9'])
  expect(checks()).toBe(0)
})

test('what is known is found by the whole token only', async () => {
  const { verifier, token } = start()
  const good = token()
  const verified = await verifier.verify(good)
  const at = good.lastIndexOf('.') + 1
  for (let index = 0; index < good.length; index += 7) {
    if (good[index] === '.') continue
    const other = good.slice(0, index) + (good[index] === 'A' ? 'B' : 'A') + good.slice(index + 1)
    expect(await verifier.verify(other)).toBeUndefined()
  }
  // The signature's last character has bits that mean nothing; the bare letters of another case name another token.
  expect(await verifier.verify(good.slice(0, at) + good.slice(at).toLowerCase())).toBeUndefined()
  expect(verifier.verify(good)).toBe(verified)
})

test('ALG-047: of 20,000 tokens alike in header, length, jti and ends, each is answered with its own claims', async () => {
  const { verifier, token } = start({ limits: { entries: 1000, bytes: 10_000_000 } })
  const names = Array.from({ length: 200 }, (_, n) => `user-${String(n).padStart(3, '0')}`)
  const tokens = names.map((sub) => token({ sub, jti: 'the-same' }))
  expect(new Set(tokens.map(({ length }) => length)).size).toBe(1)
  for (let round = 0; round < 100; round++) {
    const answers = await Promise.all(tokens.map((each) => verifier.verify(each)))
    expect(answers.map((verified) => verified?.claims.sub)).toEqual(names)
  }
  // Payloads of one token under signatures of another, while both are known.
  for (let n = 1; n < names.length; n++) {
    const [header, payload] = (tokens[n] ?? '').split('.')
    const [, , signature] = (tokens[n - 1] ?? '').split('.')
    expect(await verifier.verify(`${header}.${payload}.${signature}`)).toBeUndefined()
  }
})

test('what is known ends with its expiry, its key and its revocation', async () => {
  const { verifier, token, clock, keys, revoked } = start()
  const good = token()
  const verified = await verifier.verify(good)
  expect(verified?.isRevoked()).toBe(false)
  revoked.add('j1')
  expect(verified?.isRevoked()).toBe(true)
  clock.advance(304)
  expect(verifier.verify(good)).toBe(verified)
  clock.advance(1)
  expect(verifier.verify(good)).toBeUndefined()
  expect(verifier.size()).toBe(0)

  const next = token()
  await verifier.verify(next)
  keys.set('k1', { alg: 'ES256', publicKey: keyPair().publicKey })
  expect(await verifier.verify(next)).toBeUndefined()
  keys.delete('k1')
  expect(await verifier.verify(next)).toBeUndefined()
})

test('a token that was minted here is verified without its signature, and without a promise', () => {
  const { verifier, token, checks } = start()
  const minted = token()
  verifier.noteMinted(minted, 'k1')
  expect(verifier.size()).toBe(0)
  expect(verifier.verify(minted)).toMatchObject({ claims: { sub: 'alice' } })
  expect(checks()).toBe(0)
  expect(verifier.size()).toBe(1)
  // Everything else is looked at all the same.
  const expired = token({ iat: 1, exp: 300 })
  verifier.noteMinted(expired, 'k1')
  expect(verifier.verify(expired)).toBeUndefined()
})

test('a minted token is believed under the key that signed it only', async () => {
  const { verifier, token, keys } = start()
  const minted = token({}, undefined, 'k2')
  verifier.noteMinted(minted, 'k1')
  keys.set('k2', { alg: 'ES256', publicKey: keyPair().publicKey })
  expect(await verifier.verify(minted)).toBeUndefined()
})
