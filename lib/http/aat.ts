import type { AuthorizationRules } from '../authorization/authorization-request.ts'
import type { Authorize } from '../authorization/authorize.ts'
import type { IdpSessions } from '../authorization/idp-sessions.ts'
import type { PendingRequests } from '../authorization/pending-requests.ts'
import type { AuthenticateClient } from '../clients/client-authentication.ts'
import type { ClientKeys } from '../clients/client-keys.ts'
import type { ClientRegistry } from '../clients/client-registry.ts'
import type { InitialAccessTokenSummary, NewInitialAccessToken } from '../clients/initial-access-tokens.ts'
import type { NewClient } from '../clients/new-client.ts'
import type { RotateRegistrationToken } from '../clients/registration-tokens.ts'
import type { Registrations } from '../clients/registrations.ts'
import type { LimitUnused } from '../clients/unused-records.ts'
import type { GrantType } from '../grants/grant-type.ts'
import type { KeyRing } from '../keys/key-ring.ts'
import type { KeyStatus } from '../keys/ring-status.ts'
import type { AatEventName, AatListener, Emit } from '../protocol/events.ts'
import type { IdpSession, IdpSessionId, IdpSubject } from '../protocol/idp-session.ts'
import type { Random } from '../protocol/random.ts'
import type { ResourceCatalogue } from '../protocol/resource.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { EndGrant } from '../revocation/end-grant.ts'
import type { RevocationLog } from '../revocation/revocation-log.ts'
import type { FamilyQuery, RefreshPolicyOf, ReplayStore, Stores } from '../stores/ports.ts'
import type { DpopNonces } from '../tokens/dpop-nonce.ts'
import type { RefreshTokens } from '../tokens/refresh-token.ts'
import type { OwnVerifier } from '../tokens/verifier.ts'
import type { ClientOperations } from './aat-clients.ts'
import type { DenyList, DenyTarget } from './aat-deny-list.ts'
import type { ReadCertificate } from './client-certificate.ts'

/** A refresh-token family, as lists tell it. */
export interface GrantSummary {
  readonly grantId: string
  readonly clientId: string
  readonly subject: string
  readonly scope: readonly string[]
  readonly resources: readonly string[]
  readonly openedAt: NumericDate
  readonly lastUsedAt: NumericDate
  /** The session at the identity provider that it came from, with its end as it is known by now. */
  readonly idpSession: IdpSession | undefined
}

/** How this instance is, for probes: no secret, nothing that a client sent, no round trip. */
export interface Health {
  /** It can issue and check tokens. Not ready is no reason to restart: what is away comes back by itself. */
  readonly ready: boolean
  /** Why it is not ready. */
  readonly problems: readonly string[]
  /** What works and deserves a look all the same. */
  readonly advice: readonly string[]
  readonly keys: { readonly canSign: boolean; readonly revision: number }
  readonly revocations: {
    /** What is known here is at most S old. */
    readonly fresh: boolean
    /** Seconds since it was proven; `undefined` where it never was. */
    readonly age: number | undefined
    /** Requests that went on with stale knowledge, by `whenRevocationStale: 'accept'`. */
    readonly acceptedStale: number
  }
}

/** What to revoke: exactly one of these. */
export type RevocationTarget =
  | { /** Everything of one authorization: its refresh tokens and access tokens. */ readonly grantId: string }
  | { /** One access token by its `jti`. */ readonly jti: string }
  | { /** Everything that a user granted to anybody up to now. */ readonly subject: string }
  | { /** Everything that a client holds up to now; the client itself stays. */ readonly clientId: string }
  | {
      /** Everything that anybody was granted up to this moment, in seconds: after a restored backup, say. */ readonly before: NumericDate
    }

