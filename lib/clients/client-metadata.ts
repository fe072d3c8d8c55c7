import { OAuthError } from '../protocol/oauth-error.ts'
import { readOutboundUrl } from '../protocol/outbound-url.ts'
import { parseScope } from '../protocol/scope.ts'
import type { Client, ClientAuthenticationMethod } from '../stores/ports.ts'
import { assertionAlgorithms } from './client-assertion.ts'
import { authenticationMethods } from './client-credentials.ts'
import { problemOfClientJwks } from './client-jwks.ts'
import { readLocalized } from './localized-members.ts'
import {
  isTextList,
  MAX_NAME,
  optionalPage,
  optionalText,
  present,
  readContacts,
  refusal,
} from './metadata-members.ts'
import { readRedirectUris } from './redirect-uris.ts'
import { DEFAULT_POLICY, isKeptUnguarded, type RegistrationPolicy } from './registration-policy.ts'
import { readTokenWishes } from './token-wishes.ts'

/** A registration, judged; the id, the secret and the time are still to come. */
export type ClientDraft = Omit<Client, 'id' | 'createdAt' | 'secrets' | 'origin'>

const responseTypeOf: Record<string, string> = { authorization_code: 'code' }

/**
 * Judges client metadata (RFC 7591 §2). What cannot be used but does no harm is left out of what is registered (unknown
 * members, other grant types and scopes); what is malformed or dangerous is refused.
 * @throws OAuthError `invalid_redirect_uri` or `invalid_client_metadata` (RFC 7591 §3.2.2)
 */
export function readClientMetadata(
  metadata: Record<string, unknown>,
  policy: RegistrationPolicy,
): ClientDraft {
  const method = readMethod(metadata.token_endpoint_auth_method)
  const grantTypes = readGrantTypes(metadata.grant_types, policy)
  readResponseTypes(metadata.response_types, grantTypes)
  const redirects = readRedirectUris(metadata, grantTypes, method, policy)
  if (method === 'none' && grantTypes.includes('client_credentials')) {
    throw refusal('grant type client_credentials needs a client that authenticates (RFC 6749 section 4.4)')
  }
  const keys = readKeys(metadata, method, policy)
  const scope = readScope(metadata.scope, policy)
  const contacts = readContacts(metadata.contacts)
  const wishes = readTokenWishes(metadata, policy)
  const draft = present<ClientDraft>({
    applicationType: redirects.applicationType,
    redirectUris: redirects.uris,
    grantTypes,
    authenticationMethod: method,
    policy: policy.name === DEFAULT_POLICY ? undefined : policy.name,
    defaultScope: scope,
    jwks: keys.jwks,
    jwksUri: keys.jwksUri,
    assertionAlg: keys.assertionAlg,
    accessTokenLifetime: wishes.accessTokenLifetime,
    accessTokenFormat: wishes.accessTokenFormat,
    refreshTokens: wishes.refreshTokens,
    boundToIdpSession: wishes.boundToIdpSession,
    dpopBoundAccessTokens: readFlag(metadata, 'dpop_bound_access_tokens'),
    tlsClientCertificateBoundAccessTokens: readFlag(metadata, 'tls_client_certificate_bound_access_tokens'),
    contacts,
    localized: readLocalized(metadata),
    name: optionalText(metadata.client_name, 'client_name', MAX_NAME),
    softwareId: optionalText(metadata.software_id, 'software_id', MAX_NAME),
    softwareVersion: optionalText(metadata.software_version, 'software_version', MAX_NAME),
    uri: optionalPage(metadata.client_uri, 'client_uri'),
    logoUri: optionalPage(metadata.logo_uri, 'logo_uri'),
    policyUri: optionalPage(metadata.policy_uri, 'policy_uri'),
    tosUri: optionalPage(metadata.tos_uri, 'tos_uri'),
  })
  if (isKeptUnguarded(draft, policy)) {
    throw refusal(
      'refresh tokens that are kept and do not rotate are for clients that authenticate or prove a key (RFC 9700 section 2.2.2)',
    )
  }
  return draft
}

/**
 * The registered metadata as the response tells it (RFC 7591 §3.2.1): what is in force, never `null`. To become JSON, which has
 * no members that are `undefined`.
 */
