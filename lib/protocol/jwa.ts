import { constants, type KeyObject, sign as signBytes, verify as verifyBytes } from 'node:crypto'
import { promisify } from 'node:util'

/** How a signature algorithm is done with `node:crypto` (RFC 7518 §3, RFC 8037). Asymmetric only; `none` and HMAC have no row. */
interface Algorithm {
  readonly keyType: 'ec' | 'rsa' | 'ed25519'
  readonly curve?: 'P-256' | 'P-384' | 'P-521'
  readonly hash: string | null
  readonly pss?: true
  /** Signing takes some 25 µs, which is less than the way to a thread and back; with the others it would hold up every request. */
  readonly signsAtOnce?: true
  /** Verifying takes less than 100 µs, and on the main thread less CPU in all; the others take half a millisecond. */
  readonly verifiesAtOnce?: true
  /** Exact length of a signature in bytes; for RSA it is the modulus'. */
  readonly signatureLength?: number
}

export const algorithms = {
  ES256: {
    keyType: 'ec',
    curve: 'P-256',
    hash: 'sha256',
    signatureLength: 64,
    signsAtOnce: true,
    verifiesAtOnce: true,
  },
  ES384: { keyType: 'ec', curve: 'P-384', hash: 'sha384', signatureLength: 96 },
  ES512: { keyType: 'ec', curve: 'P-521', hash: 'sha512', signatureLength: 132 },
  RS256: { keyType: 'rsa', hash: 'sha256', verifiesAtOnce: true },
  PS256: { keyType: 'rsa', hash: 'sha256', pss: true, verifiesAtOnce: true },
  EdDSA: { keyType: 'ed25519', hash: null, signatureLength: 64, signsAtOnce: true, verifiesAtOnce: true },
} as const satisfies Record<string, Algorithm>

/** A signing algorithm that the key ring can use. */
export type SigningAlgorithm = keyof typeof algorithms

/** Bytes of a signature. */
export function signatureLength(alg: SigningAlgorithm, rsaBits: number): number {
  const algorithm: Algorithm = algorithms[alg]
  return algorithm.signatureLength ?? rsaBits / 8
}

const signLater = promisify(signBytes)

function parameters(algorithm: Algorithm, key: KeyObject) {
  if (algorithm.pss)
    return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  if (algorithm.keyType === 'ec') return { key, dsaEncoding: 'ieee-p1363' as const }
  return { key }
}

/** Signs: what takes 25 µs at once, what takes a quarter of a millisecond and more off the main thread. */
export function signWith(alg: SigningAlgorithm, key: KeyObject, data: Buffer): Buffer | Promise<Buffer> {
  const algorithm: Algorithm = algorithms[alg]
  const options = parameters(algorithm, key)
  return algorithm.signsAtOnce
    ? signBytes(algorithm.hash, data, options)
    : signLater(algorithm.hash, data, options)
}

const hasLength = ({ signatureLength }: Algorithm, signature: Buffer) =>
  signatureLength === undefined || signature.length === signatureLength

/**
 * Verifies on the main thread, where that takes the least CPU (see the README's table). The algorithm is the key's record's, never
 * the header's (RFC 8725 §3.1).
 * @returns `undefined` for an algorithm whose verification would hold up other requests
 */
export function verifyAtOnce(
  alg: SigningAlgorithm,
  key: KeyObject,
  data: Buffer,
  signature: Buffer,
): boolean | undefined {
  const algorithm: Algorithm = algorithms[alg]
  if (!algorithm.verifiesAtOnce) return undefined
  return (
    hasLength(algorithm, signature) &&
    verifyBytes(algorithm.hash, data, parameters(algorithm, key), signature)
  )
}

/** Verifies off the main thread: what takes long, and what must not take time from everybody else. */
export function verifyLater(
  alg: SigningAlgorithm,
  key: KeyObject,
  data: Buffer,
  signature: Buffer,
): Promise<boolean> {
  const algorithm: Algorithm = algorithms[alg]
  if (!hasLength(algorithm, signature)) return Promise.resolve(false)
  return new Promise((resolve, reject) => {
    verifyBytes(algorithm.hash, data, parameters(algorithm, key), signature, (error, isGood) =>
      error === null ? resolve(isGood) : reject(error),
    )
  })
}

/** Does this key's type fit the algorithm? One key is used with one algorithm (RFC 8725 §3.1). */
export function fitsAlgorithm(alg: SigningAlgorithm, key: KeyObject): boolean {
  const algorithm: Algorithm = algorithms[alg]
  if (key.asymmetricKeyType !== algorithm.keyType) return false
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  if (algorithm.keyType === 'ec')
    return (
      namedCurve ===
      { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' }[algorithm.curve ?? 'P-256']
    )
  if (algorithm.keyType === 'rsa') return (modulusLength ?? 0) >= 2048 && (modulusLength ?? 0) <= 4096
  return true
}
