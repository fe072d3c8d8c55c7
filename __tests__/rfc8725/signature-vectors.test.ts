import { constants, createSign, generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { fitsAlgorithm, type SigningAlgorithm, verifyAtOnce, verifyLater } from '../../lib/protocol/jwa.ts'
import { signatureOf } from '../support/forge.ts'

/**
 * The classes of signatures that the Wycheproof project calls invalid, made by hand: its vector files are not part of this
 * repository.
 */
const DATA = Buffer.from('the signing input of a token')

const numberOf = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const bytesOf = (value: bigint, length: number) =>
  Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex').subarray(-length)

/** As both ways of verifying say it. */
async function verifyWith(alg: SigningAlgorithm, key: KeyObject, data: Buffer, signature: Buffer) {
  const later = await verifyLater(alg, key, data, signature)
  expect(verifyAtOnce(alg, key, data, signature)).toBe(/^ES(?:384|512)$/.test(alg) ? undefined : later)
  return later
}

async function rejects(alg: SigningAlgorithm, key: KeyObject, signature: Buffer): Promise<boolean> {
  return !(await verifyWith(alg, key, DATA, signature))
}

const curves = [
  ['ES256', 'P-256', 'sha256', 32, 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n],
  [
    'ES384',
    'P-384',
    'sha384',
    48,
    0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  ],
  [
    'ES512',
    'P-521',
    'sha512',
    66,
    0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  ],
] as const

describe.each(curves)('ALG-049: ECDSA with %s', (alg, namedCurve, hash, size, order) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  const good = signatureOf(alg, privateKey, DATA.toString())
  const [r, s] = [numberOf(good.subarray(0, size)), numberOf(good.subarray(size))]
  const pair = (one: bigint, two: bigint) => Buffer.concat([bytesOf(one, size), bytesOf(two, size)])

  test('ALG-049: the right signature is accepted, of other data it is not', async () => {
    expect(await verifyWith(alg, publicKey, DATA, good)).toBe(true)
    expect(await verifyWith(alg, publicKey, Buffer.concat([DATA, Buffer.from('x')]), good)).toBe(false)
    expect(await verifyWith(alg, publicKey, Buffer.alloc(0), good)).toBe(false)
  })

  test('ALG-049: r or s of 0, 1, n - 1, n, n + 1 and the largest number are rejected', async () => {
    const largest = 2n ** BigInt(size * 8) - 1n
    const odd = [0n, 1n, order - 1n, order, order + 1n, largest]
    for (const one of odd) {
      for (const two of odd) expect(await rejects(alg, publicKey, pair(one, two))).toBe(true)
      expect(await rejects(alg, publicKey, pair(one, s))).toBe(true)
      expect(await rejects(alg, publicKey, pair(r, one))).toBe(true)
    }
  })

  test('ALG-049: r + n, s + n and exchanged halves are rejected', async () => {
    // Where they fit into the field: numbers that are the same modulo n.
    const fits = (value: bigint) => value < 2n ** BigInt(size * 8)
    if (fits(r + order)) expect(await rejects(alg, publicKey, pair(r + order, s))).toBe(true)
    if (fits(s + order)) expect(await rejects(alg, publicKey, pair(r, s + order))).toBe(true)
    expect(await rejects(alg, publicKey, pair(s, r))).toBe(true)
    expect(await rejects(alg, publicKey, pair(order - r, s))).toBe(true)
  })

  test('ALG-049: truncated, padded and empty signatures are rejected', async () => {
    const zero = Buffer.alloc(1)
    for (const signature of [
      Buffer.alloc(0),
      good.subarray(0, -1),
      good.subarray(1),
      good.subarray(0, size),
      Buffer.concat([good, zero]),
      Buffer.concat([zero, good]),
      Buffer.concat([zero, good.subarray(0, size), zero, good.subarray(size)]),
      Buffer.concat([good, good]),
      Buffer.alloc(size * 2 + 2),
    ])
      expect(await rejects(alg, publicKey, signature)).toBe(true)
  })

  test('ALG-049: a DER signature is rejected, and so is another hash and another key', async () => {
    for (let attempt = 0; attempt < 20; attempt++)
      expect(await rejects(alg, publicKey, createSign(hash).update(DATA).sign(privateKey))).toBe(true)
    const otherHash = hash === 'sha256' ? 'sha384' : 'sha256'
    expect(
      await rejects(
        alg,
        publicKey,
        signBytes(otherHash, DATA, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
      ),
    ).toBe(true)
    const other = generateKeyPairSync('ec', { namedCurve })
    expect(await rejects(alg, other.publicKey, good)).toBe(true)
  })
})

describe('ALG-049: RSA', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pkcs1 = signatureOf('RS256', privateKey, DATA.toString())
  const pss = signatureOf('PS256', privateKey, DATA.toString())
  const modulus = numberOf(Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url'))
  const raw = (block: Buffer) => {
    // The private operation on any block: what somebody without the key cannot do, so these are the kindest forgeries.
    const jwk = privateKey.export({ format: 'jwk' })
    let [base, exponent, result] = [numberOf(block), numberOf(Buffer.from(jwk.d ?? '', 'base64url')), 1n]
    for (; exponent > 0n; exponent >>= 1n) {
      if (exponent & 1n) result = (result * base) % modulus
      base = (base * base) % modulus
    }
    return bytesOf(result, 256)
  }

  test('ALG-049: the right signatures are accepted, each under its own algorithm only', async () => {
    expect(await verifyWith('RS256', publicKey, DATA, pkcs1)).toBe(true)
    expect(await verifyWith('PS256', publicKey, DATA, pss)).toBe(true)
    expect(await rejects('PS256', publicKey, pkcs1)).toBe(true)
    expect(await rejects('RS256', publicKey, pss)).toBe(true)
  })

  test('ALG-049: another hash, another salt length or another mask hash is rejected', async () => {
    for (const hash of ['sha1', 'sha384', 'sha512', 'md5'])
      expect(await rejects('RS256', publicKey, signBytes(hash, DATA, privateKey))).toBe(true)
    const padding = constants.RSA_PKCS1_PSS_PADDING
    for (const saltLength of [0, 1, 20, 31, 33, 64, 222])
      expect(
        await rejects(
          'PS256',
          publicKey,
          signBytes('sha256', DATA, { key: privateKey, padding, saltLength }),
        ),
      ).toBe(true)
    for (const hash of ['sha1', 'sha384', 'sha512'])
      expect(
        await rejects(
          'PS256',
          publicKey,
          signBytes(hash, DATA, { key: privateKey, padding, saltLength: 32 }),
        ),
      ).toBe(true)
  })

  test('ALG-049: a PKCS #1 block with short padding, rubbish after the hash or without its type is rejected', async () => {
    const { createHash } = await import('node:crypto')
    const digest = createHash('sha256').update(DATA).digest()
    const prefix = Buffer.from('3031300d060960864801650304020105000420', 'hex')
    const filled = (head: number[], middle: Buffer, tail: Buffer) =>
      Buffer.concat([
        Buffer.from(head),
        Buffer.alloc(256 - head.length - middle.length - tail.length - 0, 0xff),
        middle,
        tail,
      ])
    const info = Buffer.concat([Buffer.from([0]), prefix, digest])
    const right = filled([0, 1], info, Buffer.alloc(0))
    expect(await verifyWith('RS256', publicKey, DATA, raw(right))).toBe(true)
    const short = Buffer.concat([
      Buffer.from([0, 1]),
      Buffer.alloc(8, 0xff),
      info,
      Buffer.alloc(256 - 10 - info.length, 0xab),
    ])
    const withoutNull = Buffer.concat([
      Buffer.from([0]),
      Buffer.from('302f300b0609608648016503040201', 'hex'),
      Buffer.from('0420', 'hex'),
      digest,
    ])
    const zeros = Buffer.from(right)
    zeros[5] = 0
    for (const block of [
      short,
      filled([0, 2], info, Buffer.alloc(0)),
      filled([0, 0], info, Buffer.alloc(0)),
      filled([0, 1], info, Buffer.from([0])),
      filled([0, 1], withoutNull, Buffer.alloc(0)),
      filled([0, 1], Buffer.concat([Buffer.from([0]), digest]), Buffer.alloc(0)),
      zeros,
      Buffer.concat([Buffer.alloc(256 - 32), digest]),
    ])
      expect(await rejects('RS256', publicKey, raw(block))).toBe(true)
  })

  test('ALG-049: signatures of 0, 1, n - 1, n, s + n, and of other lengths are rejected', async () => {
    for (const [alg, good] of [
      ['RS256', pkcs1],
      ['PS256', pss],
    ] as const) {
      for (const value of [0n, 1n, modulus - 1n, modulus, modulus + 1n])
        expect(await rejects(alg, publicKey, bytesOf(value, 256))).toBe(true)
      const sum = numberOf(good) + modulus
      expect(await rejects(alg, publicKey, bytesOf(sum, sum < 2n ** 2048n ? 256 : 257))).toBe(true)
      for (const signature of [
        Buffer.alloc(0),
        good.subarray(1),
        good.subarray(0, -1),
        Buffer.concat([Buffer.alloc(1), good]),
        Buffer.concat([good, Buffer.alloc(1)]),
      ])
        expect(await rejects(alg, publicKey, signature)).toBe(true)
    }
  })

  test('ALG-049: keys that do not fit the algorithm are not taken', () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
    const pssOnly = generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey
    const bitcoin = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey
    const x25519 = generateKeyPairSync('x25519').publicKey
    const ed448 = generateKeyPairSync('ed448').publicKey
    for (const [alg, key] of [
      ['RS256', small],
      ['PS256', small],
      ['RS256', pssOnly],
      ['ES256', p384],
      ['ES256', bitcoin],
      ['ES384', publicKey],
      ['EdDSA', x25519],
      ['EdDSA', ed448],
      ['RS256', p384],
    ] as const)
      expect([alg, fitsAlgorithm(alg, key)]).toEqual([alg, false])
    expect(fitsAlgorithm('RS256', publicKey)).toBe(true)
    expect(fitsAlgorithm('ES384', p384)).toBe(true)
  })
})

