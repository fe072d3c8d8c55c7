import { isLoopbackUri } from '../protocol/redirect-uri.ts'
import { coversScope } from '../protocol/scope.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Client, Consent, PendingRequest } from '../stores/ports.ts'
import { consentNameOf } from './remembered-consent.ts'
import type { SignedInUser } from './user.ts'

export type NextStep =
  | { readonly step: 'sign-in'; readonly error: 'login_required' | 'unmet_authentication_requirements' }
  | { readonly step: 'consent' }
  | { readonly step: 'code'; readonly by: 'remembered' | 'first-party' }

/**
 * What an authorization request needs next. A function of what is known, so that the first look and the look after
 * the user came back from signing in decide alike.
 * @param returned the user came back from the sign-in that this request asked for
 */
export function nextStep(
  request: Omit<PendingRequest, 'browser'>,
  client: Client,
  user: SignedInUser | undefined,
  consent: Consent | undefined,
  now: NumericDate,
  returned: boolean,
): NextStep {
  if (user === undefined) return { step: 'sign-in', error: 'login_required' }
  // Claimed times are whole seconds in many apps, so "since the request" means since the second that it began in.
  const sinceRequest = returned && user.authTime >= Math.floor(request.createdAt)
  if (request.prompt.includes('login') && !sinceRequest) return { step: 'sign-in', error: 'login_required' }
  if (request.prompt.includes('select_account') && !returned)
    return { step: 'sign-in', error: 'login_required' }
  if (request.maxAge !== undefined && now - user.authTime > request.maxAge && !sinceRequest)
    return { step: 'sign-in', error: 'login_required' }
  if (request.acrValues.length > 0 && !request.acrValues.includes(user.acr ?? ''))
    return { step: 'sign-in', error: 'unmet_authentication_requirements' }

  if (request.prompt.includes('consent')) return { step: 'consent' }
  if (!isIdentified(client, request.redirectUri)) return { step: 'consent' }
  if (client.firstParty) return { step: 'code', by: 'first-party' }
  const isCovered = request.resources.every((resource) =>
    coversScope(consent?.get(consentNameOf(client, request.redirectUri, resource)) ?? [], request.scope),
  )
  return isCovered ? { step: 'code', by: 'remembered' } : { step: 'consent' }
}

/**
 * Another program on the same device can take a loopback address or a private-use scheme, so a public client there is
 * asked about each time (RFC 8252 §8.6).
 */
function isIdentified(client: Client, redirectUri: string): boolean {
  return (
    client.authenticationMethod !== 'none' ||
    (redirectUri.startsWith('https:') && !isLoopbackUri(redirectUri))
  )
}
