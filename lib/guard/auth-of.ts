import { ConfigurationError } from '../protocol/options.ts'
import { type AatClaims, CLIENT_SUBJECT_PREFIX } from '../tokens/access-token.ts'
import type { Auth } from './auth.ts'

/**
 * A good token as the app's handlers see it.
 * @returns `undefined` where the app's `readClaims` refuses the token by throwing
 * @throws ConfigurationError where `readClaims` is asynchronous: the app's fault
 */
export function authOf<Claims>(
  token: string,
  claims: AatClaims & Record<string, unknown>,
  resource: string,
  readClaims: ((claims: Readonly<AatClaims> & Record<string, unknown>) => Claims) | undefined,
): Auth<Claims> | undefined {
  deepFreeze(claims)
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
  const all = Object.freeze({ ...claims, ...custom }) as unknown as Readonly<AatClaims> & Claims
  const subject = claims.sub
  const kind = isClientsOwn(claims) ? 'client' : 'user'
  return Object.freeze({
    token,
    clientId: claims.client_id,
    scopes: Object.freeze(claims.scope === '' ? [] : claims.scope.split(' ')),
    expiresAt: claims.exp,
    resource: new URL(resource),
    subject,
    principal: kind,
    claims: all,
    extra: Object.freeze({ subject, principal: kind, claims: all }),
  })
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

function isPromise(value: unknown): value is Promise<unknown> {
  return value instanceof Promise
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}
