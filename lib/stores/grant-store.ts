import type { Sha256, TokenHash } from '../protocol/digest.ts'
import type { IdpSession, IdpSessionId } from '../protocol/idp-session.ts'
import type { NumericDate } from '../protocol/time.ts'

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
  /** The session at the identity provider that it came from, with its end as it was known then. */
  readonly idpSession?: IdpSession
  /** When that session began, as far as the app knows: ends of all sessions of its user compare with it. */
  readonly sessionBegan?: NumericDate
}

export interface CodeRecord {
  readonly grant: Grant
  readonly codeHash: Sha256
  readonly redirectUri: string
  /** The authorization request named its redirect URI, so the token request must (RFC 6749 §4.1.3). */
  readonly redirectUriRequired: boolean
  /** S256 only (RFC 7636). */
  readonly codeChallenge: string
  /** Thumbprint of the one key that may redeem it (RFC 9449 §10), where the authorization request named one. */
  readonly dpopJkt?: string
  /** Valid while now < expiresAt. */
  readonly expiresAt: NumericDate
  /** Seconds that its refresh tokens will live by today's policy, where there will be any: lists remember the grant so long. */
  readonly refreshLifetime?: number
}

/** How long refresh tokens live, in force for the client at this request (seconds). */
export interface RefreshPolicy {
  readonly issuance: 'keep' | 'rotate' | 'rotate-and-reset'
  readonly lifetime: number
  /** Cap on the family's age; nothing that descends from the grant outlives it. */
  readonly absoluteLifetime?: number
  /** Bound to the session at the identity provider: `lifetime` is not considered where the session's end is known. */
  readonly idpSession?: {
    readonly whenEndUnknown: 'no-refresh-token' | 'use-lifetime'
    /** Seconds that a family is kept after its last use, in case that its session was prolonged. */
    readonly keptFor: number
  }
}

/** The refresh token that a verb may put in force: its hash, and which secret derived it. */
export interface NextToken {
  readonly hash: TokenHash
  readonly keyId: string
}

/**
 * What access tokens can be for today, as the server is configured now and as far as the client may go: scope tokens by
 * resource. A grant of which nothing is left is refused by the verb itself, so that the refusal changes nothing.
 */
export type Obtainable = ReadonlyMap<string, ReadonlySet<string>>

export interface CodeRedemption {
  readonly grantId: string
  readonly codeHash: Sha256
  /** Of this redemption: a driver that runs the same one again gets the first run's answer. */
  readonly nonce: string
  readonly clientId: string
  readonly redirectUri?: string
  /** S256 of the presented verifier. */
  readonly challenge: string
  /** Thumbprint of the key that the request's proof has. */
  readonly dpopJkt?: string
  /** What the access token is for, where the request says; must be within the grant. */
  readonly resource?: string
  readonly scope?: readonly string[]
  readonly obtainable: Obtainable
  readonly policy: RefreshPolicy
  /** When the session at the identity provider ends by now, instead of what the grant says. */
  readonly idpSessionEnd?: NumericDate | undefined
  /** Open a refresh-token family with this token as its first, where the policy lets the grant have one. */
  readonly family?: {
    readonly token: NextToken
    /** Of the family: a token of another lineage is none of it, whatever else it says. */
    readonly lineage: TokenHash
    /** The family works with this key or certificate alone. */
    readonly boundTo?: TokenHash | undefined
  }
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
  | 'sender_mismatch'
  | 'verifier_mismatch'
  | 'resource_exceeded'
  | 'scope_exceeded'
  | 'nothing_left'
  | 'session_over'

export interface FamilyLimits {
  readonly openedAt: NumericDate
  /** The refresh token is valid while now < expiresAt. */
  readonly expiresAt: NumericDate
  /** Nothing of the family, access tokens included, lives to this moment; absent where there is no cap and no session. */
  readonly bound: NumericDate | undefined
  /** The store's now, the one that `expiresAt` was compared with. */
  readonly now: NumericDate
}

export interface RefreshRequest {
  readonly grantId: string
  readonly generation: number
  readonly tokenHash: TokenHash
  readonly lineage: TokenHash
  /** The successor of the presented token, derived from it. */
  readonly next: NextToken
  readonly nonce: string
  readonly clientId: string
  /**
   * The key or certificate that the request proved, where families of the client are bound: a family that has none yet is bound
   * to it. `unproven`: the proof is bad, so nothing is given; what is spent is seen as spent all the same.
   */
  readonly boundTo?: TokenHash | 'unproven' | undefined
  readonly policy: RefreshPolicy
  /** When the session at the identity provider ends by now, instead of what the record says; it is recorded. */
  readonly idpSessionEnd?: NumericDate | undefined
  /** Seconds after first use in which the immediate predecessor may be retried. */
  readonly grace: number
  readonly scope?: readonly string[] | undefined
  readonly resource?: string | undefined
  readonly obtainable: Obtainable
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
  | 'sender_mismatch'
  | 'scope_exceeded'
  | 'nothing_left'
  | 'resource_exceeded'

/** Why a family or grant is over. */
export type EndReason = 'revoked' | 'reused' | 'code_reused'

/** A family as lists and introspection see it. */
export interface FamilyView {
  readonly grant: Grant
  readonly generation: number
  readonly tokenHash: TokenHash
  readonly lineage: TokenHash
  /** The key or certificate that every refresh must prove; absent: none. */
  readonly boundTo?: TokenHash | undefined
  readonly openedAt: NumericDate
  /** When the present expiry period began: `openedAt`, or the last reset. */
  readonly periodStart: NumericDate
  /** The last refresh or retry. The clock of the family never stands before it. */
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
  end(
    grantId: string,
    reason: EndReason,
  ): Promise<{ readonly outcome: 'ended'; readonly grant: Grant } | { readonly outcome: 'unknown' }>
  readFamily(grantId: string): Promise<FamilyView | undefined>
  /**
   * Families of an owner that are not over; oldest first where their lifetimes are the same. A hint for people: nothing
   * that must hold rests on it.
   * @throws TypeError for a cursor that no page gave
   */
  listFamilies(query: FamilyQuery): Promise<{ families: FamilyView[]; cursor: string | undefined }>
}

/** Families of one subject, one client, or one session at an identity provider. */
export type FamilyQuery = FamilyOwner & {
  /** Default 100, at most 1,000. */
  readonly limit?: number
  /** From the page before. */
  readonly cursor?: string
}

export type FamilyOwner =
  | { readonly subject: string }
  | { readonly clientId: string }
  | { readonly idpSession: IdpSessionId }
