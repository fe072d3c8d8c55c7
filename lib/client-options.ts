import { assertionAlgorithms } from './clients/client-assertion.ts'
import { authenticationMethods } from './clients/client-credentials.ts'
import { problemOfClientJwks } from './clients/client-jwks.ts'
import { isSenderConstrained } from './clients/registration-policy.ts'
import { sha256 } from './protocol/digest.ts'
import {
  either,
  flag,
  listOf,
  object,
  oneOf,
  optional,
  optionalObject,
  secretOf,
  text,
  verified,
  whole,
} from './protocol/options.ts'
import { readOutboundUrl } from './protocol/outbound-url.ts'
import { judgeRedirectUri, type RedirectUriRules } from './protocol/redirect-uri.ts'
import type { ResourceCatalogue } from './protocol/resource.ts'
import {
  policyOf,
  type RefreshSettings,
  type RefreshTokenOptions,
  refreshTokenShape,
  settingsOf,
} from './refresh-policy.ts'
import type { Client, ClientAuthenticationMethod } from './stores/ports.ts'

/** A client that the app vouches for. */
export interface ClientOptions {
  /** 1 to 255 characters; not like the ids of clients that register (`dcr_…`) or publish what they are (https URLs). */
  clientId: string
  /** One secret, or several while they rotate, newest first; at least 16 characters each. */
  clientSecret?: string | string[] | undefined
  /** Default `client_secret_basic` with a secret, `private_key_jwt` with `jwks` or `jwksUri`, else `none`. */
  tokenEndpointAuthMethod?: ClientAuthenticationMethod | undefined
  /** Public keys, for `private_key_jwt` (RFC 7523). */
  jwks?: { keys: Record<string, unknown>[] }
  /** Where it publishes its keys, in place of `jwks`: https to a public host, fetched like those of strangers. */
  jwksUri?: string | undefined
  /** The one algorithm of its assertions. */
  tokenEndpointAuthSigningAlg?: string | undefined
  /** What the consent page calls it. */
  name?: string | undefined
  /** Where users may be sent back to, compared as text (RFC 9700 §4.1); at most 50 (default none). */
  redirectUris?: string[] | undefined
  /** `native` may have redirect URIs on the user's own machine and of private-use schemes; default by its redirect URIs. */
  applicationType?: 'web' | 'native' | undefined
  /**
   * Default `authorization_code` and `refresh_token` with redirect URIs, else `client_credentials`. None, `[]`, for a client with
   * `introspects` or `mayDeny` that is to get no tokens.
   */
  grantTypes?: ('authorization_code' | 'refresh_token' | 'client_credentials')[] | undefined
  /** The most that it may ever get (default every scope). */
  scopes?: string[] | undefined
  /** What it gets without asking (default the resource's). */
  defaultScopes?: string[] | undefined
  /** Seconds that its access tokens live; may only shorten the resource's (1 to 86,400). */
  accessTokenLifetime?: number | undefined
  /** Instead of the resource's; see there. */
  accessTokenFormat?: 'jwt' | 'opaque' | undefined
  /** What is its own; else as of the server. */
  refreshTokens?: RefreshTokenOptions | undefined
  /** It gets no token without a DPoP proof (default false; RFC 9449). */
  dpopBoundAccessTokens?: boolean | undefined
  /** Its tokens are bound to the certificate of its TLS connection, and it gets none without (default false; RFC 8705). */
  tlsClientCertificateBoundAccessTokens?: boolean | undefined
  /** No consent page: the client is a part of the app itself (default false). */
  firstParty?: boolean | undefined
  /** Resources whose tokens it may introspect, as their server. */
  introspects?: string[] | undefined
  /** May ask the deny list endpoint what is denied, and deny tokens, grants, clients and subjects (default false). */
  mayDeny?: boolean | undefined
}

/** What is checked of each client. */
export const clientOption = object({
  clientId: verified<string>((value) =>
    typeof value === 'string' &&
    value !== '' &&
    value.length <= 255 &&
    !/\p{Cc}/u.test(value) &&
    !value.startsWith('dcr_') &&
    !/^https?:/.test(value)
      ? undefined
      : 'must be 1 to 255 characters without control characters, and not begin with dcr_ or http(s):',
  ),
  clientSecret: optional(either(Array.isArray, listOf(secretOf(16), { min: 1, max: 5 }), secretOf(16))),
  tokenEndpointAuthMethod: optional(oneOf(...authenticationMethods)),
  jwks: optional(verified<NonNullable<Client['jwks']>>(problemOfClientJwks)),
  jwksUri: optional(text()),
  tokenEndpointAuthSigningAlg: optional(oneOf(...assertionAlgorithms)),
  name: optional(text({ max: 200 })),
  redirectUris: optional(listOf(text(), { max: 50 }), []),
  applicationType: optional(oneOf('web', 'native')),
  grantTypes: optional(listOf(oneOf('authorization_code', 'refresh_token', 'client_credentials'))),
  scopes: optional(listOf(text({ max: 128 }))),
  defaultScopes: optional(listOf(text({ max: 128 }))),
  accessTokenLifetime: optional(whole('seconds', 1, 86_400)),
  accessTokenFormat: optional(oneOf('jwt', 'opaque')),
  refreshTokens: optionalObject(refreshTokenShape),
  dpopBoundAccessTokens: optional(flag, false),
  tlsClientCertificateBoundAccessTokens: optional(flag, false),
  firstParty: optional(flag, false),
  introspects: optional(listOf(text())),
  mayDeny: optional(flag, false),
})

