import { ConfigurationError } from '../protocol/options.ts'
import type { AatClaims } from '../tokens/access-token.ts'
import type { Verified } from '../tokens/verified.ts'
import type { Auth } from './auth.ts'
import { isClientsOwn } from './refusals.ts'

/**
 * A good token as the app's handlers see it.
 * @returns `undefined` where the app's `readClaims` refuses the token by throwing
 * @throws ConfigurationError where `readClaims` is asynchronous: the app's fault
 */
export function authOf<Claims>(
  { token, claims, scopes }: Verified,
  resource: string,
  readClaims: ((claims: Readonly<AatClaims> & Record<string, unknown>) => Claims) | undefined,
): Auth<Claims> | undefined {
  let custom: object | undefined
  try {
    custom = readClaims?.(claims) as object | undefined
  } catch {
    return undefined
  }
  if (isPromise(custom)) {
    custom.catch(() => undefined)
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
  return Object.freeze({
    token,
    clientId: claims.client_id,
    scopes,
    expiresAt: claims.exp,
    // A URL can be changed: each who asks gets his own.
    get resource() {
      return new URL(resource)
    },
    subject,
    principal,
    claims: all,
    extra: Object.freeze({ subject, principal, claims: all }),
  })
}

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise
}