export function clientMetadataOf(client: Client): Record<string, unknown> {
  const usesCode = client.grantTypes.includes('authorization_code')
  const told: Record<string, unknown> = {
    client_id: client.id,
    client_id_issued_at: Math.floor(client.createdAt),
    client_name: client.name,
    client_uri: client.uri,
    logo_uri: client.logoUri,
    policy_uri: client.policyUri,
    tos_uri: client.tosUri,
    contacts: client.contacts,
    software_id: client.softwareId,
    software_version: client.softwareVersion,
    software_statement: client.softwareStatement,
    application_type: client.applicationType,
    redirect_uris: client.redirectUris,
    grant_types: client.grantTypes,
    response_types: usesCode ? ['code'] : [],
    token_endpoint_auth_method: client.authenticationMethod,
    token_endpoint_auth_signing_alg: client.assertionAlg,
    jwks: client.jwks,
    jwks_uri: client.jwksUri,
    access_token_lifetime: client.accessTokenLifetime,
    access_token_format: client.accessTokenFormat,
    refresh_token_lifetime: client.refreshTokens?.lifetime,
    refresh_token_issuance: client.refreshTokens?.issuance,
    use_idp_session_expiry: client.boundToIdpSession,
    dpop_bound_access_tokens: client.dpopBoundAccessTokens,
    tls_client_certificate_bound_access_tokens: client.tlsClientCertificateBoundAccessTokens,
    scope: (client.defaultScope ?? client.allowedScope)?.join(' '),
  }
  return client.localized === undefined ? told : Object.assign(told, client.localized)
}

function readMethod(value: unknown): ClientAuthenticationMethod {
  const method = value ?? 'client_secret_basic'
  if (!authenticationMethods.includes(method as ClientAuthenticationMethod)) {
    throw refusal(`token_endpoint_auth_method must be one of ${authenticationMethods.join(', ')}`)
  }
  return method as ClientAuthenticationMethod
}

function readGrantTypes(value: unknown, policy: RegistrationPolicy): string[] {
  const wanted = value ?? ['authorization_code']
  if (!isTextList(wanted, 20)) throw refusal('grant_types must be an array of strings')
  const grantTypes = [...new Set(wanted)].filter((type) => policy.grantTypes.includes(type))
  if (!grantTypes.some((type) => type !== 'refresh_token')) {
    throw refusal(
      `grant_types must have one of ${policy.grantTypes.filter((type) => type !== 'refresh_token').join(', ')}`,
    )
  }
  return grantTypes
}

function readResponseTypes(value: unknown, grantTypes: readonly string[]): void {
  if (value === undefined) return
  if (!isTextList(value, 20)) throw refusal('response_types must be an array of strings')
  for (const grantType of grantTypes) {
    const needed = responseTypeOf[grantType]
    if (needed !== undefined && !value.includes(needed))
      throw refusal(`grant type ${grantType} needs response type ${needed} (RFC 7591 section 2.1)`)
  }
}

/** @throws OAuthError */
export function readKeys(
  metadata: Record<string, unknown>,
  method: ClientAuthenticationMethod,
  { outboundPorts }: RegistrationPolicy,
): Pick<Client, 'jwks' | 'jwksUri' | 'assertionAlg'> {
  const { jwks, jwks_uri: jwksUri, token_endpoint_auth_signing_alg: alg } = metadata
  if (jwks !== undefined && jwksUri !== undefined)
    throw refusal('jwks and jwks_uri must not both be present (RFC 7591 section 2)')
  if (jwksUri !== undefined) {
    const read = readOutboundUrl(jwksUri, outboundPorts)
    if ('problem' in read) throw refusal(`jwks_uri ${read.problem}`)
  }
  if (alg !== undefined && !assertionAlgorithms.includes(alg as (typeof assertionAlgorithms)[number])) {
    throw refusal(`token_endpoint_auth_signing_alg must be one of ${assertionAlgorithms.join(', ')}`)
  }
  if (jwks !== undefined) {
    const problem = problemOfClientJwks(jwks)
    if (problem !== undefined) throw refusal(`jwks ${problem}`)
  }
  if (method !== 'private_key_jwt') return {}
  if (jwks === undefined && jwksUri === undefined) throw refusal('private_key_jwt needs jwks or jwks_uri')
  return {
    ...(jwks !== undefined && { jwks: jwks as NonNullable<Client['jwks']> }),
    ...(jwksUri !== undefined && { jwksUri: jwksUri as string }),
    ...(alg !== undefined && { assertionAlg: alg as string }),
  }
}

/** The registered scope is what a request without `scope` asks for, not a ceiling: the policy's scopes are. */
function readScope(value: unknown, policy: RegistrationPolicy): string[] | undefined {
  if (value === undefined || value === '') return undefined
  if (typeof value !== 'string') throw refusal('scope must be a string')
  let wanted: string[]
  try {
    wanted = parseScope(value)
  } catch (error) {
    throw refusal(error instanceof OAuthError ? error.message : 'scope is malformed')
  }
  const allowed = wanted.filter((scope) => policy.scopes.includes(scope))
  return allowed.length === 0 ? undefined : allowed
}

/** What its tokens are to be bound to (RFC 9449 §5.2, RFC 8705 §3.4). */
function readFlag(
  metadata: Record<string, unknown>,
  name: 'dpop_bound_access_tokens' | 'tls_client_certificate_bound_access_tokens',
): boolean | undefined {
  const value = metadata[name]
  if (value !== undefined && typeof value !== 'boolean') throw refusal(`${name} must be true or false`)
  return value
}