/** What the rest of the configuration says about its clients. */
interface ClientRules extends RedirectUriRules {
  readonly refreshTokens: { readonly dangerouslyKeepForPublicClients: boolean }
  readonly outbound: { readonly ports: readonly number[] }
}

/** The client record that the options of one come to; reports what does not fit together. */
export function clientOf(
  given: ReturnType<typeof clientOption>,
  where: string,
  options: ClientRules,
  resources: ResourceCatalogue,
  serverSettings: RefreshSettings,
  report: (problem: string) => void,
): Client {
  const secrets = [given.clientSecret ?? []].flat().map((secret) => ({ hash: sha256(secret) }))
  const hasKeys = given.jwks !== undefined || given.jwksUri !== undefined
  const method =
    given.tokenEndpointAuthMethod ??
    (secrets.length > 0 ? 'client_secret_basic' : hasKeys ? 'private_key_jwt' : 'none')
  const grantTypes =
    given.grantTypes ??
    (given.redirectUris.length > 0 ? ['authorization_code', 'refresh_token'] : ['client_credentials'])
  const refreshPolicy = policyOf(settingsOf(given.refreshTokens, serverSettings))

  if (method.startsWith('client_secret') && secrets.length === 0)
    report(`${where}.clientSecret is missing for ${method}`)
  if (!method.startsWith('client_secret') && secrets.length > 0)
    report(`${where}.clientSecret is not used by ${method}`)
  if (method === 'private_key_jwt' && !hasKeys)
    report(`${where}.jwks or jwksUri is missing for private_key_jwt`)
  if (given.jwks !== undefined && given.jwksUri !== undefined)
    report(`${where} must not have both jwks and jwksUri`)
  if (given.jwksUri !== undefined) {
    const read = readOutboundUrl(given.jwksUri, options.outbound.ports)
    if ('problem' in read) report(`${where}.jwksUri ${read.problem}`)
  }
  if (method === 'none' && grantTypes.includes('client_credentials'))
    report(
      `${where}: add redirectUris for users to come back to, or clientSecret or jwks for client_credentials`,
    )
  if (grantTypes.includes('authorization_code') && given.redirectUris.length === 0)
    report(`${where}.redirectUris is missing for authorization_code`)
  if (
    method === 'none' &&
    grantTypes.includes('refresh_token') &&
    refreshPolicy.issuance === 'keep' &&
    !isSenderConstrained(given) &&
    !options.refreshTokens.dangerouslyKeepForPublicClients
  ) {
    report(
      `${where}: refresh tokens that are kept are refused for a client without a secret, since a stolen one would never be noticed (RFC 9700 section 2.2.2); use issuance 'rotate', dpopBoundAccessTokens, or refreshTokens.dangerouslyKeepForPublicClients`,
    )
  }
  const knownScopes = new Set([...resources.all.values()].flatMap((resource) => [...resource.scopes.keys()]))
  for (const scope of [...(given.scopes ?? []), ...(given.defaultScopes ?? [])])
    if (!knownScopes.has(scope))
      report(`${where} names the scope ${JSON.stringify(scope)}, which no resource has`)
  const isServer = given.introspects !== undefined && given.introspects.length > 0
  if (grantTypes.length === 0 && !isServer && !given.mayDeny)
    report(`${where}.grantTypes must not be empty, but for a client with introspects or mayDeny`)
  if (isServer && method === 'none')
    report(`${where}.introspects needs a client that authenticates: add clientSecret or jwks`)
  if (given.mayDeny && method === 'none')
    report(`${where}.mayDeny needs a client that authenticates: add clientSecret or jwks`)
  for (const resource of given.introspects ?? [])
    if (!resources.all.has(resource))
      report(`${where}.introspects names ${JSON.stringify(resource)}, which is not one of resources`)
  const kinds = given.redirectUris.map((uri, index) => {
    const judged = judgeRedirectUri(uri, options)
    if ('problem' in judged) report(`${where}.redirectUris[${index}] ${judged.problem}`)
    return 'kind' in judged ? judged.kind : 'https'
  })
  const applicationType = given.applicationType ?? (kinds.some((kind) => kind !== 'https') ? 'native' : 'web')
  if (applicationType === 'web' && kinds.some((kind) => kind !== 'https'))
    report(`${where}.redirectUris must be https where applicationType is web`)

  return {
    id: given.clientId,
    origin: 'configuration',
    applicationType,
    redirectUris: given.redirectUris,
    grantTypes,
    authenticationMethod: method,
    secrets,
    createdAt: 0,
    refreshPolicy,
    firstParty: given.firstParty,
    ...(given.tlsClientCertificateBoundAccessTokens && { tlsClientCertificateBoundAccessTokens: true }),
    ...(given.dpopBoundAccessTokens && { dpopBoundAccessTokens: true }),
    ...(given.name !== undefined && { name: given.name }),
    ...(given.jwks !== undefined && { jwks: given.jwks }),
    ...(given.jwksUri !== undefined && { jwksUri: given.jwksUri }),
    ...(given.tokenEndpointAuthSigningAlg !== undefined && {
      assertionAlg: given.tokenEndpointAuthSigningAlg,
    }),
    ...(given.scopes !== undefined && { allowedScope: given.scopes }),
    ...(given.defaultScopes !== undefined && { defaultScope: given.defaultScopes }),
    ...(given.accessTokenLifetime !== undefined && { accessTokenLifetime: given.accessTokenLifetime }),
    ...(given.accessTokenFormat !== undefined && { accessTokenFormat: given.accessTokenFormat }),
    ...(given.introspects !== undefined && { introspects: given.introspects }),
    ...(given.mayDeny && { mayDeny: true }),
  }
}
