import type { AatClaims } from '../tokens/access-token.ts'
import type { VerificationKey } from '../tokens/compact-jws.ts'

/**
 * Where tokens come from, as the guard sees it: this process (an `aat`) or an issuer elsewhere (`remoteIssuer`). The guard is
 * the same for both.
 */
export interface TokenSource {
  readonly issuer: string
  /** Seconds. */
  readonly clockTolerance: number
  /** Seconds: the longest `exp - iat` that is believed. */
  readonly maxLifetime: number
  readonly clock: () => number
  /** The resource that a guard protects where it names none. */
  readonly defaultResource: string | undefined
  /** The expected `aud` of a resource, or `undefined` where it is not known. */
  readonly audienceOf: (resource: string) => string | undefined
  /** The scopes of a resource, or `undefined` where it is not known. */
  readonly scopesOf: (resource: string) => readonly string[] | undefined
  /** Throws what is to be answered with 503, where keys cannot be had. */
  readonly keyFor: (kid: string) => VerificationKey | undefined | Promise<VerificationKey | undefined>
  /** Fulfilled where revocations are known well enough; rejected with a 503 where they are not. */
  readonly knowsRevocations: (whenStale: 'refuse' | 'accept') => Promise<void>
  readonly isRevoked: (claims: AatClaims, kid: string) => boolean
  /** Tells about a fault of ours; returns its reference. */
  readonly onFault: (error: unknown) => string
}
