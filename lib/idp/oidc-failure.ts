import { isObject } from '../protocol/encoding.ts'
import { OAuthError, type OAuthErrorCode } from '../protocol/oauth-error.ts'

/** Errors whose messages are fixed words. Those of parsers quote what they read, which may be a token. */
const worded = new Set([
  'ClientError',
  'OperationProcessingError',
  'UnsupportedOperationError',
  'AuthorizationResponseError',
  'ResponseBodyError',
  'WWWAuthenticateChallengeError',
  'TimeoutError',
  'AbortError',
  'Error',
])

/** Errors of the authorization response that the user can do something about (OpenID Connect Core §3.1.2.6). */
const refusals: Record<string, { code: OAuthErrorCode; description: string }> = {
  access_denied: {
    code: 'access_denied',
    description: 'the sign-in was cancelled, or the identity provider does not allow it',
  },
  login_required: { code: 'login_required', description: 'the identity provider wants you to sign in' },
  interaction_required: {
    code: 'interaction_required',
    description: 'the identity provider wants to ask you something',
  },
  consent_required: { code: 'consent_required', description: 'the identity provider wants your consent' },
  account_selection_required: {
    code: 'interaction_required',
    description: 'the identity provider wants you to choose an account',
  },
  unmet_authentication_requirements: {
    code: 'unmet_authentication_requirements',
    description: 'you did not sign in at the identity provider in the way that is asked for',
  },
}

function* chainOf(error: unknown): Generator<Record<string, unknown>> {
  for (let depth = 0, one = error; depth < 5 && isObject(one); depth++, one = one.cause) yield one
}

/** Why something failed, for the operator: never what was sent or received, which holds tokens, codes and secrets. */
export function reasonOfFailure(error: unknown): string {
  const words = [...chainOf(error)].flatMap((one) => {
    const { name, message, code, error: said } = one
    return [
      worded.has(String(name)) || one instanceof OAuthError ? String(message) : String(name ?? ''),
      typeof code === 'string' ? code : '',
      // What the provider called it (RFC 6749 §5.2).
      typeof said === 'string' && /^[a-z_]{1,64}$/.test(said) ? said : '',
    ]
  })
  return [...new Set(words.filter((word) => word !== ''))].join(': ').slice(0, 500) || 'unknown'
}

/** The provider said something that it must not say: its fault, and no sign-in. */
export function providerFault(description: string, reason: string): OAuthError {
  return new OAuthError('server_error', description, { status: 502, cause: new Error(reason) })
}

/**
 * What became of an authorization response that could not be redeemed.
 * @param asked the provider was asked to redeem it, so the response itself was in order
 */
export function refusalOf(error: unknown, asked: boolean): OAuthError {
  for (const one of chainOf(error)) if (one instanceof OAuthError) return one
  const { name, error: said } = isObject(error) ? error : {}
  if (name === 'AuthorizationResponseError') {
    if (typeof said === 'string' && Object.hasOwn(refusals, said)) {
      const { code, description } = refusals[said] as (typeof refusals)[string]
      return new OAuthError(code, description)
    }
    const reason = new Error(`the authorization response is an error: ${reasonOfFailure(error)}`)
    return said === 'temporarily_unavailable' || said === 'server_error'
      ? new OAuthError('temporarily_unavailable', 'the identity provider cannot sign you in at the moment', {
          cause: reason,
          retryAfter: 5,
        })
      : new OAuthError('server_error', 'the identity provider did not accept the request to sign in', {
          status: 502,
          cause: reason,
        })
  }
  if (!asked) return new OAuthError('invalid_request', 'this is not an answer of the identity provider')
  if (name === 'WWWAuthenticateChallengeError' || said === 'invalid_client')
    return providerFault(
      'the identity provider did not accept this site',
      'the provider refused clientId and clientSecret (RFC 6749 section 5.2, invalid_client)',
    )
  if (name === 'ResponseBodyError' && said === 'invalid_grant')
    return new OAuthError(
      'invalid_request',
      'the identity provider no longer knows this sign-in, begin it again',
    )
  return providerFault(
    'the identity provider did not answer as it must',
    `the sign-in failed: ${reasonOfFailure(error)}`,
  )
}
