import { isThenable } from '../protocol/encoding.ts'
import { silence } from '../protocol/hooks.ts'
import { ConfigurationError } from '../protocol/options.ts'
import type { AatClaims } from '../tokens/access-token.ts'
import type { Verified } from '../tokens/verified.ts'
import type { Auth } from './auth.ts'
import { isClientsOwn } from './refusals.ts'

const RESOURCE = Symbol('resource')

/**
 * A URL can be changed, so each who asks gets his own. One function for all tokens and resources, as those that an object
 * literal has would be others for each token, and each token of another hidden class to V8.
 */
const resource: PropertyDescriptor & ThisType<{ [RESOURCE]: string }> = {
  get() {
    return new URL(this[RESOURCE])
  },
  enumerable: true,
}

/**
 * A good token as the app's handlers see it.
 * @returns `undefined` where the app's `readClaims` refuses the token by throwing
 * @throws ConfigurationError where `readClaims` is asynchronous: the app's fault
 */
export function authOf<Claims>(
  { token, claims, scopes }: Verified,
  of: string,
  readClaims: ((claims: Readonly<AatClaims> & Record<string, unknown>) => Claims) | undefined,
): Auth<Claims> | undefined {
  let custom: object | undefined
  try {
    custom = readClaims?.(claims) as object | undefined
  } catch {
    return undefined
  }
  if (isThenable(custom)) {
    silence(custom)
    throw new ConfigurationError('requireAat', [
      'readClaims must not be asynchronous: what it says would come too late',
    ])
  }
  // What the app adds may be its own data, so only the claims are frozen all the way down.
  const all = (
    readClaims === undefined ? claims : Object.freeze({ ...claims, ...custom })
  ) as Auth<Claims>['claims']
  const subject = claims.sub
  const principal = isClientsOwn(claims) ? 'client' : 'user'
  const auth: Omit<Auth<Claims>, 'resource'> = {
    token,
    clientId: claims.client_id,
    scopes,
    expiresAt: claims.exp,
    subject,
    principal,
    claims: all,
    extra: Object.freeze({ subject, principal, claims: all }),
  }
  Object.defineProperties(auth, { [RESOURCE]: { value: of }, resource })
  return Object.freeze(auth as Auth<Claims>)
}