/** The authorization server in the app: what `createAat` returns and every endpoint and guard takes. */
export interface Aat {
  /** The issuer identifier, byte for byte as configured. */
  readonly issuer: string
  /** Fulfilled once a signing key is there; rejects with the reason where the stores or the secrets are wrong. Optional. */
  ready(): Promise<void>
  /**
   * How this instance is, from memory: answer readiness probes with `health().ready`, liveness probes always with yes.
   */
  health(): Health
  /** Stops the background work and closes the stores' own connections. */
  close(): Promise<void>
  /**
   * Listens to one kind of event, or with `'*'` to all; events never carry secrets.
   * @returns a function that ends it
   */
  on<N extends AatEventName>(name: N, listener: AatListener<N>): () => void
  on(name: '*', listener: AatListener): () => void
  /**
   * Revokes at once in this process, and on other instances within the revocation bound.
   * @throws TypeError where not exactly one target is named
   */
  revoke(target: RevocationTarget): Promise<void>
  /** What is refused although it has not expired. */
  readonly denyList: DenyList
  /** The signing keys. */
  readonly keys: {
    /** Rotates before the time: see the README's "Signing keys". `immediately` skips the wait for verifiers' caches. */
    rotate(options?: { immediately?: boolean }): Promise<void>
    /** Emergency: drops the key from the JWK Set, destroys it, promotes the standby; its tokens are refused at once. */
    revoke(kid: string): Promise<'revoked' | 'unknown'>
    /** All keys with their states, and how many records each secret seals. */
    status(): { revision: number; keys: KeyStatus[]; sealedBy: Record<string, number> }
  }
  /** Clients, of whatever origin. */
  readonly clients: ClientOperations
  /** Tokens that let their holder register clients (RFC 7591 §1.2), at an endpoint that allows it. */
  readonly initialAccessTokens: {
    /**
     * Makes one. `token` is told this once and kept as a hash.
     * @throws ConfigurationError for wrong options
     */
    create(options?: NewInitialAccessToken): Promise<InitialAccessTokenSummary & { readonly token: string }>
    /**
     * Those that live, all used or not, in pages: those first that end first.
     * @throws TypeError for a cursor that no page gave
     */
    list(page?: { readonly limit?: number; readonly cursor?: string | undefined }): Promise<{
      tokens: InitialAccessTokenSummary[]
      cursor: string | undefined
    }>
    /** By its `id`. The clients that it registered stay. */
    revoke(id: string): Promise<'revoked' | 'unknown'>
  }
  /** What users granted. */
  readonly grants: {
    /**
     * The live refresh-token families of a subject, a client or a session at an identity provider, in pages; oldest first where
     * their lifetimes are the same. A page may be short, or empty, and have a cursor all the same.
     * @throws TypeError where not exactly one of these is named, or for a cursor that no page gave
     */
    list(query: FamilyQuery): Promise<{ grants: GrantSummary[]; cursor: string | undefined }>
  }
  /**
   * What the app learns of a session at an identity provider after the sign-in. It holds at once in this process, on other
   * instances within the revocation bound, and whatever the number of families: those that are bound to the session.
   */
  readonly idpSessions: {
    /**
     * The session ends at another time than was said, earlier or later, in seconds since the epoch. Nothing takes back an end.
     * @throws TypeError for anything but issuer, sid and a time
     */
    update(session: IdpSessionId & { readonly expiresAt: NumericDate }): Promise<void>
    /**
     * The session has ended, or all of a user at that provider that began until `notAfter` (default now): refresh tokens and
     * access tokens that are bound to it are refused.
     * @throws TypeError for anything but a session or a user of a provider
     */
    end(session: IdpSessionId | (IdpSubject & { readonly notAfter?: NumericDate | undefined })): Promise<void>
  }
}

/** Endpoints by the name under which metadata publishes them. */
export type EndpointName =
  | 'authorization'
  | 'token'
  | 'revocation'
  | 'introspection'
  | 'registration'
  | 'denyList'
  | 'jwks'

/** What DPoP proofs must be (RFC 9449). */
export interface DpopRules {
  /** No token without a proof. */
  readonly required: boolean
  /** Where nonces are demanded. */
  readonly nonces: DpopNonces | undefined
  /** Seconds. */
  readonly proofLifetime: number
  /** Where guards claim proofs. */
  readonly guardReplays: ReplayStore
}

/** What the doors use of an `aat`; wired by `createAat`. */
export interface AatParts {
  readonly issuer: string
  readonly endpoints: Readonly<Record<EndpointName, string>>
  /** Endpoints that the app has made; only these are advertised. */
  readonly mounted: Set<EndpointName>
  readonly resources: ResourceCatalogue
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
  readonly stores: Stores
  readonly keyRing: KeyRing
  readonly jwksMaxAge: number
  readonly revocations: RevocationLog
  readonly endGrant: EndGrant
  /** `aat.denyList`, with who asked for it. */
  readonly denyList: {
    readonly add: (target: DenyTarget, by: string) => Promise<void>
    readonly list: DenyList['list']
  }
  readonly registry: ClientRegistry
  readonly newClient: NewClient
  readonly limitUnused: LimitUnused
  readonly rotateRegistrationToken: RotateRegistrationToken
  readonly registrations: Registrations
  /** A client_id may be the URL of a metadata document. */
  readonly hasDocumentClients: boolean
  readonly authenticateClient: AuthenticateClient
  readonly keepClientKeys: ClientKeys['keep']
  readonly authorizationRules: Omit<AuthorizationRules, 'findClient'>
  readonly pendingRequests: PendingRequests
  readonly authorize: Authorize
  readonly grantTypes: ReadonlyMap<string, GrantType>
  readonly refreshTokens: RefreshTokens
  readonly dpop: DpopRules
  /** Of our own access tokens. */
  readonly verifier: OwnVerifier
  /** The certificate of a request; absent where tokens are bound to none. */
  readonly readCertificate: ReadCertificate | undefined
  /** The policy in force for a client. */
  readonly refreshPolicyOf: RefreshPolicyOf
  readonly idpSessions: IdpSessions
  /** Seconds: no session at an identity provider is believed to last longer from now. */
  readonly longestIdpSession: number
  /** Seconds. */
  readonly clockTolerance: number
  /** Seconds: the longest access token that any resource configures. */
  readonly longestAccessToken: number
  /** Origins that may read answers across sites; `*` for any. */
  readonly corsOrigins: '*' | readonly string[]
}

const partsByAat = new WeakMap<object, AatParts>()

/** Ties the parts to the handle that the app holds. */
export function attachParts(aat: Aat, parts: AatParts): void {
  partsByAat.set(aat, parts)
}

/** @throws TypeError while the app starts, where something else than `createAat`'s result is passed */
export function partsOf(aat: Aat, who: string): AatParts {
  const parts = typeof aat === 'object' && aat !== null ? partsByAat.get(aat) : undefined
  if (parts === undefined)
    throw new TypeError(
      `${who}: the first argument must be what createAat() returned (from this copy of express-aat)`,
    )
  return parts
}
