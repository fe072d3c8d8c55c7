import type { NumericDate } from '../protocol/time.ts'
import type { Client, RefreshPolicy } from '../stores/ports.ts'
import { isAllowedRedirect } from './redirect-hosts.ts'

/** The policy for all that names no other. */
export const DEFAULT_POLICY = 'default'

export type RefreshIssuance = RefreshPolicy['issuance']

/** What the server lets the clients of one kind of registration have. */
export interface RegistrationPolicy {
  readonly name: string
  /** Grant types that a registration may ask for; others are left out of what is registered. */
  readonly grantTypes: readonly string[]
  /** Scopes that a registered client may ever get; others are left out. */
  readonly scopes: readonly string[]
  /** Where redirect URIs may lead: see `isAllowedRedirect`; absent: anywhere. */
  readonly redirectHosts: readonly string[] | undefined
  readonly privateUseSchemes: readonly string[]
  /** Ports that a `jwks_uri` may have beside 443. */
  readonly outboundPorts: readonly number[]
  /** Seconds: the longest that access tokens may live, whatever the resource; absent: as long as the resource says. */
  readonly accessTokenLifetime: number | undefined
  /** Seconds: the longest of any resource. */
  readonly longestAccessToken: number
  /** Formats of access tokens that a client may choose, in place of the resource's. */
  readonly accessTokenFormats: readonly ('jwt' | 'opaque')[]
  /** Strategies that a client may choose. */
  readonly issuances: readonly RefreshIssuance[]
  /** Seconds: the longest that a refresh token of its clients lives unless it is used. */
  readonly longestRefreshToken: number
  /** The server binds to sessions at the identity provider, and registered clients may not choose otherwise. */
  readonly mustUseIdpSessionExpiry: boolean
  /** Tokens that do not rotate are allowed for clients that do not authenticate (against RFC 9700 §2.2.2). */
  readonly keepsForPublicClients: boolean
  /** How many clients of it may have a record; absent: any number. */
  readonly maxClients: number | undefined
  /** A software statement of a trusted issuer is required. */
  readonly requiresStatement: boolean
  /** Seconds from registration after which the client is unknown; absent: never. */
  readonly clientLifetime: number | undefined
  /** Seconds from registration after which its secret is none; absent: never. */
  readonly clientSecretLifetime: number | undefined
  /** What is in force for a client that wishes this: its wishes, within the bounds. */
  readonly refreshPolicyOf: (wishes: Pick<Client, 'refreshTokens' | 'boundToIdpSession'>) => RefreshPolicy
}

/** When a secret that is given now is none; `undefined`: never. */
export function endOfSecretOf(policy: RegistrationPolicy, now: NumericDate): NumericDate | undefined {
  const lifetime = Math.min(policy.clientSecretLifetime ?? Infinity, policy.clientLifetime ?? Infinity)
  return lifetime === Infinity ? undefined : now + lifetime
}

/** Are a client's refresh tokens of use to nobody else? Those of a public client are bound to what its access tokens are. */
export function isSenderConstrained(
  client: Pick<Client, 'dpopBoundAccessTokens' | 'tlsClientCertificateBoundAccessTokens'>,
): boolean {
  return client.dpopBoundAccessTokens === true || client.tlsClientCertificateBoundAccessTokens === true
}

/** Would a stolen refresh token of this client that is kept never be noticed (RFC 9700 §2.2.2)? */
export function isKeptUnguarded(
  client: Pick<
    Client,
    | 'refreshTokens'
    | 'boundToIdpSession'
    | 'authenticationMethod'
    | 'grantTypes'
    | 'dpopBoundAccessTokens'
    | 'tlsClientCertificateBoundAccessTokens'
  >,
  policy: RegistrationPolicy,
): boolean {
  return (
    client.authenticationMethod === 'none' &&
    client.grantTypes.includes('refresh_token') &&
    !isSenderConstrained(client) &&
    !policy.keepsForPublicClients &&
    policy.refreshPolicyOf(client).issuance === 'keep'
  )
}

/** Seconds that access tokens of a client live by its wish and the policy; `undefined`: as long as the resource says. */
export function accessTokenLifetimeFor(
  wished: number | undefined,
  { accessTokenLifetime, longestAccessToken }: RegistrationPolicy,
): number | undefined {
  if (wished === undefined) return accessTokenLifetime
  return Math.min(wished, accessTokenLifetime ?? longestAccessToken, longestAccessToken)
}

/**
 * A registered client as today's policy judges it: a policy that became stricter holds for clients that registered before,
 * and nobody gets more than was registered by one that became laxer.
 */
export function clientInForce(client: Client, policy: RegistrationPolicy): Client {
  const { defaultScope, allowedScope, accessTokenFormat, refreshTokens, boundToIdpSession } = client
  const format = policy.accessTokenFormats.find((allowed) => allowed === accessTokenFormat)
  const scope = defaultScope?.filter((token) => policy.scopes.includes(token)) ?? []
  const allowed = policy.refreshPolicyOf(client)
  const refreshPolicy: RefreshPolicy = isKeptUnguarded(client, policy)
    ? { ...allowed, issuance: 'rotate' }
    : allowed
  const inForce: Client = {
    ...client,
    redirectUris: client.redirectUris.filter((uri) => isAllowedRedirect(uri, policy)),
    grantTypes: client.grantTypes.filter((type) => policy.grantTypes.includes(type)),
    allowedScope:
      allowedScope === undefined
        ? policy.scopes
        : policy.scopes.filter((token) => allowedScope.includes(token)),
    refreshPolicy,
  }
  exchange(inForce, 'defaultScope', scope.length > 0 ? scope : undefined)
  exchange(inForce, 'accessTokenLifetime', accessTokenLifetimeFor(client.accessTokenLifetime, policy))
  exchange(inForce, 'accessTokenFormat', format)
  if (refreshTokens !== undefined)
    exchange(inForce, 'refreshTokens', {
      ...(refreshTokens.issuance !== undefined && { issuance: refreshPolicy.issuance }),
      ...(refreshTokens.lifetime !== undefined && { lifetime: refreshPolicy.lifetime }),
    })
  if (boundToIdpSession !== undefined)
    exchange(inForce, 'boundToIdpSession', refreshPolicy.idpSession !== undefined)
  return inForce
}

/** Sets a member of a client that is being made, or takes it out. */
function exchange<K extends keyof Client>(
  client: { -readonly [M in keyof Client]?: Client[M] },
  member: K,
  value: Client[K] | undefined,
): void {
  if (value !== undefined) client[member] = value
  else if (client[member] !== undefined) delete client[member]
}
