import type { Configuration } from './configuration.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import { createVerifier, type Verifier } from './tokens/verifier.ts'

/** Verifies the access tokens of this server: by its own ring and revocation log, no HTTP. */
export function createOwnVerifier(
  { issuer, resources, clock, clockTolerance, ringTimes, verifiedTokens }: Configuration,
  keyRing: KeyRing,
  revocations: RevocationLog,
): Verifier {
  return createVerifier({
    issuer,
    audiences: [...resources.all.values()].map(({ audience }) => audience),
    clock,
    tolerance: clockTolerance,
    maxLifetime: ringTimes.longestToken,
    keyNow: keyRing.verificationKey,
    async keyFor(kid) {
      await keyRing.loaded()
      return keyRing.verificationKey(kid)
    },
    watch: revocations.watch,
    limits: verifiedTokens,
  })
}
