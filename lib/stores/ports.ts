import type { Sha256 } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { AccessTokenStore } from './access-token-store.ts'
import type { ClientStore } from './client-store.ts'

import type { DocumentStore } from './document-store.ts'
import type { GrantStore } from './grant-store.ts'
import type { InitialAccessTokenStore } from './initial-access-token-store.ts'
import type { PlaceStore } from './place-store.ts'
import type { RevocationStore } from './revocation-store.ts'
import type { RingStore } from './ring-store.ts'

export type { AccessTokenStore, TokenPlace } from './access-token-store.ts'
export type {
  Client,
  ClientAuthenticationMethod,
  ClientQuery,
  ClientRecord,
  ClientSecret,
  ClientStore,
  RefreshPolicyOf,
} from './client-store.ts'
export { MAX_CLIENT_ID } from './client-store.ts'
export type { DocumentStore, KeptDocument } from './document-store.ts'
export type {
  CodeOutcome,
  CodeRecord,
  CodeRedemption,
  CodeRefusal,
  EndReason,
  FamilyLimits,
  FamilyOwner,
  FamilyQuery,
  FamilyView,
  Grant,
  GrantStore,
  NextToken,
  Obtainable,
  RefreshOutcome,
  RefreshPolicy,
  RefreshRefusal,
  RefreshRequest,
} from './grant-store.ts'
export type {
  InitialAccessToken,
  InitialAccessTokenState,
  InitialAccessTokenStore,
} from './initial-access-token-store.ts'
export type { PlaceStore } from './place-store.ts'
export {
  BEGINNING,
  type Place,
  type RevocationEntry,
  type RevocationNews,
  type RevocationStore,
  type RevokedKind,
} from './revocation-store.ts'
export type { KeyRecord, RingState, RingStore, SealedKey } from './ring-store.ts'

/**
 * The ports: what the authorization server asks of storage. A verb is one atomic state transition and never
 * read-check-write; it answers with an outcome in words, and throws (`StoreUnavailable`) only where it could not
 * be carried out. Everything that expires, expires by the store's own clock.
 */
export interface Stores {
  /** Named in start-up errors: `memory` is refused in production unless it is allowed by name. */
  readonly kind: string
  readonly grants: GrantStore
  readonly clients: ClientStore
  readonly requests: RequestStore
  readonly consents: ConsentStore
  readonly replays: ReplayStore
  readonly revocations: RevocationStore
  readonly ring: RingStore
  readonly counters: CounterStore
  readonly initialAccessTokens: InitialAccessTokenStore
  readonly places: PlaceStore
  readonly accessTokens: AccessTokenStore
  readonly documents: DocumentStore
  /** Looks at the store itself: can it be reached, is it set up as it must be? Absent: nothing to look at. */
  check?(): Promise<readonly StoreFinding[]>
  /** Says that this instance is there and how it is set up; tells of all that were lately. Absent: there are no others. */
  announce?(self: Instance): Promise<readonly Instance[]>
  /** Lets go of connections and timers; called by `aat.close()`. */
  close?(): Promise<void>
}

/** An instance of the app. */
export interface Instance {
  readonly id: string
  /** A hash of the settings on which instances have to agree. */
  readonly settings: Sha256
}

/** Something about the store that an operator should know. */
export interface StoreFinding {
  /** `unusable`: not ready while it lasts. `advice`: works, but deserves a look. */
  readonly severity: 'unusable' | 'advice'
  /** What is wrong, and what would be right. */
  readonly message: string
}

// ── pending authorization requests, consents, assertion replays ────────────────────────────────────────────────

/** An authorization request that waits for its user; kept here, so nothing in the browser can change it. */
export interface PendingRequest {
  readonly clientId: string
  readonly redirectUri: string
  readonly redirectUriRequired: boolean
  readonly codeChallenge: string
  /** Thumbprint of the one key that may redeem the code (RFC 9449 §10). */
  readonly dpopJkt?: string
  readonly scope: readonly string[]
  readonly resources: readonly string[]
  readonly state?: string
  readonly prompt: readonly string[]
  readonly maxAge?: number
  readonly acrValues: readonly string[]
  readonly loginHint?: string
  /** SHA-256 of the cookie of the browser that it belongs to. */
  readonly browser: Sha256
  readonly createdAt: NumericDate
}

export interface RequestStore {
  save(handle: Sha256, request: PendingRequest, expiresAt: NumericDate): Promise<void>
  read(handle: Sha256): Promise<PendingRequest | undefined>
  /** Reads and removes in one step: of any number of takers one gets it. */
  take(handle: Sha256): Promise<PendingRequest | undefined>
}

export interface ConsentStore {
  /** Adds to what was remembered, resource by resource, and prolongs it. */
  remember(subject: string, clientId: string, consent: Consent, expiresAt: NumericDate): Promise<void>
  read(subject: string, clientId: string): Promise<Consent | undefined>
  forget(subject: string, clientId: string): Promise<void>
  /** All that a subject allowed to anybody. */
  forgetSubject(subject: string): Promise<void>
}

/** What a user allowed: scope tokens by resource identifier. What was allowed at one resource says nothing of another. */
export type Consent = ReadonlyMap<string, ReadonlySet<string>>

export interface ReplayStore {
  /** Claims a key once until the given time: of any number of claimants one is `fresh`. */
  claim(key: Sha256, expiresAt: NumericDate): Promise<'fresh' | 'seen'>
}

// ── counters ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Counts for rate limits and quotas, in fixed windows. */
export interface CounterStore {
  /**
   * Adds one to a counter where that stays within the limit, and tells when the window ends. A key is counted either by `count`
   * or by `take`.
   */
  take(
    key: Sha256,
    windowSeconds: number,
    limit: number,
  ): Promise<{ readonly outcome: 'taken' | 'full'; readonly resetsAt: NumericDate }>
  /** Takes one off, where the window is still the one that ends then. */
  giveBack(key: Sha256, resetsAt: NumericDate): Promise<void>
  /** Adds one to a counter and tells the count in its window, and when the window ends. */
  count(
    key: Sha256,
    windowSeconds: number,
  ): Promise<{ readonly count: number; readonly resetsAt: NumericDate }>
}
