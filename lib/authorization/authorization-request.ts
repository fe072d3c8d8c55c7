import { isThumbprint } from '../protocol/confirmation.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { isCodeChallenge } from '../protocol/pkce.ts'
import { judgeRedirectUri, MAX_REDIRECT_URI, matchesRedirectUri } from '../protocol/redirect-uri.ts'
import { type ResourceCatalogue, readNewScope, readResources } from '../protocol/resource.ts'
import { parseScope } from '../protocol/scope.ts'
import { type Client, MAX_CLIENT_ID, type PendingRequest } from '../stores/ports.ts'

/** The longest `state` that is echoed, in characters. */
const MAX_STATE = 4096

/** The parameters of the request: every value of each name, empty ones left out (RFC 6749 §3.1). */
export type RequestParameters = ReadonlyMap<string, readonly string[]>

export interface AuthorizationRules {
  readonly findClient: (id: string) => Promise<Client | undefined>
  readonly resources: ResourceCatalogue
  readonly localhostAnyPort: boolean
  readonly privateUseSchemes: readonly string[]
}

/** Where an answer may be sent: proven, so errors may go there too. */
export interface ReturnAddress {
  readonly client: Client
  readonly redirectUri: string
  readonly redirectUriRequired: boolean
  readonly state: string | undefined
}

/**
 * Finds who asks and where the answer goes. Whatever is wrong here is shown to the user and never redirected
 * (RFC 6749 §4.1.2.1).
 * @throws OAuthError
 */
export async function readReturnAddress(
  parameters: RequestParameters,
  rules: AuthorizationRules,
): Promise<ReturnAddress> {
  const [clientId, ...moreIds] = parameters.get('client_id') ?? []
  if (clientId === undefined) throw new OAuthError('invalid_request', 'client_id is missing')
  if (moreIds.length > 0) throw new OAuthError('invalid_request', 'client_id is there more than once')
  const client = clientId.length <= MAX_CLIENT_ID ? await rules.findClient(clientId) : undefined
  if (client === undefined)
    throw new OAuthError('invalid_client', 'this app is not registered here, or no longer', { status: 400 })

  const [requested, ...moreUris] = parameters.get('redirect_uri') ?? []
  if (moreUris.length > 0) throw new OAuthError('invalid_request', 'redirect_uri is there more than once')
  if ([...parameters.keys()].some((name) => name.startsWith('redirect_uri[')))
    throw new OAuthError('invalid_request', 'redirect_uri must be a plain parameter')
  const redirectUri = requested ?? (client.redirectUris.length === 1 ? client.redirectUris[0] : undefined)
  if (redirectUri === undefined)
    throw new OAuthError('invalid_request', 'redirect_uri is missing, and the app has not just one')
  const isRegistered =
    redirectUri.length <= MAX_REDIRECT_URI &&
    client.redirectUris.some((registered) =>
      matchesRedirectUri(registered, redirectUri, rules.localhostAnyPort),
    )
  // A store that was written to by somebody else must not make a redirect to javascript: (defence in depth).
  if (!isRegistered || 'problem' in judgeRedirectUri(redirectUri, rules))
    throw new OAuthError('invalid_request', 'redirect_uri is not one that this app registered')

  const [state] = parameters.get('state') ?? []
  if (state !== undefined && state.length > MAX_STATE)
    throw new OAuthError('invalid_request', `state is longer than ${MAX_STATE} characters`)
  return {
    client,
    redirectUri,
    redirectUriRequired: requested !== undefined,
    state: parameters.get('state')?.length === 1 ? state : undefined,
  }
}

const knownPrompts = ['none', 'login', 'consent', 'select_account']
const singleParameters = [
  'response_type',
  'response_mode',
  'state',
  'scope',
  'code_challenge',
  'code_challenge_method',
  'prompt',
  'max_age',
  'acr_values',
  'login_hint',
  'request',
  'request_uri',
  'nonce',
  'dpop_jkt',
]

