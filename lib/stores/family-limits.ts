import type { NumericDate } from '../protocol/time.ts'
import type { FamilyLimits, FamilyView, Grant, RefreshPolicy } from './grant-store.ts'

/** When the session ends that bounds a grant; `undefined` where none does, or where its end is not known. */
export function sessionEndOf({ idpSession }: Grant, policy: RefreshPolicy): NumericDate | undefined {
  return policy.idpSession === undefined ? undefined : idpSession?.expiresAt
}

/** A grant that is to be bound to a session whose end nobody knows gets no refresh token. */
export function isWithheld({ idpSession }: Grant, policy: RefreshPolicy): boolean {
  return policy.idpSession?.whenEndUnknown === 'no-refresh-token' && idpSession?.expiresAt === undefined
}

/**
 * keep, rotate: from the period's start; rotate-and-reset moves that start. Bound to a session: exactly its end, whatever the
 * lifetime. Never past the cap.
 */
export function limitsOf(
  { grant, openedAt, periodStart }: Pick<FamilyView, 'grant' | 'openedAt' | 'periodStart'>,
  policy: RefreshPolicy,
  now: NumericDate,
): FamilyLimits {
  const cap = policy.absoluteLifetime === undefined ? undefined : openedAt + policy.absoluteLifetime
  const sessionEnd = sessionEndOf(grant, policy)
  const bound = earliest(cap, sessionEnd)
  const own = sessionEnd === undefined ? periodStart + policy.lifetime : undefined
  const expiresAt = isWithheld(grant, policy) ? openedAt : (earliest(own, bound) ?? openedAt)
  return { openedAt, expiresAt, bound, now }
}

/** When the store may forget a family: one whose session may have been prolonged meanwhile is kept for longer than it lives. */
export function forgottenAt(
  grant: Grant,
  policy: RefreshPolicy,
  { expiresAt, now }: FamilyLimits,
): NumericDate {
  return policy.idpSession === undefined || grant.idpSession === undefined
    ? expiresAt
    : Math.max(expiresAt, now + policy.idpSession.keptFor)
}

/** Over at its expiry, and as soon as less than a second is left for an access token (`expires_in` is never 0). */
export function isOver({ now, expiresAt, bound }: FamilyLimits): boolean {
  return now >= expiresAt || (bound !== undefined && bound - now < 1)
}

/** A grant with another end of its session. */
export function withEnd(grant: Grant, sessionEnd: NumericDate | undefined): Grant {
  return grant.idpSession === undefined || sessionEnd === undefined
    ? grant
    : { ...grant, idpSession: { ...grant.idpSession, expiresAt: sessionEnd } }
}

function earliest(a: NumericDate | undefined, b: NumericDate | undefined): NumericDate | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)
}
