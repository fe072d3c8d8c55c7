import type { AatParts } from '../http/aat.ts'
import { type AatClaims, isAccessTokenType, readClaims } from '../tokens/access-token.ts'
import { parseCompactJws, verifyJws } from '../tokens/compact-jws.ts'

/** An access token of ours, for any of our resources, that is good now; or `undefined` for anything else. Memory only. */
export async function readOwnAccessToken(
  token: string,
  parts: AatParts,
): Promise<(AatClaims & Record<string, unknown>) | undefined> {
  const jws = parseCompactJws(token)
  if ('problem' in jws || !isAccessTokenType(jws.header.typ)) return undefined
  await Promise.all([parts.keyRing.loaded(), parts.revocations.loaded()])
  const key = parts.keyRing.verificationKey(jws.header.kid)
  if (key === undefined || !(await verifyJws(jws, key))) return undefined
  const read = readClaims(jws.payload, {
    issuer: parts.issuer,
    audiences: [...parts.resources.all.values()].map(({ audience }) => audience),
    now: parts.clock(),
    tolerance: parts.clockTolerance,
    maxLifetime: parts.longestAccessToken,
  })
  if ('problem' in read) return undefined
  const { claims } = read
  const { jti, grant_id: grantId, client_id: clientId, sub: subject, iat: issuedAt } = claims
  return parts.revocations.covers({ jti, grantId, clientId, subject, kid: jws.header.kid, issuedAt })
    ? undefined
    : claims
}
