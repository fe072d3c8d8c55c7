import { isObject } from '../protocol/encoding.ts'
import { readPublicJwk } from '../protocol/public-jwk.ts'

const MAX_KEYS = 10
/** What of a key is used: not its certificates, say. */
const keyMembers = ['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'alg', 'use', 'key_ops']
/** The most in a set that a client publishes. */
const MAX_PUBLISHED_KEYS = 100

/**
 * Judges the keys of a client (RFC 7517).
 * @returns what is wrong, to stand behind the name of the member, or `undefined`
 */
export function problemOfClientJwks(jwks: unknown): string | undefined {
  if (!isObject(jwks) || !Array.isArray(jwks.keys) || jwks.keys.length === 0 || jwks.keys.length > MAX_KEYS) {
    return `must be a JWK Set with 1 to ${MAX_KEYS} keys`
  }
  for (const [index, jwk] of jwks.keys.entries()) {
    const read = readPublicJwk(jwk)
    if ('problem' in read) return `key ${index} ${read.problem}`
  }
  return undefined
}

/** Of a JWK Set that is published for more than this purpose: the keys that can verify assertions. */
export function usableKeysOf({ keys }: Record<string, unknown>): Record<string, unknown>[] {
  if (!Array.isArray(keys) || keys.length > MAX_PUBLISHED_KEYS) return []
  return keys
    .filter((jwk) => !('problem' in readPublicJwk(jwk)))
    .map((jwk) => Object.fromEntries(Object.entries(jwk).filter(([name]) => keyMembers.includes(name))))
}
