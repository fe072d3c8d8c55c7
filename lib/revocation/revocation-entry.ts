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

/** Of two entries about one thing: what both say. Any order, and any number of times, comes to the same. */
export function merge(a: RevocationEntry, b: RevocationEntry | undefined): RevocationEntry {
  if (b === undefined) return a
  const until = Math.max(a.until, b.until)
  if (a.kind === 'session') return { ...(isLaterWord(a, b) ? a : b), until }
  if (a.kind === 'uses') return { ...a, until, atMost: Math.min(a.atMost ?? 0, b.atMost ?? 0) }
  return {
    ...a,
    until,
    ...(a.notAfter !== undefined && { notAfter: Math.max(a.notAfter, b.notAfter ?? 0) }),
  }
}

/** A session that was ended stays so, whatever was said later. */
function isLaterWord(a: RevocationEntry, b: RevocationEntry): boolean {
  const [first, second] = [a.endsAt ?? 0, b.endsAt ?? 0]
  if ((first === 0) !== (second === 0)) return first === 0
  const later = (a.saidAt ?? 0) - (b.saidAt ?? 0)
  // Two words of one moment: the same on every instance, whichever it heard first.
  return later > 0 || (later === 0 && first <= second)
}

/** Does the first say all that the second says? */
export function saysAll(first: RevocationEntry | undefined, second: RevocationEntry): boolean {
  if (first === undefined || first.until < second.until) return false
  if (second.kind === 'uses') return (first.atMost ?? 0) <= (second.atMost ?? 0)
  return second.kind === 'session'
    ? isLaterWord(first, second)
    : (first.notAfter ?? 0) >= (second.notAfter ?? 0)
}
