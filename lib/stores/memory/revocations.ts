import type { Clock } from '../../protocol/time.ts'
import { BEGINNING, type Place, type RevocationEntry, type RevocationStore } from '../ports.ts'

/** The most entries of one answer. */
const PAGE = 1000

/** The revocation log in memory: entries by revision, trimmed once they no longer matter. */
export function memoryRevocations(clock: Clock): RevocationStore {
  let revision = 0
  let entries: { revision: number; entry: RevocationEntry }[] = []
  let trimAt = 1024
  const listeners = new Set<() => void>()
  const placeAt = (at: number): Place => (at === 0 ? BEGINNING : { revision: at, tip: String(at) })
  return {
    async append(entry) {
      if (entries.length >= trimAt) {
        const now = clock()
        entries = entries.filter((item) => now < item.entry.until)
        trimAt = Math.max(1024, entries.length * 2)
      }
      entries.push({ revision: ++revision, entry })
      for (const listener of listeners) listener()
      return revision
    },
    async since(known) {
      const now = clock()
      const proven = known.revision <= revision && known.tip === placeAt(known.revision).tip
      // Revisions ascend, so what is newer stands at the end.
      let first = entries.length
      while (first > 0 && (!proven || (entries[first - 1]?.revision ?? 0) > known.revision)) first--
      const news = entries.slice(first).filter((item) => now < item.entry.until)
      const page = news.slice(0, PAGE)
      const more = news.length > PAGE
      return {
        place: placeAt(more ? (page.at(-1)?.revision ?? 0) : revision),
        proven,
        entries: page.map((item) => item.entry),
        more,
      }
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
