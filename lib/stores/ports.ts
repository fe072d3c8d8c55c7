import type { Sha256 } from '../protocol/digest.ts'
import type { SigningAlgorithm } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'

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
}

// ── grants: authorization codes and refresh-token families ─────────────────────────────────────────────────────

/** What a user granted to a client. Its id is the family's id and the `grant_id` claim: 16 random bytes, base64url. */
export interface Grant {
  readonly id: string
  readonly clientId: string
  readonly subject: string
  readonly scope: readonly string[]
  /** Resource identifiers (RFC 8707) that access tokens of this grant may be for; at least one. */
  readonly resources: readonly string[]
  /** When it was granted: revocations of its client or subject compare with it. */
  readonly createdAt: NumericDate
  /** When the user authenticated. */
  readonly authTime: NumericDate
  readonly acr?: string
  readonly amr?: readonly string[]
}

export interface CodeRecord {
  readonly grant: Grant
  readonly codeHash: Sha256
  readonly redirectUri: string
  /** The authorization request named its redirect URI, so the token request must (RFC 6749 §4.1.3). */
  readonly redirectUriRequired: boolean
  /** S256 only (RFC 7636). */
  readonly codeChallenge: string
  /** Valid while now < expiresAt. */
  readonly expiresAt: NumericDate
}

/** How long refresh tokens live, in force for the client at this request (seconds). */
export interface RefreshPolicy {
  readonly issuance: 'keep' | 'rotate' | 'rotate-and-reset'
  readonly lifetime: number
  /** Cap on the family's age; nothing that descends from the grant outlives it. */
  readonly absoluteLifetime?: number
}

/** The refresh token that a verb may put in force: its hash, and which secret derived it. */
export interface NextToken {
  readonly hash: Sha256
  readonly keyId: string
}

export interface CodeRedemption {
  readonly grantId: string
  readonly codeHash: Sha256
  /** Of this redemption: a driver that runs the same one again gets the first run's answer. */
  readonly nonce: string
  readonly clientId: string
  readonly redirectUri?: string
  /** S256 of the presented verifier. */
  readonly challenge: string
  /** What the access token is for, where the request says; must be within the grant. */
  readonly resource?: string
  readonly scope?: readonly string[]
  /** Open a refresh-token family with this token as its first. */
  readonly family?: { readonly token: NextToken; readonly policy: RefreshPolicy }
}

export type CodeOutcome =
  | { readonly outcome: 'redeemed'; readonly grant: Grant; readonly limits: FamilyLimits | undefined }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: Exclude<CodeRefusal, 'unknown'>; readonly grant: Grant }

export type CodeRefusal =
  | 'unknown'
  | 'foreign'
  | 'reused'
  | 'burnt'
  | 'expired'
  | 'redirect_uri_mismatch'
  | 'verifier_mismatch'
  | 'resource_exceeded'
  | 'scope_exceeded'

export interface FamilyLimits {
  readonly openedAt: NumericDate
  /** The refresh token is valid while now < expiresAt. */
  readonly expiresAt: NumericDate
  /** Nothing of the family, access tokens included, lives to this moment; absent where there is no cap. */
  readonly bound: NumericDate | undefined
  /** The store's now, the one that `expiresAt` was compared with. */
  readonly now: NumericDate
}

export interface RefreshRequest {
  readonly grantId: string
  readonly generation: number
  readonly tokenHash: Sha256
  /** The successor of the presented token, derived from it. */
  readonly next: NextToken
  readonly nonce: string
  readonly clientId: string
  readonly policy: RefreshPolicy
  /** Seconds after first use in which the immediate predecessor may be retried. */
  readonly grace: number
  readonly scope?: readonly string[]
  readonly resource?: string
}

export type RefreshOutcome =
  | {
      /** `retried`: the caller derives the successor again, with the secret that `keyId` names. */
      readonly outcome: 'rotated' | 'kept' | 'retried'
      readonly grant: Grant
      /** Of the token that the client now holds. */
      readonly generation: number
      readonly keyId: string
      readonly limits: FamilyLimits
      /** The store had lost acknowledged rotations (a failover) and adopted the presented token. */
      readonly fastForwarded: boolean
    }
  | { readonly outcome: 'unknown' }
  | { readonly outcome: Exclude<RefreshRefusal, 'unknown'>; readonly grant: Grant }

export type RefreshRefusal =
  | 'unknown'
  | 'foreign'
  | 'ended'
  | 'reused'
  | 'expired'
  | 'scope_exceeded'
  | 'resource_exceeded'

/** Why a family or grant is over. */
export type EndReason = 'revoked' | 'reused' | 'code_reused' | 'client_deleted' | 'subject_revoked'

/** A family as lists and introspection see it. */
export interface FamilyView {
  readonly grant: Grant
  readonly generation: number
  readonly tokenHash: Sha256
  readonly openedAt: NumericDate
  /** When the present expiry period began: `openedAt`, or the last reset. */
  readonly periodStart: NumericDate
  readonly lastUsedAt: NumericDate
  readonly ended: EndReason | undefined
}

export interface GrantStore {
  /** Keeps a code that `authorization/` made. The id is random, so an existing one is a fault. */
  issueCode(code: CodeRecord): Promise<void>
  /** The code's record while it can still be redeemed; changes nothing. */
  readCode(grantId: string): Promise<CodeRecord | undefined>
  redeemCode(redemption: CodeRedemption): Promise<CodeOutcome>
  refresh(request: RefreshRequest): Promise<RefreshOutcome>
  /** Ends the family, and burns the code where it was not redeemed yet. Ending twice is `ended` again. */
  end(grantId: string, reason: EndReason): Promise<'ended' | 'unknown'>
  readFamily(grantId: string): Promise<FamilyView | undefined>
  /** Families of a subject or a client that are not over, oldest first. */
  listFamilies(query: FamilyQuery): Promise<{ families: FamilyView[]; cursor: string | undefined }>
}

export interface FamilyQuery {
  readonly subject?: string
  readonly clientId?: string
  /** Default 100, at most 1,000. */
  readonly limit?: number
  /** From the page before. */
  readonly cursor?: string
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
  /** Adds to what was remembered, and prolongs it. */
  remember(subject: string, clientId: string, consent: Consent, expiresAt: NumericDate): Promise<void>
  read(subject: string, clientId: string): Promise<Consent | undefined>
  forget(subject: string, clientId: string): Promise<void>
}

export interface Consent {
  readonly scope: readonly string[]
  readonly resources: readonly string[]
}

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

export interface RevocationStore {
  /** Adds an entry and returns the log's new revision. */
  append(entry: RevocationEntry): Promise<number>
  /** Entries newer than a revision that still matter, oldest first. */
  since(revision: number): Promise<{ revision: number; entries: RevocationEntry[] }>
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

export interface RingState {
  /** 0: there is no ring yet. */
  readonly revision: number
  readonly keys: readonly KeyRecord[]
}

export interface RingStore {
  read(): Promise<RingState>
  /** Replaces the ring where its revision is still the expected one. */
  compareAndSet(expectedRevision: number, keys: readonly KeyRecord[]): Promise<'written' | 'conflict'>
}
