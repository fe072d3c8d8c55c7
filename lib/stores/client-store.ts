import type { Sha256 } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { RefreshPolicy } from './grant-store.ts'

export type ClientAuthenticationMethod =
  | 'none'
  | 'client_secret_basic'
  | 'client_secret_post'
  | 'private_key_jwt'

/** Characters of a client's id, wherever it comes from: twice in an access token without a user, which has a limit of its own. */
export const MAX_CLIENT_ID = 768

/** A secret of a client as it rests in a store. */
export interface ClientSecret {
  readonly hash: Sha256
  /** Valid before this; absent: for good. */
  readonly expiresAt?: NumericDate
  /** When it was given in the place of another one; absent: the first, or an older one. */
  readonly givenAt?: NumericDate
}

/** A client: from the configuration, from registration, or from a document that its id points to. */
export interface Client {
  readonly id: string
  /** All but `configuration` chose their own names and redirect URIs; nobody vouches for them. */
  readonly origin: 'configuration' | 'registered' | 'document'
  readonly name?: string
  readonly uri?: string
  readonly logoUri?: string
  readonly policyUri?: string
  readonly tosUri?: string
  /** Names and pages in other languages, by the member of the registration: `client_name#ja` (RFC 7591 §2.2). */
  readonly localized?: Readonly<Record<string, string>>
  readonly contacts?: readonly string[]
  readonly softwareId?: string
  readonly softwareVersion?: string
  /** The software statement that it registered with, as the response echoes it (RFC 7591 §3.2.1). */
  readonly softwareStatement?: string
  readonly applicationType: 'web' | 'native'
  readonly redirectUris: readonly string[]
  readonly grantTypes: readonly string[]
  readonly authenticationMethod: ClientAuthenticationMethod
  /** Those that are valid, or were, newest first. */
  readonly secrets: readonly ClientSecret[]
  /** Public keys for `private_key_jwt`. */
  readonly jwks?: { readonly keys: readonly Record<string, unknown>[] }
  /** Where those keys are published, in place of `jwks`. */
  readonly jwksUri?: string
  /** The one algorithm of its assertions; absent: any that its keys allow. */
  readonly assertionAlg?: string
  /** What a request without `scope` asks for; absent: the resource's default. */
  readonly defaultScope?: readonly string[]
  /** Ceiling on what it may ever get; absent: all scopes of the resources. */
  readonly allowedScope?: readonly string[]
  /** Decided by the configuration for one of its clients. */
  readonly refreshPolicy?: RefreshPolicy
  /** What a registration wishes; today's policy judges it at each use. */
  readonly refreshTokens?: {
    readonly issuance?: RefreshPolicy['issuance']
    /** Seconds. */
    readonly lifetime?: number
  }
  /** Its own choice whether the session at the identity provider bounds it; absent: the server's. */
  readonly boundToIdpSession?: boolean
  /** Seconds; absent: the resource's. */
  readonly accessTokenLifetime?: number
  /** Absent: the resource's. */
  readonly accessTokenFormat?: 'jwt' | 'opaque'
  /** Name of the registration policy that judges it; absent: the default one. */
  readonly policy?: string
  /** It gets no token without a DPoP proof (RFC 9449 §5.2). */
  readonly dpopBoundAccessTokens?: boolean
  /** Its tokens are bound to the certificate of its TLS connection (RFC 8705 §3.4). */
  readonly tlsClientCertificateBoundAccessTokens?: boolean
  /** No consent page: the app vouches for it. */
  readonly firstParty?: boolean
  /** Resource identifiers whose tokens it may introspect, as their resource server. */
  readonly introspects?: readonly string[]
  /** Hashes of the tokens that manage it (RFC 7592), newest first. */
  readonly registrationTokens?: readonly ClientSecret[]
  /** May use the deny list endpoint; only the configuration says so. */
  readonly mayDeny?: boolean
  readonly createdAt: NumericDate
  /** When a user first agreed to it, or it first got a token; absent: never yet, or it was not written down. */
  readonly firstUsedAt?: NumericDate
  /** When it became another than it registered as: no longer what its id says. */
  readonly changedAt?: NumericDate
  /** An operator switched it off. */
  readonly disabledAt?: NumericDate
}

/** The policy in force for a client: its own, or the server's. */
export type RefreshPolicyOf = (
  client: Pick<Client, 'refreshPolicy' | 'boundToIdpSession' | 'refreshTokens' | 'policy'>,
) => RefreshPolicy

/** A client as it rests in a store. */
export interface ClientRecord {
  readonly client: Client
  /** Names this state of it; each change makes another. */
  readonly revision: string
  /** When the record is forgotten, unless it is renewed; absent: never. */
  readonly expiresAt?: NumericDate
}

export interface ClientQuery {
  /** Default 100, at most 1,000. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}

/**
 * Registered clients. An id may describe its client by itself, so that none needs a record until it is used; where such a
 * client is changed or deleted, a mark stays behind for as long as its id could be believed: it is `gone`.
 */
export interface ClientStore {
  /**
   * Keeps a client that has no record, and whose id was not marked.
   * @param expiresAt default never
   */
  create(client: Client, expiresAt?: NumericDate): Promise<'created' | 'exists' | 'gone' | 'full'>
  /** `gone`: marked, or deleted a moment ago, and without a record. */
  read(id: string): Promise<ClientRecord | 'gone' | undefined>
  /**
   * Changes a client that is still in the known state; `undefined`: it has no record and no mark.
   * @param markedUntil its id must not be believed from now on until then; absent: the id says nothing
   */
  replace(
    client: Client,
    known: string | undefined,
    expiresAt?: NumericDate,
    markedUntil?: NumericDate,
  ): Promise<'replaced' | 'changed' | 'full'>
  /** Prolongs a record to this end; never shortens it. */
  renew(id: string, expiresAt: NumericDate): Promise<'renewed' | 'unknown'>
  /**
   * @param markedUntil as of `replace`; with it a client without a record can be deleted, too
   * @returns unknown where there is neither record nor such a client, or where it was deleted before
   */
  delete(id: string, markedUntil?: NumericDate): Promise<'deleted' | 'unknown' | 'full'>
  /**
   * Those that have a record, in pages, those first that will be forgotten first. A hint for people: one that is renewed
   * meanwhile may come twice, a record of this moment may be missing.
   * @throws TypeError for a cursor that no page gave
   */
  list(query: ClientQuery): Promise<{ records: ClientRecord[]; cursor: string | undefined }>
}
