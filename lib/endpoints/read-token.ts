import type { AatParts } from '../http/aat.ts'
import type { Verified } from '../tokens/verified.ts'

/**
 * The claims of an access token of ours, for any of our resources, that is good now; or `undefined` for anything else.
 * @param from whose forged tokens are held against whom: who presents it
 * @throws StoreUnavailable where the key ring or the revocation log was never read
 */
export async function readOwnAccessToken(
  token: string,
  { revocations, verifier }: AatParts,
  from: string,
): Promise<Verified['claims'] | undefined> {
  const [verified] = await Promise.all([verifier.verify(token, () => from), revocations.fresh()])
  return verified === undefined || verified.isRevoked() ? undefined : verified.claims
}
