import type { NumericDate } from '../protocol/time.ts'
import type { RevocationEntry } from '../stores/ports.ts'

/** A minute over the longest life, for what was being signed at this moment and for clocks that differ. */
const MARGIN = 60
/** Seconds that an epoch is kept at the least: families of before may live longer by another instance's settings, or next week's. */
const EPOCH_LIFE = 90 * 86_400

/** Seconds for which it is told that a client's record changed: longer than anybody remembers one without asking. */
const RECORD_NEWS = 300

/** Seconds that what revocations are about lives. */
export interface Lives {
  /** The longest that an access token or a code lives. */
  readonly longestToken: number
  /** The longest that a refresh token lives unless it is used. */
  readonly longestRefresh: number
  /** The longest that a session at an identity provider is believed in. */
  readonly longestIdpSession: number
}

export interface RevocationDetail {
  readonly until?: NumericDate
  /** Of an epoch; default now. */
  readonly notAfter?: NumericDate | 'ever'
  /** Of an epoch: seconds that it is ahead of now. */
  readonly ahead?: number
  /** Of a session; default 0: it has ended. */
  readonly endsAt?: NumericDate
  /** Of a token whose uses are limited. */
  readonly atMost?: number
}

export const isEpoch = (kind: RevocationEntry['kind']): boolean =>
  kind === 'client' || kind === 'subject' || kind === 'idp-subject' || kind === 'all'

/** What the log keeps, for as long as anything lives that it is about. */
export function entryOf(
  kind: RevocationEntry['kind'],
  id: string,
  { until = 0, notAfter, ahead = 0, endsAt = 0, atMost }: RevocationDetail,
  lives: Lives,
  now: NumericDate,
  storeNow: NumericDate,
): RevocationEntry {
  const { longestToken, longestRefresh, longestIdpSession } = lives
  const life = isEpoch(kind)
    ? Math.max(EPOCH_LIFE, longestToken, longestRefresh, longestIdpSession)
    : kind === 'session'
      ? // Also what lives by its own lifetime, where nobody said when the session ends.
        Math.max(longestToken, longestRefresh, longestIdpSession)
      : kind === 'client-record'
        ? RECORD_NEWS
        : longestToken
  const end = Math.max(until, now + life) + MARGIN
  return {
    kind,
    id,
    until: end,
    ...(isEpoch(kind) && { notAfter: notAfter === 'ever' ? end : (notAfter ?? storeNow + ahead) }),
    ...(kind === 'session' && { endsAt, saidAt: storeNow }),
    ...(kind === 'uses' && { atMost: atMost ?? 0 }),
  }
}