/** The rest of the request. Whatever is wrong here may be sent to the client. @throws OAuthError */
export function readAuthorizationRequest(
  parameters: RequestParameters,
  { client, redirectUri, redirectUriRequired, state }: ReturnAddress,
  rules: Pick<AuthorizationRules, 'resources'>,
): Omit<PendingRequest, 'browser' | 'createdAt'> {
  for (const name of singleParameters) {
    if ((parameters.get(name)?.length ?? 0) > 1)
      throw new OAuthError('invalid_request', `${name} is there more than once`)
  }
  const one = (name: string) => parameters.get(name)?.[0]

  if (one('request') !== undefined || one('request_uri') !== undefined)
    throw new OAuthError('invalid_request', 'request objects (RFC 9101) are not supported')
  const responseType = one('response_type')
  if (responseType === undefined) throw new OAuthError('invalid_request', 'response_type is missing')
  if (responseType !== 'code') throw new OAuthError('unsupported_response_type', 'response_type must be code')
  if ((one('response_mode') ?? 'query') !== 'query')
    throw new OAuthError('invalid_request', 'response_mode must be query')
  if (!client.grantTypes.includes('authorization_code'))
    throw new OAuthError('unauthorized_client', 'the client may not use authorization_code')

  const codeChallenge = one('code_challenge')
  if (codeChallenge === undefined)
    throw new OAuthError('invalid_request', 'code_challenge is missing: PKCE is required (RFC 7636)')
  if (one('code_challenge_method') !== 'S256')
    throw new OAuthError('invalid_request', 'code_challenge_method must be S256')
  if (!isCodeChallenge(codeChallenge))
    throw new OAuthError('invalid_request', 'code_challenge must be the base64url of a SHA-256')

  const asked = readResources(rules.resources, parameters.get('resource') ?? [])
  const scopeText = one('scope')
  const scope = readNewScope(asked, scopeText === undefined ? undefined : parseScope(scopeText), client)
  // A resource that has nothing of the scope would get tokens that allow nothing.
  const resources = asked.filter((resource) => scope.some((token) => resource.scopes.has(token)))

  const dpopJkt = one('dpop_jkt')
  if (dpopJkt !== undefined && !isThumbprint(dpopJkt))
    throw new OAuthError(
      'invalid_request',
      'dpop_jkt must be the base64url of a SHA-256 (RFC 9449 section 10)',
    )
  const prompt = one('prompt')?.split(' ') ?? []
  if (prompt.some((value) => !knownPrompts.includes(value)))
    throw new OAuthError('invalid_request', `prompt must be of ${knownPrompts.join(', ')}`)
  if (prompt.includes('none') && prompt.length > 1)
    throw new OAuthError('invalid_request', 'prompt none stands alone')
  const maxAgeText = one('max_age')
  if (maxAgeText !== undefined && !/^\d{1,9}$/.test(maxAgeText))
    throw new OAuthError('invalid_request', 'max_age must be a number of seconds')
  const acrValues = one('acr_values')?.split(' ') ?? []
  if (acrValues.length > 20 || acrValues.some((value) => value === '' || value.length > 255))
    throw new OAuthError('invalid_request', 'acr_values must be at most 20 values, parted by single spaces')
  const loginHint = one('login_hint')
  if (loginHint !== undefined && loginHint.length > 512)
    throw new OAuthError('invalid_request', 'login_hint is too long')

  return {
    clientId: client.id,
    redirectUri,
    redirectUriRequired,
    codeChallenge,
    scope,
    resources: resources.map(({ identifier }) => identifier),
    prompt,
    acrValues,
    ...(dpopJkt !== undefined && { dpopJkt }),
    ...(state !== undefined && { state }),
    ...(maxAgeText !== undefined && { maxAge: Number(maxAgeText) }),
    ...(loginHint !== undefined && { loginHint }),
  }
}
