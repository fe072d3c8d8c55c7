import type { Response } from 'express'
import { sendJson, setNoStore } from '../http/headers.ts'
import { proofAlgorithms } from '../tokens/proof-key.ts'

/** What a challenge says (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728 §5.1). */
export interface Challenge {
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

/**
 * Refuses with a challenge. Its values come from the configuration and from here, never from the request. Some clients read the
 * first scheme only.
 */
export function sendChallenge(
  res: Response,
  { status, error, description, scope, acrValues, maxAge }: Challenge,
  resourceMetadata: string,
  offer: Offer,
): void {
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
  setNoStore(res)
  if (offer === 'DPoP') res.setHeader('WWW-Authenticate', `DPoP ${challenge}, ${algs}`)
  else res.setHeader('WWW-Authenticate', `Bearer ${challenge}${status === 401 ? `, DPoP ${algs}` : ''}`)
  sendJson(
    res,
    status,
    error === undefined
      ? { error: 'unauthorized', error_description: 'an access token is required' }
      : { error, ...(description !== undefined && { error_description: description }) },
  )
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
