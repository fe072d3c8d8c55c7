import { OAuthError } from '../protocol/oauth-error.ts'
import { judgeRedirectUri } from '../protocol/redirect-uri.ts'
import type { ClientAuthenticationMethod } from '../stores/ports.ts'
import { isTextList, refusal } from './metadata-members.ts'
import { isAllowedRedirect } from './redirect-hosts.ts'
import type { RegistrationPolicy } from './registration-policy.ts'

const MAX_REDIRECT_URIS = 20

/**
 * Reads `redirect_uris` and `application_type` (RFC 7591 §2, OpenID Connect Registration §2).
 * @throws OAuthError `invalid_redirect_uri` or `invalid_client_metadata`
 */
export function readRedirectUris(
  metadata: Record<string, unknown>,
  grantTypes: readonly string[],
  method: ClientAuthenticationMethod,
  policy: RegistrationPolicy,
): { uris: string[]; applicationType: 'web' | 'native' } {
  const { redirect_uris: uris, application_type: declared } = metadata
  if (declared !== undefined && declared !== 'web' && declared !== 'native')
    throw refusal('application_type must be web or native')
  if (uris === undefined || (Array.isArray(uris) && uris.length === 0)) {
    if (grantTypes.includes('authorization_code'))
      throw new OAuthError('invalid_redirect_uri', 'redirect_uris is required for authorization_code')
    return { uris: [], applicationType: declared ?? 'web' }
  }
  if (!isTextList(uris, MAX_REDIRECT_URIS))
    throw new OAuthError(
      'invalid_redirect_uri',
      `redirect_uris must be an array of at most ${MAX_REDIRECT_URIS} strings`,
    )
  const kinds = uris.map((uri, index) => {
    const judged = judgeRedirectUri(uri, policy)
    if ('problem' in judged)
      throw new OAuthError('invalid_redirect_uri', `redirect_uris[${index}] ${judged.problem}`)
    if (!isAllowedRedirect(uri, policy))
      throw new OAuthError(
        'invalid_redirect_uri',
        `redirect_uris[${index}] leads to where this server registers no clients for`,
      )
    return judged.kind
  })
  // Clients of people's own machines often leave application_type out; one whose redirects all stay there is native.
  const applicationType =
    declared ??
    (kinds.every((kind) => kind !== 'https') || (method === 'none' && kinds.some((kind) => kind !== 'https'))
      ? 'native'
      : 'web')
  const foreign = kinds.findIndex((kind) => kind !== 'https')
  if (applicationType === 'web' && foreign >= 0) {
    throw new OAuthError(
      'invalid_redirect_uri',
      `redirect_uris[${foreign}] is for a native application, but application_type is web`,
    )
  }
  return { uris: [...new Set(uris)], applicationType }
}
