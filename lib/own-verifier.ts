import type { Configuration } from './configuration.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import { opaqueAccessTokens } from './tokens/opaque-access-token.ts'
import { createVerifier, type OwnVerifier } from './tokens/verifier.ts'

/** Verifies the access tokens of this server: by its own ring and revocation log, no HTTP. */
export function createOwnVerifier(
  configuration: Configuration,
  keyRing: KeyRing,
  revocations: RevocationLog,
): OwnVerifier {
  const { issuer, secrets, stores, resources, clock, random, clockTolerance } = configuration
  const opaque = opaqueAccessTokens(secrets, random, stores.accessTokens)
  const verifier = createVerifier({
    issuer,
    audiences: [...resources.all.values()].map(({ audience }) => audience),
    clock,
    tolerance: clockTolerance,
    maxLifetime: configuration.ringTimes.longestToken,
    keyNow: keyRing.verificationKey,
    async keyFor(kid) {
      await keyRing.loaded()
      return keyRing.verificationKey(kid)
    },
    isRevoked() {
      return revocations.isRevoked(this)
    },
    opaque,
    limits: configuration.verifiedTokens,
  })
  const { verify, noteMinted, size } = verifier
  return { verify, noteMinted, size, opaque }
}
