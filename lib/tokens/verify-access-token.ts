import { type AatClaims, type ClaimRules, isAccessTokenType, readClaims } from './access-token.ts'
import { parseCompactJws, type VerificationKey, verifyJws } from './compact-jws.ts'

export interface VerifiedAccessToken {
  readonly claims: AatClaims & Record<string, unknown>
  /** Of the key that signed it, which may have been revoked since. */
  readonly kid: string
}

/**
 * Verifies an access token (RFC 9068 §4, RFC 8725), in the order of least cost: form, type, key, signature, claims.
 * @param rules read when the signature is verified, so that `now` is then
 * @returns `undefined` for one that is not good, whatever the reason
 */
export async function verifyAccessToken(
  token: string,
  keyFor: (kid: string) => VerificationKey | undefined | Promise<VerificationKey | undefined>,
  rules: () => ClaimRules,
): Promise<VerifiedAccessToken | undefined> {
  const jws = parseCompactJws(token)
  if ('problem' in jws || !isAccessTokenType(jws.header.typ)) return undefined
  const { kid } = jws.header
  const key = await keyFor(kid)
  if (key === undefined || !(await verifyJws(jws, key))) return undefined
  const read = readClaims(jws.payload, rules())
  return 'problem' in read ? undefined : { claims: read.claims, kid }
}
