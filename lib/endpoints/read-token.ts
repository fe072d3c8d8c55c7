import type { AatParts } from '../http/aat.ts'
import type { AatClaims } from '../tokens/access-token.ts'
import { verifyAccessToken } from '../tokens/verify-access-token.ts'

/**
 * An access token of ours, for any of our resources, that is good now; or `undefined` for anything else.
 * @throws StoreUnavailable where the key ring or the revocation log was never read
 */
export async function readOwnAccessToken(
  token: string,
  { keyRing, revocations, resources, issuer, clock, clockTolerance, longestAccessToken }: AatParts,
): Promise<(AatClaims & Record<string, unknown>) | undefined> {
  await Promise.all([keyRing.loaded(), revocations.fresh()])
  const verified = await verifyAccessToken(token, keyRing.verificationKey, () => ({
    issuer,
    audiences: [...resources.all.values()].map(({ audience }) => audience),
    now: clock(),
    tolerance: clockTolerance,
    maxLifetime: longestAccessToken,
  }))
  if (verified === undefined) return undefined
  const { claims, kid } = verified
  return revocations.coversToken(claims, kid) ? undefined : claims
}
