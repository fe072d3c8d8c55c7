import type { AatClaims } from '../tokens/access-token.ts'
import { CLIENT_SUBJECT_PREFIX } from '../tokens/access-token.ts'
import type { Verified } from '../tokens/verified.ts'
import { type Challenge, type ChallengeTerms, challengeOf } from './challenge.ts'
import type { GuardSettings } from './guard-options.ts'
import type { TokenSource } from './token-source.ts'

/** Everything that a guard may answer on its route instead of the app. */
export function refusalsOf(
  { scopes, principal, acrs, maxAge }: GuardSettings<unknown>,
  resourceMetadata: string,
) {
  const scope = scopes.join(' ')
  const absent: ChallengeTerms = { status: 401, scope }
  const invalidToken: ChallengeTerms = {
    status: 401,
    error: 'invalid_token',
    description:
      'the access token is malformed, expired, revoked, not for this resource, or its binding to a key does not fit',
    scope,
  }
  const insufficientScope: ChallengeTerms = {
    status: 403,
    error: 'insufficient_scope',
    description: 'the access token does not have the scope that this needs',
    scope,
  }
  const wrongPrincipal: ChallengeTerms = {
    status: 403,
    error: 'insufficient_scope',
    description: `this needs an access token of a ${principal}`,
    scope,
  }
  const stepUp: ChallengeTerms = {
    status: 401,
    error: 'insufficient_user_authentication',
    description: 'this needs another or a more recent sign-in',
    scope,
    acrValues: acrs.join(' '),
    maxAge,
  }
  const otherKey: ChallengeTerms = {
    ...invalidToken,
    description: 'the access token is bound to another key than that of the DPoP proof',
  }
  const badProof: ChallengeTerms = {
    status: 401,
    error: 'invalid_dpop_proof',
    description: 'the DPoP proof is missing, not good, or was used before (RFC 9449 section 4.3)',
    scope,
  }
  const noNonce: ChallengeTerms = {
    status: 401,
    error: 'use_dpop_nonce',
    description: 'the DPoP proof needs the nonce of DPoP-Nonce',
    scope,
  }
  const ambiguous: ChallengeTerms = {
    status: 400,
    error: 'invalid_request',
    description: 'there is more than one Authorization header',
  }
  const made = (terms: ChallengeTerms) => challengeOf(terms, resourceMetadata)
  return {
    absent: made(absent),
    malformed: made(invalidToken),
    ambiguous: made(ambiguous),
    invalidToken: made(invalidToken),
    insufficientScope: made(insufficientScope),
    wrongPrincipal: made(wrongPrincipal),
    stepUp: made(stepUp),
    otherKey: made(otherKey),
    badProof: made(badProof),
    noNonce: made(noNonce),
  }
}

/**
 * Tells what is not enough about a good token for a route, if anything. It is judged by what was signed, whatever the app's
 * `readClaims` makes of it.
 */
export function judgeOf(
  { scopes, principal, acrs, maxAge }: GuardSettings<unknown>,
  refusals: ReturnType<typeof refusalsOf>,
) {
  const asksForSignIn = acrs.length > 0 || maxAge !== undefined
  return function shortcomingOf(
    { claims, scopes: held }: Verified,
    { clock, clockTolerance }: TokenSource,
  ): Challenge | undefined {
    if (principal !== undefined && (principal === 'client') !== isClientsOwn(claims))
      return refusals.wrongPrincipal
    for (const scope of scopes) if (!held.includes(scope)) return refusals.insufficientScope
    if (!asksForSignIn) return undefined
    const { acr, auth_time: authTime } = claims
    if (acrs.length > 0 && !acrs.includes(acr ?? '')) return refusals.stepUp
    if (
      maxAge !== undefined &&
      (authTime === undefined || !isRecent(clock() - authTime, maxAge, clockTolerance))
    )
      return refusals.stepUp
    return undefined
  }
}

/**
 * A token without a user: by our own prefix, or as other issuers say it (RFC 9068 §2.2: `sub` is the client's id, and
 * nobody authenticated).
 */
export function isClientsOwn({
  sub,
  client_id: clientId,
  auth_time: authTime,
  grant_id: grantId,
}: AatClaims): boolean {
  return (
    sub.startsWith(CLIENT_SUBJECT_PREFIX) ||
    (sub === clientId && authTime === undefined && grantId === undefined)
  )
}

/** A sign-in that lies further in the future than clocks may (milliseconds for seconds, say) is not a recent one. */
function isRecent(age: number, maxAge: number, tolerance: number): boolean {
  return age <= maxAge + tolerance && age >= -60 - tolerance
}