describe('ALG-049: Ed25519', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const good = signatureOf('EdDSA', privateKey, DATA.toString())
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const little = (bytes: Buffer) => numberOf(Buffer.from(bytes).reverse())
  const withS = (s: bigint) => Buffer.concat([good.subarray(0, 32), Buffer.from(bytesOf(s, 32)).reverse()])
  const s = little(good.subarray(32))

  test('ALG-049: the right signature is accepted; s + L and its multiples, 0 and L are rejected', async () => {
    expect(await verifyWith('EdDSA', publicKey, DATA, good)).toBe(true)
    expect(withS(s)).toEqual(good)
    for (let times = 1n; times < 16n; times++)
      if (s + times * order < 2n ** 256n)
        expect(await rejects('EdDSA', publicKey, withS(s + times * order))).toBe(true)
    for (const value of [0n, 1n, order - 1n, order, order + 1n, 2n ** 256n - 1n, order - s])
      expect(await rejects('EdDSA', publicKey, withS(value))).toBe(true)
  })

  test('ALG-049: points of small order or none, and other lengths, are rejected', async () => {
    const points = [
      Buffer.alloc(32),
      Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]),
      Buffer.alloc(32, 0xff),
      Buffer.concat([Buffer.from([0xec]), Buffer.alloc(30, 0xff), Buffer.from([0x7f])]),
    ]
    for (const point of points) {
      expect(await rejects('EdDSA', publicKey, Buffer.concat([point, good.subarray(32)]))).toBe(true)
      expect(await rejects('EdDSA', publicKey, Buffer.concat([point, Buffer.alloc(32)]))).toBe(true)
    }
    for (const signature of [
      Buffer.alloc(0),
      good.subarray(1),
      good.subarray(0, -1),
      Buffer.concat([good, Buffer.alloc(1)]),
      Buffer.concat([Buffer.alloc(1), good]),
    ])
      expect(await rejects('EdDSA', publicKey, signature)).toBe(true)
  })
})
