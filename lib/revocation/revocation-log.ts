import type { Emit } from '../protocol/events.ts'
import { type IdpSessionId, idpSessionKey } from '../protocol/idp-session.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import {
  BEGINNING,
  type Grant,
  type Place,
  type RefreshPolicy,
  type RevocationEntry,
  type RevocationStore,
} from '../stores/ports.ts'
import { createFreshness } from './freshness.ts'
import { createKnownRevocations, revocableGrant } from './known-revocations.ts'
import { createOwnEntries } from './own-entries.ts'
import { entryOf, isEpoch, type Lives, type RevocationDetail } from './revocation-entry.ts'

export interface RevocationLogOptions {
  readonly store: RevocationStore
  readonly clock: Clock
  /** Seconds that only go forward; a step of the machine's clock is not staleness. */
  readonly monotonic: Clock
  readonly emit: Emit
  /** Ends a family that the store brought back to life. */
  readonly endFamily: (grantId: string) => Promise<unknown>
  readonly lives: Lives
  /** S: seconds without a successful read after which what is known here is stale. */
  readonly staleAfter: number
}

/** Entries that are written again at once. */
const BATCH = 100

/**
 * The revocation log: all revocations that still matter, in memory, so that the guard asks nobody; shared through the
 * store, which every instance reads each second and whenever it is told to.
 */
export function createRevocationLog({
  store,
  clock,
  monotonic,
  emit,
  endFamily,
  lives,
  staleAfter,
}: RevocationLogOptions) {
  const known = createKnownRevocations(clock)
  const own = createOwnEntries(endFamily)
  const learners = new Set<(entry: RevocationEntry) => void>()
  const lost: RevocationEntry[] = []
  let place: Place = BEGINNING
  let reading: Promise<void> | undefined
  let queued: Promise<void> | undefined
  const freshness = createFreshness(monotonic, staleAfter, pull)

  function learn(entry: RevocationEntry): void {
    if (entry.kind !== 'client-record') known.learn(entry)
    for (const learner of learners) learner(entry)
  }

  function learnRead(entry: RevocationEntry): void {
    own.seen(entry)
    learn(entry)
  }

  async function read(): Promise<void> {
    const due = own.acknowledged()
    for (let isMore = true; isMore; ) {
      const began = monotonic()
      const news = await store.since(place)
      if (!news.proven) await repair(news.place)
      else {
        news.entries.forEach(learnRead)
        place = news.place
      }
      isMore = news.proven && news.more
      if (!isMore) freshness.succeeded(began)
    }
    lose(due.filter(own.isUnread), place)
    await writeAgain()
    void own.endDue(monotonic())
  }

  /** @param found where the store stands that has lost these */
  function lose(entries: readonly RevocationEntry[], found: Place): void {
    lost.push(...entries)
    if (entries.length > 0 || found.revision < place.revision)
      emit('revocation.rolled_back', { from: place.revision, to: found.revision, added: entries.length })
  }

  /** What the store has lost; what cannot be written now is written after the next read. Knowing comes before writing. */
  async function writeAgain(): Promise<void> {
    while (lost.length > 0) {
      const batch = lost.slice(0, BATCH)
      await Promise.all(batch.map((entry) => store.append(entry)))
      lost.splice(0, batch.length)
      for (const entry of batch) {
        own.settle(entry)
        // What lost the entry may have lost the end of the family as well.
        if (entry.kind === 'grant') own.end(entry.id, monotonic())
      }
    }
  }

  /**
   * The store's history is not the one that was read here: it lost acknowledged entries (a failover, a restored backup,
   * FLUSHALL), or just trimmed what led here. What is known and missing there is written again.
   */
  async function repair(found: Place): Promise<void> {
    const stored = createKnownRevocations(clock)
    const acknowledged = own.acknowledged()
    let from = BEGINNING
    for (let isMore = true; isMore; ) {
      const news = await store.since(from)
      for (const entry of news.entries) {
        learnRead(entry)
        stored.learn(entry)
      }
      from = news.place
      isMore = news.more
    }
    lose(known.notIn(stored), found)
    acknowledged.forEach(own.settle)
    place = from
  }

  function readOnce(): Promise<void> {
    reading = read()
      .catch((error: unknown) => {
        freshness.failed(error)
        throw error
      })
      .finally(() => {
        reading = undefined
      })
    return reading
  }

  /** A read that begins after the call: the one under way may have passed what there is to see. Calls share it. */
  function pull(): Promise<void> {
    if (reading === undefined) return readOnce()
    queued ??= reading
      .catch(() => undefined)
      .then(() => {
        queued = undefined
        return readOnce()
      })
    return queued
  }

  const unsubscribe = store.subscribe(() => void pull().catch(() => undefined))

  return {
    /**
     * Revokes: effective in this process when the promise is fulfilled, and everywhere within the revocation bound.
     * An epoch ends what was issued or granted up to `notAfter` (default now); of a session it is said when it ends.
     * @param by who or what asked, for the event
     * @throws StoreUnavailable where the log could not be written
     */
    async revoke(
      kind: RevocationEntry['kind'],
      id: string,
      by: string,
      detail: RevocationDetail = {},
    ): Promise<void> {
      // Said before, and once is enough: nothing new is issued under these, and a client could say it for ever.
      const isDated = isEpoch(kind) || kind === 'session'
      if (known.saysEnough(kind, id, detail.atMost)) return
      const now = clock()
      // Instances' clocks differ: "all until now" is said by the one clock that no grant is ahead of.
      const storeNow = (isDated && (await store.now?.())) || now
      const entry = entryOf(kind, id, detail, lives, now, Math.max(storeNow, known.saidAfter(kind, id)))
      await own.track(entry, () => store.append(entry))
      learn(entry)
      if (kind === 'grant') own.ended(id, monotonic())
      if (kind !== 'client-record') emit('revocation.recorded', { kind, id, by })
    },

    /** Is anything about this, a token, or a grant's families and codes revoked, as far as is known here? Memory only. */
    covers: known.covers,

    isRevoked: known.isRevoked,
    coversGrant: (grant: Grant, policy: Pick<RefreshPolicy, 'idpSession'>): boolean =>
      known.covers(revocableGrant(grant, policy)),

    hasMovedSessions: known.hasMovedSessions,
    /** Was this session at an identity provider ended, by itself or with all of its user, since it began? */
    coversSession: (keys: { session?: string; idpSubject?: string }, began: NumericDate): boolean =>
      known.sessionEnd(keys.session ?? '') === 0 || known.coversIdpSubject(keys.idpSubject, began),

    /** When this session at an identity provider ends, where that was said after it began; 0 where it was ended. */
    sessionEnd: (session: IdpSessionId): NumericDate | undefined => known.sessionEnd(idpSessionKey(session)),

    /** What is revoked and still matters, in pages. */
    list: known.list,
    hasLimits: known.hasLimits,
    limitOf: known.limitOf,
    pull,
    age: freshness.age,
    isFresh: freshness.isFresh,
    fresh: freshness.fresh,
    freshOrCounted: freshness.freshOrCounted,
    acceptedStale: freshness.acceptedStale,

    /** Tells of each entry that is learnt, from here or from elsewhere. */
    onLearn(learner: (entry: RevocationEntry) => void): void {
      learners.add(learner)
    },

    close: unsubscribe,
  }
}

export type RevocationLog = ReturnType<typeof createRevocationLog>
