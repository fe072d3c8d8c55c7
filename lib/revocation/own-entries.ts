import type { RevocationEntry } from '../stores/ports.ts'
import { saysAll } from './revocation-entry.ts'

/** Seconds after which a family that was ended is ended once more: longer than a cluster takes to promote a replica. */
const SECOND_END = 60
/** Seconds between attempts while the store cannot. */
const RETRY = 5

/**
 * What this instance revoked, until it is proven to have stayed. A failover loses the newest writes, and of these the
 * history that is known here says nothing yet: nothing was read since. In a cluster it may also be the family's shard
 * alone that lost its end, of which the log tells nothing at all.
 * @param endFamily ends a family in the store, also one that ended before
 */
export function createOwnEntries(endFamily: (grantId: string) => Promise<unknown>) {
  /** Entries that were not read back, by what they are about, and whether the store has acknowledged them. */
  const unread = new Map<string, { readonly entry: RevocationEntry; readonly isThere: boolean }>()
  let toEnd: { readonly grantId: string; readonly at: number }[] = []

  const keyOf = ({ kind, id }: RevocationEntry) => `${kind}:${id}`
  const isUnread = (entry: RevocationEntry) => unread.get(keyOf(entry))?.entry === entry

  function settle(entry: RevocationEntry): void {
    if (isUnread(entry)) unread.delete(keyOf(entry))
  }

  return {
    /** Runs an append, so that the read that begins after it must bring the entry. */
    async track(entry: RevocationEntry, append: () => Promise<unknown>): Promise<void> {
      unread.set(keyOf(entry), { entry, isThere: false })
      try {
        await append()
      } catch (error) {
        settle(entry)
        throw error
      }
      // A read that was on its way may have brought it before the answer came.
      if (isUnread(entry)) unread.set(keyOf(entry), { entry, isThere: true })
    },

    /** The store has this entry. */
    seen(entry: RevocationEntry): void {
      const own = unread.get(keyOf(entry))?.entry
      if (own !== undefined && saysAll(entry, own)) unread.delete(keyOf(entry))
    },

    /** What the next read has to bring. */
    acknowledged: (): RevocationEntry[] =>
      [...unread.values()].filter(({ isThere }) => isThere).map(({ entry }) => entry),

    isUnread,

    /** It was written again; once is enough, whatever the store's clock makes of it. */
    settle,

    /** A family was ended, and will be once more. */
    ended(grantId: string, now: number): void {
      toEnd.push({ grantId, at: now + SECOND_END })
    },

    /** A family is to be ended with the next `endDue`. */
    end(grantId: string, now: number): void {
      toEnd.push({ grantId, at: now })
    },

    /** Ends what is due. Nobody waits for it: a shard of families that is away must not keep the log from being read. */
    async endDue(now: number): Promise<void> {
      const due = toEnd.filter(({ at }) => now >= at)
      if (due.length === 0) return
      toEnd = toEnd.filter(({ at }) => now < at)
      for (const { grantId } of due)
        await endFamily(grantId).catch(() => toEnd.push({ grantId, at: now + RETRY }))
    },
  }
}
