import type { NumericDate } from '../protocol/time.ts'
import type { FamilyLimits, FamilyView, RefreshPolicy } from './grant-store.ts'

/** keep, rotate: from the period's start; rotate-and-reset moves that start. Never past the cap. */
export function limitsOf(
  family: Pick<FamilyView, 'openedAt' | 'periodStart'>,
  policy: RefreshPolicy,
  now: NumericDate,
): FamilyLimits {
  const bound = policy.absoluteLifetime === undefined ? undefined : family.openedAt + policy.absoluteLifetime
  return {
    openedAt: family.openedAt,
    expiresAt: Math.min(family.periodStart + policy.lifetime, bound ?? Number.POSITIVE_INFINITY),
    bound,
    now,
  }
}

/** Over at its expiry, and as soon as less than a second is left for an access token (`expires_in` is never 0). */
export function isOver({ now, expiresAt, bound }: FamilyLimits): boolean {
  return now >= expiresAt || (bound !== undefined && bound - now < 1)
}
