import type { Sha256 } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { RefreshPolicy } from './grant-store.ts'

export type ClientAuthenticationMethod =
  | 'none'
  | 'client_secret_basic'
  | 'client_secret_post'
  | 'private_key_jwt'

/** A secret of a client as it rests in a store. */
export interface ClientSecret {
  readonly hash: Sha256
  /** Valid before this; absent: for good. */
  readonly expiresAt?: NumericDate
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
  /** No consent page: the app vouches for it. */
  readonly firstParty?: boolean
  /** Resource identifiers whose tokens it may introspect, as their resource server. */
  readonly introspects?: readonly string[]
  readonly createdAt: NumericDate
}

/** The policy in force for a client: its own, or the server's. */
export type RefreshPolicyOf = (
  client: Pick<Client, 'refreshPolicy' | 'boundToIdpSession' | 'refreshTokens' | 'policy'>,
) => RefreshPolicy

export interface ClientStore {
  create(client: Client): Promise<'created' | 'exists' | 'full'>
  read(id: string): Promise<Client | undefined>
  delete(id: string): Promise<'deleted' | 'unknown'>
}
