import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { sha256 } from './digest.ts'
import { isObject } from './encoding.ts'

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/** The members that make a key what it is, in the order of RFC 7638 §3.2. */
const identifyingMembers: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
}

/**
 * Reads a JWK that somebody else sent (RFC 7517): public, asymmetric, for signatures, and strong enough (RFC 8725 §3.4).
 * @returns the key, or what is wrong, to stand behind the name of the member
 */
export function readPublicJwk(jwk: unknown): { readonly key: KeyObject } | { readonly problem: string } {
  if (!isObject(jwk) || Object.values(jwk).some((member) => isTooLong(member)))
    return { problem: 'is not a JWK object' }
  if (privateMembers.some((member) => member in jwk))
    return { problem: 'has private members; register public keys only' }
  if (!Object.hasOwn(identifyingMembers, String(jwk.kty)))
    return { problem: 'must be of type EC, RSA or OKP' }
  if (jwk.use !== undefined && jwk.use !== 'sig') return { problem: 'is not for signatures' }
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    const problem = problemOfKey(key)
    return problem === undefined ? { key } : { problem }
  } catch {
    return { problem: 'is not a valid public key' }
  }
}

function problemOfKey(key: KeyObject): string | undefined {
  const { modulusLength, publicExponent, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'rsa') {
    if ((modulusLength ?? 0) < 2048 || (modulusLength ?? 0) > 4096) return 'must be RSA of 2048 to 4096 bits'
    // A larger one makes each verification cost a hundred times as much.
    if ((publicExponent ?? 0n) < 3n || (publicExponent ?? 0n) > 2n ** 32n)
      return 'has an RSA exponent that is not between 3 and 2^32'
  } else if (key.asymmetricKeyType === 'ec') {
    if (!['prime256v1', 'secp384r1', 'secp521r1'].includes(namedCurve ?? ''))
      return 'must be on curve P-256, P-384 or P-521'
  } else if (key.asymmetricKeyType !== 'ed25519') return 'must be Ed25519'
  return undefined
}

/** The thumbprint of a key in its one spelling, which is what `node:crypto` exports (RFC 7638). */
export function jwkThumbprint(canonical: JsonWebKey): string {
  return sha256(
    JSON.stringify(Object.fromEntries(identifying(canonical).map((name) => [name, canonical[name]]))),
  )
}

function identifying({ kty }: JsonWebKey): readonly string[] {
  return identifyingMembers[String(kty)] ?? []
}

/**
 * The thumbprint of a key that somebody else sent.
 * @param jwk how it was sent
 * @returns `undefined` where it was sent in another than its one spelling: two thumbprints would name one key
 */
export function thumbprintOf(key: KeyObject, jwk: Record<string, unknown>): string | undefined {
  const canonical = key.export({ format: 'jwk' })
  if (identifying(canonical).some((name) => canonical[name] !== jwk[name])) return undefined
  return jwkThumbprint(canonical)
}

/** Members are short texts, or lists of them (`key_ops`, `x5c`): nothing nested, nothing huge. */
function isTooLong(member: unknown): boolean {
  const texts = Array.isArray(member) ? member : [member]
  return (
    texts.length > 10 ||
    texts.some((text) => (typeof text === 'string' ? text.length > 8192 : typeof text === 'object'))
  )
}
