import { jsonSize } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { judgeRedirectUri } from '../protocol/redirect-uri.ts'
import type { Client, KeptDocument } from '../stores/ports.ts'
import { type ClientDraft, readClientMetadata, readKeys } from './client-metadata.ts'
import { FetchFailure } from './fetch-failure.ts'
import { isTextList, MAX_NAME, optionalPage, optionalText, readContacts } from './metadata-members.ts'
import { isAllowedRedirect, kindOfRedirect } from './redirect-hosts.ts'
import type { RegistrationPolicy } from './registration-policy.ts'

/** Bytes of a document that are used. */
const MAX_USED = 16 * 1024

/** What only describes the client. Where it is malformed the client works without. */
const descriptions: Record<string, (value: unknown) => unknown> = {
  client_name: (value) => optionalText(value, 'client_name', MAX_NAME),
  client_uri: (value) => optionalPage(value, 'client_uri'),
  logo_uri: (value) => optionalPage(value, 'logo_uri'),
  policy_uri: (value) => optionalPage(value, 'policy_uri'),
  tos_uri: (value) => optionalPage(value, 'tos_uri'),
  contacts: readContacts,
  software_id: (value) => optionalText(value, 'software_id', MAX_NAME),
  software_version: (value) => optionalText(value, 'software_version', MAX_NAME),
}

const used = [
  ...Object.keys(descriptions),
  'redirect_uris',
  'grant_types',
  'response_types',
  'token_endpoint_auth_method',
  'token_endpoint_auth_methods_supported',
  'token_endpoint_auth_signing_alg',
  'jwks',
  'jwks_uri',
  'scope',
  'access_token_lifetime',
  'access_token_format',
  'refresh_token_lifetime',
  'refresh_token_issuance',
  'use_idp_session_expiry',
  'dpop_bound_access_tokens',
  'tls_client_certificate_bound_access_tokens',
]

/**
 * What is used of a client ID metadata document (draft-ietf-oauth-client-id-metadata-document §4.1), once it is known to be
 * about its own URL and to hold no secret, which everybody could read.
 * @throws FetchFailure `refused`
 */
export function cutMetadata(body: Record<string, unknown>, url: string): Record<string, unknown> {
  if (body.client_id !== url) throw new FetchFailure('refused', 'its client_id is not its URL')
  if (body.client_secret !== undefined || body.client_secret_expires_at !== undefined)
    throw new FetchFailure('refused', 'it has a client_secret')
  const cut = Object.fromEntries(
    used.flatMap((name) => (Object.hasOwn(body, name) ? [[name, body[name]]] : [])),
  )
  // A user can make this server keep as many of them as there are hosts.
  if (jsonSize(cut) > MAX_USED) throw new FetchFailure('refused', `it has over ${MAX_USED} bytes of metadata`)
  return cut
}

/**
 * A document is written for many servers, so what this one cannot use is dropped, not refused: malformed descriptions, other
 * grant types, redirect URIs of kinds that it does not allow, keys of a client that does not authenticate.
 * @throws FetchFailure `refused` for what is dangerous, or where too little is left
 */
export function readDocumentClient(
  body: KeptDocument['body'],
  url: string,
  fetchedAt: number,
  policy: RegistrationPolicy,
): Client {
  const metadata: Record<string, unknown> = { ...body }
  for (const [name, read] of Object.entries(descriptions)) {
    try {
      read(metadata[name])
    } catch {
      delete metadata[name]
    }
  }
  const { grant_types: grantTypes, redirect_uris: redirectUris } = metadata
  const method = methodOf(metadata)
  metadata.token_endpoint_auth_method = method
  let keys: ReturnType<typeof readKeys> = {}
  if (method === 'none') {
    keys = optionalKeys(metadata, policy)
    for (const name of ['jwks', 'jwks_uri', 'token_endpoint_auth_signing_alg']) delete metadata[name]
    if (isTextList(grantTypes, 20))
      metadata.grant_types = grantTypes.filter((type) => type !== 'client_credentials')
  }
  if (isTextList(redirectUris, 100)) {
    const usable = redirectUris.filter((uri) => isUsableOrDangerous(uri, policy))
    metadata.redirect_uris = usable
    metadata.application_type = usable.some((uri) => kindOfRedirect(uri) !== 'https') ? 'native' : 'web'
  }
  return {
    ...draftOf(metadata, policy),
    ...keys,
    id: url,
    origin: 'document',
    secrets: [],
    createdAt: fetchedAt,
  }
}

/**
 * How the client authenticates. One that says that it comes without as well (`token_endpoint_auth_methods_supported`, which
 * some programs publish) counts as public; where it brings an assertion all the same, that is verified.
 */
function methodOf(metadata: Record<string, unknown>): 'none' | 'private_key_jwt' {
  const hasKeys = metadata.jwks !== undefined || metadata.jwks_uri !== undefined
  const method = metadata.token_endpoint_auth_method ?? (hasKeys ? 'private_key_jwt' : 'none')
  if (method !== 'none' && method !== 'private_key_jwt')
    throw new FetchFailure('refused', 'its token_endpoint_auth_method is neither none nor private_key_jwt')
  const supported = metadata.token_endpoint_auth_methods_supported
  return isTextList(supported, 20) && supported.includes('none') ? 'none' : method
}

/** Keys that the client can do without: left out where they are malformed. */
function optionalKeys(
  metadata: Record<string, unknown>,
  policy: RegistrationPolicy,
): ReturnType<typeof readKeys> {
  try {
    return readKeys(metadata, 'private_key_jwt', policy)
  } catch {
    return {}
  }
}

function draftOf(metadata: Record<string, unknown>, policy: RegistrationPolicy): ClientDraft {
  try {
    return readClientMetadata(metadata, policy)
  } catch (error) {
    if (error instanceof OAuthError) throw new FetchFailure('refused', error.message)
    throw error
  }
}

/** False for what is harmless, and not allowed here. What is wrong stays, and is refused with the whole document. */
function isUsableOrDangerous(uri: string, policy: RegistrationPolicy): boolean {
  const scheme = /^([a-z][a-z0-9+.-]*):/.exec(uri)?.[1] ?? ''
  const judged = judgeRedirectUri(uri, { privateUseSchemes: [scheme] })
  if ('problem' in judged) return true
  return !('problem' in judgeRedirectUri(uri, policy)) && isAllowedRedirect(uri, policy)
}
