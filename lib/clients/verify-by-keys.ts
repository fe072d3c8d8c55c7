import type { JSONWebKeySet, JWTVerifyOptions, JWTVerifyResult } from 'jose'
import * as errors from 'jose/errors'
import type { ClientJwks, ClientKeys, KeyOwner } from './client-keys.ts'

/** Many servers are never sent such a JWT, and loading this would take 10 ms of each start. */
const verifier = () => import('jose/jwt/verify')
const keySets = () => import('jose/jwks/local')

/** What newer keys may mend: the owner may have changed them a moment ago. */
const keyErrors: readonly string[] = [
  errors.JWKSNoMatchingKey.code,
  errors.JWSSignatureVerificationFailed.code,
]

/**
 * Verifies a JWT by the keys of its owner that are known, and where none of them fits by newer ones.
 * @returns the result, or the private reason why not
 * @throws OAuthError 503 where the keys cannot be had
 */
export async function verifyByKeys(
  jwt: string,
  owner: KeyOwner,
  keys: Pick<ClientKeys, 'of' | 'renewed'>,
  options: JWTVerifyOptions,
): Promise<JWTVerifyResult | string> {
  const known = await keys.of(owner)
  if (known === undefined) return 'there are no keys'
  const first = await verify(jwt, known, options)
  if (typeof first !== 'string' || !keyErrors.includes(first)) return first
  const newer = await keys.renewed(owner)
  return newer === undefined ? first : verify(jwt, newer, options)
}

async function verify(
  jwt: string,
  jwks: ClientJwks,
  options: JWTVerifyOptions,
): Promise<JWTVerifyResult | string> {
  const [{ jwtVerify }, { createLocalJWKSet }] = await Promise.all([verifier(), keySets()])
  try {
    return await jwtVerify(jwt, createLocalJWKSet(jwks as unknown as JSONWebKeySet), options)
  } catch (error) {
    if (error instanceof errors.JWKSMultipleMatchingKeys) return verifyByAny(jwt, error, options)
    return error instanceof errors.JOSEError ? error.code : 'malformed'
  }
}

/** Keys that one JWT may be tried with: a set that is published may have a hundred, which cost 4 ms each (P-521). */
const MAX_TRIED = 5

/** Without `kid` each key that fits is tried. */
async function verifyByAny(
  jwt: string,
  candidates: errors.JWKSMultipleMatchingKeys,
  options: JWTVerifyOptions,
): Promise<JWTVerifyResult | string> {
  const { jwtVerify } = await verifier()
  let tried = 0
  for await (const key of candidates) {
    if (tried++ === MAX_TRIED) return 'too many keys fit: it needs a kid'
    try {
      return await jwtVerify(jwt, key, options)
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed))
        return error instanceof errors.JOSEError ? error.code : 'malformed'
    }
  }
  return errors.JWSSignatureVerificationFailed.code
}
