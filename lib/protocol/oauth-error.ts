/**
 * Every error that this library says to a client, with its HTTP status.
 *
 * Sources: RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 7591 §3.2.2, RFC 8707 §2, RFC 9449 §5 and §8, RFC 9470 §3,
 * OpenID Connect Core §3.1.2.6, OpenID Connect Unmet Authentication Requirements §3.
 */
const statusOf = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_grant: 400,
  unauthorized_client: 400,
  unsupported_grant_type: 400,
  invalid_scope: 400,
  invalid_target: 400,
  access_denied: 403,
  unsupported_response_type: 400,
  login_required: 400,
  consent_required: 400,
  interaction_required: 400,
  unmet_authentication_requirements: 400,
  invalid_redirect_uri: 400,
  invalid_client_metadata: 400,
  invalid_software_statement: 400,
  unapproved_software_statement: 400,
  invalid_dpop_proof: 400,
  use_dpop_nonce: 400,
  invalid_token: 401,
  insufficient_scope: 403,
  insufficient_user_authentication: 401,
  server_error: 500,
  temporarily_unavailable: 503,
} as const

/** An `error` code as it goes over the wire. */
export type OAuthErrorCode = keyof typeof statusOf

export interface OAuthErrorOptions {
  /** The private reason: reaches the `fault` event, is never sent. */
  cause?: unknown
  /** Another status than the code's own, for example 413 for a body over the limit. */
  status?: number
  /** Seconds for the `Retry-After` header. */
  retryAfter?: number
  /** The `WWW-Authenticate` header, where another than Basic fits. */
  challenge?: string
  /** Of a status over 499: false where nothing is wrong here, so that strangers do not make `fault` events (default true). */
  isFault?: boolean
}

/**
 * A refusal in OAuth's words. `message` is public (`error_description`, so it never repeats input);
 * `cause` is private.
 */
export class OAuthError extends Error {
  override readonly name = 'OAuthError'
  readonly code: OAuthErrorCode
  readonly status: number
  readonly retryAfter: number | undefined
  readonly challenge: string | undefined
  /** Something is wrong here. */
  readonly isFault: boolean

  /** @throws TypeError for a code that is not in the table */
  constructor(code: OAuthErrorCode, description: string, options: OAuthErrorOptions = {}) {
    if (!Object.hasOwn(statusOf, code) || typeof description !== 'string')
      throw new TypeError(
        `OAuthError: the code must be one of ${Object.keys(statusOf).join(', ')}, and have a description`,
      )
    super(printable(description), options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? statusOf[code]
    this.challenge = options.challenge
    this.isFault = this.status >= 500 && options.isFault !== false
    this.retryAfter = options.retryAfter ?? (this.status === 503 ? 1 : undefined)
  }
}

/** `error_description` allows %x20-21 / %x23-5B / %x5D-7E only (RFC 6749 §5.2). */
function printable(text: string): string {
  return text.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, "'").slice(0, 300)
}

/** Why a store failed, in our own words: a driver's may hold its connection string. */
export function reasonOf(error: unknown): string {
  return error instanceof StoreUnavailable
    ? error.message
    : `the store failed: ${error instanceof Error ? error.name : typeof error}`
}

/** A store that cannot answer is our fault and passes: 503, never `invalid_grant` and never 401. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
}
