import type { NumericDate } from '../protocol/time.ts'

export type RevokedKind =
  | 'jti'
  | 'grant'
  | 'client'
  | 'subject'
  | 'all'
  | 'kid'
  | 'session'
  | 'idp-subject'
  | 'uses'

/**
 * `client`, `subject`, `idp-subject` and `all` end what was granted or issued up to `notAfter`, whatever its number (an epoch);
 * `session` says when a session at an identity provider ends, `uses` how often one token may be used; `client-record` revokes
 * nothing and says that what is remembered of a client is over; the others name one thing.
 */
export interface RevocationEntry {
  readonly kind: RevokedKind | 'client-record'
  readonly id: string
  /** For an epoch: what was granted or issued at or before this moment is revoked. */
  readonly notAfter?: NumericDate
  /** For a session: when it ends; 0 where it was ended, which nothing takes back. */
  readonly endsAt?: NumericDate
  /** When that was said: of several ends of one session the one that was said last holds. */
  readonly saidAt?: NumericDate
  /** For `uses`: how often the token may be used, by all instances together. */
  readonly atMost?: number
  /** The entry matters until then: no token that it covers lives longer. */
  readonly until: NumericDate
}

/** A place in a history: its revision, and what tells it from the same revision of another history (a restored backup's). */
export interface Place {
  /** 0: nothing was written yet. */
  readonly revision: number
  readonly tip: string
}

/** Where every history begins. */
export const BEGINNING: Place = { revision: 0, tip: '' }

export interface RevocationNews {
  /** The place that the entries lead to. */
  readonly place: Place
  /** The known place is one of this history. Where not, the entries are all there are, from the beginning. */
  readonly proven: boolean
  /** Newer than the known place and still mattering, oldest first; at most 1,000. */
  readonly entries: readonly RevocationEntry[]
  /** There are more: ask again from the new place. */
  readonly more: boolean
}

export interface RevocationStore {
  /** Adds an entry and returns the log's new revision. */
  append(entry: RevocationEntry): Promise<number>
  since(known: Place): Promise<RevocationNews>
  /** The time by the clock that dates grants at the latest, where that is not this process's. */
  now?(): Promise<NumericDate>
  /** A hint that there is something newer; returns a function that ends it. */
  subscribe(listener: () => void): () => void
}
