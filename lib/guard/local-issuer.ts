import { type Aat, partsOf } from '../http/aat.ts'
import { randomId } from '../protocol/random.ts'
import { scopesOf } from '../protocol/resource.ts'
import type { TokenSource } from './token-source.ts'

/** An `aat` in this process: its ring and its revocation log, no HTTP. */
export function sourceOfLocal(aat: Aat): TokenSource {
  const parts = partsOf(aat, 'requireAat')
  const { resources, revocations, keyRing } = parts
  return {
    issuer: parts.issuer,
    clockTolerance: parts.clockTolerance,
    maxLifetime: parts.longestAccessToken,
    clock: parts.clock,
    defaultResource: resources.fallback?.identifier,
    audienceOf: (resource) => resources.all.get(resource)?.audience,
    scopesOf: (resource) => scopesOf(resources, resource),
    async keyFor(kid) {
      // Without the log a revoked token would be let in.
      await Promise.all([keyRing.loaded(), revocations.loaded()])
      return keyRing.verificationKey(kid)
    },
    isRevoked: ({ jti, grant_id: grantId, client_id: clientId, sub: subject, iat: issuedAt }, kid) =>
      revocations.covers({ jti, grantId, clientId, subject, kid, issuedAt }),
    onFault: (error) => {
      const reference = randomId(parts.random, 9)
      parts.emit('fault', { where: 'requireAat', reference, error })
      return reference
    },
  }
}
