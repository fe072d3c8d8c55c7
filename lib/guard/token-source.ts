import type { Verified } from '../tokens/verified.ts'
import type { SenderRules } from './sender.ts'

/**
 * Where tokens come from, as the guard sees it: this process (an `aat`) or an issuer elsewhere (`remoteIssuer`). The guard is
 * the same for both.
 */
export interface TokenSource {
  readonly issuer: string
  /** Seconds. */
  readonly clockTolerance: number
  readonly clock: () => number
  /** The identifiers of all of them. */
  readonly resources: readonly string[]
  /** The resource that a guard protects where it names none. */
  readonly defaultResource: string | undefined
  /** The expected `aud` of a resource, or `undefined` where it is not known. */
  readonly audienceOf: (resource: string) => string | undefined
  /** The scopes of a resource, or `undefined` where it is not known. */
  readonly scopesOf: (resource: string) => readonly string[] | undefined
  /**
   * The token, for any resource, if it is good; at once where memory knows. Throws (or rejects with) what is to be answered
   * with 503, where that cannot be found out.
   * @param from tells the address that presented it
   */
  readonly verify: (token: string, from: () => string) => Verified | undefined | Promise<Verified | undefined>
  /** Is this an opaque token of this source? `undefined` where only asking its issuer would tell. Asked where there are several. */
  readonly knowsOpaque: (token: string) => boolean | undefined
  /** Counts a use of a token whose uses are limited: was it one too many? `undefined` for all others, which is most. */
  readonly countUse: (verified: Verified) => Promise<'used' | 'exhausted'> | undefined
  readonly senders: SenderRules
  /** Are revocations known well enough, without asking anybody? */
  readonly isFresh: () => boolean
  /** Where they are not: fulfilled once they are; rejected with a 503 where they cannot be had. */
  readonly becomeFresh: (whenStale: 'refuse' | 'accept') => Promise<void> | undefined
  /** Tells about a fault of ours; returns its reference. */
  readonly onFault: (error: unknown) => string
}
