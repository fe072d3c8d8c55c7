import { type Aat, partsOf } from '../http/aat.ts'
import { reportFault } from '../http/responder.ts'
import { tokenHash } from '../protocol/digest.ts'
import { scopesOf } from '../protocol/resource.ts'
import type { TokenSource } from './token-source.ts'

const known = new WeakMap<Aat, TokenSource>()

/** An `aat` in this process: its ring and its revocation log, no HTTP. All guards have the same one. */
export function sourceOfLocal(aat: Aat): TokenSource {
  const source = known.get(aat) ?? makeSource(aat)
  known.set(aat, source)
  return source
}

function makeSource(aat: Aat): TokenSource {
  const parts = partsOf(aat, 'requireAat')
  const { resources, revocations } = parts
  return {
    issuer: parts.issuer,
    clockTolerance: parts.clockTolerance,
    clock: parts.clock,
    resources: [...resources.all.keys()],
    defaultResource: resources.fallback?.identifier,
    audienceOf: (resource) => resources.all.get(resource)?.audience,
    scopesOf: (resource) => scopesOf(resources, resource),
    verify: parts.verifier.verify,
    knowsOpaque: (token) => parts.verifier.opaque.read(token) !== undefined,
    countUse({ claims }) {
      // Ahead of the claims: among very many tokens they are one more wait for memory.
      if (!revocations.hasLimits()) return undefined
      const { jti } = claims
      const limit = revocations.limitOf(jti)
      return limit && parts.stores.accessTokens.use(tokenHash(jti), limit.atMost ?? 0, limit.until)
    },
    senders: {
      ...parts.dpop,
      replays: parts.dpop.guardReplays,
      readCertificate: parts.readCertificate,
      onRefusedProof: (reason, clientId) =>
        void parts.emit('dpop_proof.refused', { at: 'resource', clientId, reason }),
    },
    isFresh: revocations.isFresh,
    becomeFresh: (whenStale) => (whenStale === 'accept' ? revocations.freshOrCounted() : revocations.fresh()),
    onFault: (error) => reportFault(error, 'requireAat', parts),
  }
}
