import type { Sha256 } from '../protocol/digest.ts'
import type { SigningAlgorithm } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { GrantStore, RefreshPolicy } from './grant-store.ts'

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
  IdpSessionId,
  NextToken,
  Obtainable,
  RefreshOutcome,
  RefreshPolicy,
  RefreshRefusal,
  RefreshRequest,
} from './grant-store.ts'

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
  /** Looks at the store itself: can it be reached, is it set up as it must be? Absent: nothing to look at. */
  check?(): Promise<readonly StoreFinding[]>
  /** Lets go of connections and timers; called by `aat.close()`. */
  close?(): Promise<void>
}

/** Something about the store that an operator should know. */
export interface StoreFinding {
  /** `unusable`: not ready while it lasts. `advice`: works, but deserves a look. */
  readonly severity: 'unusable' | 'advice'
  /** What is wrong, and what would be right. */
  readonly message: string
}

// ── clients ────────────────────────────────────────────────────────────────────────────────────────────────────

export type ClientAuthenticationMethod =
  | 'none'
  | 'client_secret_basic'
  | 'client_secret_post'
  | 'private_key_jwt'

/** A client, from the configuration or from registration. */
export interface Client {
  readonly id: string
  /** `registered` clients chose their own names and redirect URIs; nobody vouches for them. */
  readonly origin: 'configuration' | 'registered'
  readonly name?: string
  readonly uri?: string
  readonly logoUri?: string
  readonly policyUri?: string
  readonly tosUri?: string
  readonly contacts?: readonly string[]
  readonly softwareId?: string
  readonly softwareVersion?: string
  readonly applicationType: 'web' | 'native'
  readonly redirectUris: readonly string[]
  readonly grantTypes: readonly string[]
  readonly authenticationMethod: ClientAuthenticationMethod
  /** SHA-256 of each valid secret, newest first. */
  readonly secretHashes: readonly Sha256[]
  /** Public keys for `private_key_jwt`. */
  readonly jwks?: { readonly keys: readonly Record<string, unknown>[] }
  /** The one algorithm of its assertions; absent: any that its keys allow. */
  readonly assertionAlg?: string
  /** What a request without `scope` asks for; absent: the resource's default. */
  readonly defaultScope?: readonly string[]
  /** Ceiling on what it may ever get; absent: all scopes of the resources. */
  readonly allowedScope?: readonly string[]
  readonly refreshPolicy?: RefreshPolicy
  readonly accessTokenLifetime?: number
  /** No consent page: the app vouches for it. */
  readonly firstParty?: boolean
  /** Resource identifiers whose tokens it may introspect, as their resource server. */
  readonly introspects?: readonly string[]
  readonly createdAt: NumericDate
}

export interface ClientStore {
  create(client: Client): Promise<'created' | 'exists' | 'full'>
  read(id: string): Promise<Client | undefined>
  delete(id: string): Promise<'deleted' | 'unknown'>
}

// ── pending authorization requests, consents, assertion replays ────────────────────────────────────────────────

/** An authorization request that waits for its user; kept here, so nothing in the browser can change it. */
export interface PendingRequest {
  readonly clientId: string
  readonly redirectUri: string
  readonly redirectUriRequired: boolean
  readonly codeChallenge: string
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

// ── revocations ────────────────────────────────────────────────────────────────────────────────────────────────

/** `client` and `subject` end what was issued up to `notAfter` (an epoch, whatever the number of tokens); the others name one thing. */
export interface RevocationEntry {
  readonly kind: 'jti' | 'grant' | 'client' | 'subject' | 'kid'
  readonly id: string
  /** For `client` and `subject`: tokens issued at or before this moment are revoked. */
  readonly notAfter?: NumericDate
  /** The entry matters until then: no token that it covers lives longer. */
  readonly until: NumericDate
}

/** A place in a history: its revision, and what tells it from the same revision of another history (a restored backup's). */
export interface Place {
  /** 0: nothing was written yet. */
  readonly revision: number
  readonly tip: string
}

/** Where every history begins. */
export const BEGINNING: Place = { revision: 0, tip: '' }

export interface RevocationNews {
  /** The place that the entries lead to. */
  readonly place: Place
  /** The known place is one of this history. Where not, the entries are all there are, from the beginning. */
  readonly proven: boolean
  /** Newer than the known place and still mattering, oldest first; at most 1,000. */
  readonly entries: readonly RevocationEntry[]
  /** There are more: ask again from the new place. */
  readonly more: boolean
}

export interface RevocationStore {
  /** Adds an entry and returns the log's new revision. */
  append(entry: RevocationEntry): Promise<number>
  since(known: Place): Promise<RevocationNews>
  /** A hint that there is something newer; returns a function that ends it. */
  subscribe(listener: () => void): () => void
}

// ── the key ring ───────────────────────────────────────────────────────────────────────────────────────────────

export interface SealedKey {
  /** Which secret wraps the data key. */
  readonly secretId: string
  /** iv 12 | ciphertext 32 | tag 16 of the data key, base64url. */
  readonly wrappedKey: string
  /** iv 12 | ciphertext | tag 16 of the private key (PKCS#8 DER), base64url. */
  readonly ciphertext: string
}

export interface KeyRecord {
  /** RFC 7638 thumbprint. */
  readonly kid: string
  readonly alg: SigningAlgorithm
  readonly publicJwk: Record<string, string>
  readonly createdAt: NumericDate
  readonly activatesAt: NumericDate
  readonly signsUntil: NumericDate
  readonly removedAt: NumericDate
  /** Absent once the key no longer signs. */
  readonly sealed?: SealedKey
  /** A revoked key stays as a tombstone until `removedAt`, so that no instance brings it back. */
  readonly revokedAt?: NumericDate
  /** HMAC over all of the above but the sealed key: whoever can write to the store cannot inject or change a record. */
  readonly proof: { readonly secretId: string; readonly tag: string }
}

export interface RingState extends Place {
  /** Whose ring it is; absent where there is none yet. */
  readonly issuer: string | undefined
  readonly keys: readonly KeyRecord[]
}

export interface RingStore {
  /** @param known answer `unchanged` where that is still the ring */
  read(known?: Place): Promise<RingState | 'unchanged'>
  /** Replaces the ring where it is still the expected one. */
  compareAndSet(
    expected: Place,
    next: { readonly issuer: string; readonly keys: readonly KeyRecord[] },
  ): Promise<{ readonly outcome: 'written'; readonly place: Place } | { readonly outcome: 'conflict' }>
}

// ── counters ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Counts for rate limits, in fixed windows. */
export interface CounterStore {
  /** Adds one to a counter and tells the count in its window, and when the window ends. */
  count(
    key: Sha256,
    windowSeconds: number,
  ): Promise<{ readonly count: number; readonly resetsAt: NumericDate }>
}
