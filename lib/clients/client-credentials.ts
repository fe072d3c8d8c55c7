import { decodeBase64, decodeUtf8, hasControlCharacter } from '../protocol/encoding.ts'
import { isUnreserved } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { ClientAuthenticationMethod } from '../stores/ports.ts'

/** The members of a form that tell who the client is; each at most once, empty ones left out. */
export interface ClientParameters {
  readonly client_id?: string | undefined
  readonly client_secret?: string | undefined
  readonly client_assertion?: string | undefined
  readonly client_assertion_type?: string | undefined
}

/** What a request presents: an id that is claimed, and the proof of it. */
export type PresentedCredentials =
  | { readonly method: 'none'; readonly clientId: string }
  | {
      readonly method: 'client_secret_basic' | 'client_secret_post'
      readonly clientId: string
      readonly secret: string
    }
  | { readonly method: 'private_key_jwt'; readonly clientId: string | undefined; readonly assertion: string }

const JWT_BEARER_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** Methods in the order in which metadata lists them. */
export const authenticationMethods: readonly ClientAuthenticationMethod[] = [
  'client_secret_basic',
  'client_secret_post',
  'private_key_jwt',
  'none',
]

/**
 * Reads the one way in which a request authenticates its client (RFC 6749 §2.3: never more than one).
 * @param authorization the `Authorization` header
 * @throws OAuthError `invalid_request` for two ways at once, `invalid_client` for none or a malformed one
 */
export function readCredentials(
  authorization: string | undefined,
  form: ClientParameters,
): PresentedCredentials {
  const ways = [
    authorization,
    form.client_secret,
    form.client_assertion ?? form.client_assertion_type,
  ].filter((way) => way !== undefined)
  if (ways.length > 1)
    throw new OAuthError(
      'invalid_request',
      'use one method of client authentication, not several (RFC 6749 section 2.3)',
    )

  if (authorization !== undefined) {
    const { id, secret } = readBasic(authorization)
    if (form.client_id !== undefined && form.client_id !== id)
      throw new OAuthError('invalid_request', 'client_id differs from the one in the Authorization header')
    return { method: 'client_secret_basic', clientId: id, secret }
  }
  if (form.client_assertion !== undefined || form.client_assertion_type !== undefined) {
    if (form.client_assertion_type !== JWT_BEARER_ASSERTION || form.client_assertion === undefined) {
      throw new OAuthError(
        'invalid_client',
        `client_assertion needs client_assertion_type ${JWT_BEARER_ASSERTION}`,
      )
    }
    return { method: 'private_key_jwt', clientId: form.client_id, assertion: form.client_assertion }
  }
  if (form.client_id === undefined)
    throw new OAuthError('invalid_client', 'client authentication is required')
  if (form.client_secret !== undefined)
    return { method: 'client_secret_post', clientId: form.client_id, secret: form.client_secret }
  return { method: 'none', clientId: form.client_id }
}

/** HTTP Basic as RFC 6749 §2.3.1 has it: both halves form-urlencoded before they are joined. Padded base64 only. */
function readBasic(header: string): { id: string; secret: string } {
  const failure = () =>
    new OAuthError(
      'invalid_client',
      'the Authorization header is not valid HTTP Basic (RFC 6749 section 2.3.1)',
    )
  const encoded = /^basic ([A-Za-z0-9+/]+={0,2})$/i.exec(header)?.[1]
  const bytes = encoded === undefined ? undefined : decodeBase64(encoded)
  const pair = bytes && decodeUtf8(bytes)
  const colon = pair?.indexOf(':') ?? -1
  if (pair === undefined || colon < 1) throw failure()
  const id = formDecode(pair.slice(0, colon))
  const secret = formDecode(pair.slice(colon + 1))
  if (
    id === undefined ||
    id === '' ||
    secret === undefined ||
    secret === '' ||
    hasControlCharacter(id + secret)
  )
    throw failure()
  return { id, secret }
}

/** application/x-www-form-urlencoded decoding of one value (RFC 6749 appendix B), or `undefined` where it is malformed. */
function formDecode(text: string): string | undefined {
  if (isUnreserved(text)) return text
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return undefined
  }
}
