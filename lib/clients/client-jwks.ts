import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { isObject } from '../protocol/encoding.ts'

const MAX_KEYS = 10
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

/**
 * Judges the keys of a client (RFC 7517): public, asymmetric, and strong enough (RFC 8725 §3.4).
 * @returns what is wrong, to stand behind the name of the member, or `undefined`
 */
export function problemOfClientJwks(jwks: unknown): string | undefined {
  if (!isObject(jwks) || !Array.isArray(jwks.keys) || jwks.keys.length === 0 || jwks.keys.length > MAX_KEYS) {
    return `must be a JWK Set with 1 to ${MAX_KEYS} keys`
  }
  for (const [index, jwk] of jwks.keys.entries()) {
    const problem = problemOfJwk(jwk)
    if (problem !== undefined) return `key ${index} ${problem}`
  }
  return undefined
}

function problemOfJwk(jwk: unknown): string | undefined {
  if (!isObject(jwk) || Object.values(jwk).some((member) => isTooLong(member))) return 'is not a JWK object'
  if (privateMembers.some((member) => member in jwk)) return 'has private members; register public keys only'
  if (!['EC', 'RSA', 'OKP'].includes(jwk.kty as string)) return 'must be of type EC, RSA or OKP'
  if (jwk.use !== undefined && jwk.use !== 'sig') return 'is not for signatures'
  try {
    const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    const { modulusLength, publicExponent, namedCurve } = key.asymmetricKeyDetails ?? {}
    if (key.asymmetricKeyType === 'rsa') {
      if ((modulusLength ?? 0) < 2048 || (modulusLength ?? 0) > 4096)
        return 'must be RSA of 2048 to 4096 bits'
      // A larger one makes each verification cost a hundred times as much.
      if ((publicExponent ?? 0n) < 3n || (publicExponent ?? 0n) > 2n ** 32n)
        return 'has an RSA exponent that is not between 3 and 2^32'
    } else if (key.asymmetricKeyType === 'ec') {
      if (!['prime256v1', 'secp384r1', 'secp521r1'].includes(namedCurve ?? ''))
        return 'must be on curve P-256, P-384 or P-521'
    } else if (key.asymmetricKeyType !== 'ed25519') return 'must be Ed25519'
    return undefined
  } catch {
    return 'is not a valid public key'
  }
}

/** Members are short texts, or lists of them (`key_ops`, `x5c`): nothing nested, nothing huge. */
function isTooLong(member: unknown): boolean {
  const texts = Array.isArray(member) ? member : [member]
  return (
    texts.length > 10 ||
    texts.some((text) => (typeof text === 'string' ? text.length > 8192 : typeof text === 'object'))
  )
}
