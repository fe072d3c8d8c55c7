import { isIdpName, readEnd } from '../authorization/idp-sessions.ts'
import { readUser } from '../authorization/user.ts'
import type { AatParts } from '../http/aat.ts'
import { jsonSize } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { ConfigurationError } from '../protocol/options.ts'
import { randomId } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { KeptSignIn, PendingSignIn } from './app-session.ts'
import { providerFault } from './oidc-failure.ts'
import type { IdTokenClaims, OidcSettings } from './oidc-options.ts'

/** Characters of the longest ID token that is kept for the sign-out: it has to fit into a session, and into a URL. */
const MAX_HINT = 4096

/** What the provider's token endpoint answered, verified. */
export interface Redeemed {
  readonly claims: IdTokenClaims
  readonly idToken: string
  readonly tokenResponse: Readonly<Record<string, unknown>>
}

/**
 * Makes a user of what the provider says.
 * @param signedInAt from before the provider was asked: what it says of the user's sessions meanwhile counts
 * @throws OAuthError 502 for what a provider must not say, 403 where it did not ask for credentials as it was told to
 */
export async function signInOf(
  { claims, idToken, tokenResponse }: Redeemed,
  pending: PendingSignIn,
  settings: OidcSettings,
  { clock, random, longestIdpSession }: AatParts,
  signedInAt: NumericDate,
): Promise<KeptSignIn> {
  const { issuer } = settings
  const { sub, acr, amr } = claims
  if (!isIdpName(sub)) throw saysNonsense('the sub claim is not a text of 1 to 510 bytes')
  if (claims.sid !== undefined && !isIdpName(claims.sid))
    throw saysNonsense('the sid claim is not a text of 1 to 510 bytes')
  const authTime = authTimeOf(claims, pending, settings.clockTolerance, clock())
  const expiresAt = await sessionEndOf(claims, tokenResponse, settings, clock())
  const subject = settings.subject === undefined ? sub : await settings.subject(claims)
  if (typeof subject !== 'string' || subject === '')
    throw new ConfigurationError('oidcSignIn', ['subject must return the id of the user, a string'])
  const displayName = await settings.displayName?.(claims)
  // A provider that names no session ends them by user: a name of our own tells them apart.
  const idpSession = { issuer, sid: claims.sid ?? randomId(random), subject: sub }
  const now = clock()
  const user = readUser(
    {
      subject,
      authTime,
      signedInAt,
      ...(typeof acr === 'string' && acr !== '' && jsonSize(acr) <= 130 && { acr }),
      ...(isListOfTexts(amr) && jsonSize(amr) <= 256 && { amr }),
      ...(displayName !== undefined && { displayName }),
      idpSession: { ...idpSession, ...(expiresAt !== undefined && { expiresAt }) },
    },
    now,
    longestIdpSession,
  )
  if (user?.idpSession === undefined) throw new TypeError('a sign-in without a session')
  const logoutHint = idToken.length <= MAX_HINT ? idToken : ''
  return {
    user: { ...user, signedInAt, idpSession: { ...user.idpSession, subject: sub } },
    logoutHint,
  }
}

/**
 * When the user authenticated, by the clock of this server. Where credentials were asked for anew, a time that is before the
 * question by no more than clocks may differ is a time after it: `authorizeEndpoint` compares them to the second. A provider that
 * does not say when is believed that it was now (OpenID Connect Core §2: `auth_time` is optional).
 */
function authTimeOf(
  { auth_time: said }: IdTokenClaims,
  { startedAt, secrets }: PendingSignIn,
  tolerance: number,
  now: NumericDate,
): NumericDate {
  if (typeof said !== 'number') return now
  const isFresh = said >= startedAt - tolerance
  if (secrets.asked === 'login' && !isFresh)
    throw new OAuthError(
      'unmet_authentication_requirements',
      'the identity provider did not ask for your credentials again',
      { status: 403 },
    )
  const wantsFresh = secrets.asked === 'login' || secrets.maxAge !== undefined
  return Math.min(now, wantsFresh && isFresh ? Math.max(said, startedAt) : said)
}

/** `session_expiry`, or what the app makes out; `undefined` where nobody knows. */
async function sessionEndOf(
  claims: IdTokenClaims,
  tokenResponse: Redeemed['tokenResponse'],
  { sessionEnd }: OidcSettings,
  now: NumericDate,
): Promise<NumericDate | undefined> {
  const isClaimed = claims.session_expiry !== undefined
  const value = isClaimed ? claims.session_expiry : await sessionEnd?.({ claims, tokenResponse })
  if (value === undefined) return undefined
  const end = readEnd(value, now, Number.POSITIVE_INFINITY)
  if (typeof end === 'object') {
    if (isClaimed) throw saysNonsense(`the session_expiry claim ${end.problem}`)
    throw new ConfigurationError('oidcSignIn', [`sessionEnd: its value ${end.problem}`])
  }
  if (end <= now)
    throw providerFault(
      'the identity provider says that the session is over',
      'the session at the provider ended before the sign-in did: are the clocks right?',
    )
  return end
}

const saysNonsense = (reason: string) =>
  providerFault('the identity provider did not answer as it must', reason)

const isListOfTexts = (value: unknown) =>
  Array.isArray(value) && value.every((one) => typeof one === 'string')
