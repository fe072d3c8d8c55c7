import type { Response } from 'express'
import { sendJson, sendText, setNoStore } from '../http/headers.ts'
import { proofAlgorithms } from '../tokens/proof-key.ts'

/** What a challenge says (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728 §5.1). */
export interface ChallengeTerms {
  readonly status: 400 | 401 | 403
  /** Absent where the request had no credentials (RFC 6750 §3.1). */
  readonly error?:
    | 'invalid_request'
    | 'invalid_token'
    | 'insufficient_scope'
    | 'insufficient_user_authentication'
    | 'invalid_dpop_proof'
    | 'use_dpop_nonce'
  readonly description?: string
  /** Every scope that the operation needs, in one challenge: clients ask for just this. */
  readonly scope?: string | undefined
  readonly acrValues?: string | undefined
  readonly maxAge?: number | undefined
}

/** What is offered to whom: DPoP alone to those who use it or must, else Bearer, and DPoP after it. */
export type Offer = 'DPoP' | 'Bearer, DPoP'

const algs = `algs="${proofAlgorithms.join(' ')}"`

/** A challenge as it is sent: made once, since a flood of bad tokens gets many of them. */
export interface Challenge {
  readonly status: ChallengeTerms['status']
  /** `WWW-Authenticate`. */
  readonly headers: Readonly<Record<Offer, string>>
  readonly body: string
}

/** Its values come from the configuration and from here, never from a request. Some clients read the first scheme only. */
export function challengeOf(
  { status, error, description, scope, acrValues, maxAge }: ChallengeTerms,
  resourceMetadata: string,
): Challenge {
  const parameters: [string, string | number | undefined][] = [
    ['error', error],
    ['error_description', description],
    ['scope', scope],
    ['acr_values', acrValues],
    ['max_age', maxAge],
    ['resource_metadata', resourceMetadata],
  ]
  const challenge = parameters
    .flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`${name}="${value}"`]))
    .join(', ')
  const body =
    error === undefined
      ? { error: 'unauthorized', error_description: 'an access token is required' }
      : { error, ...(description !== undefined && { error_description: description }) }
  return {
    status,
    headers: {
      DPoP: `DPoP ${challenge}, ${algs}`,
      'Bearer, DPoP': `Bearer ${challenge}${status === 401 ? `, DPoP ${algs}` : ''}`,
    },
    body: JSON.stringify(body),
  }
}

export function sendChallenge(res: Response, { status, headers, body }: Challenge, offer: Offer): void {
  setNoStore(res)
  res.setHeader('WWW-Authenticate', headers[offer])
  sendText(res, status, body, 'application/json')
}

/** Keys cannot be had at the moment: our fault, and 401 would make clients throw good tokens away. */
export function refuseForNow(res: Response, reference: string): void {
  setNoStore(res)
  res.setHeader('Retry-After', '5')
  sendJson(res, 503, {
    error: 'temporarily_unavailable',
    error_description: `access tokens cannot be verified at the moment, try again (reference ${reference})`,
  })
}
