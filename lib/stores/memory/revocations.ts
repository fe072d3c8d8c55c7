import type { Clock } from '../../protocol/time.ts'
import type { RevocationEntry, RevocationStore } from '../ports.ts'

/** The revocation log in memory: entries by revision, trimmed once they no longer matter. */
export function memoryRevocations(clock: Clock): RevocationStore {
  let revision = 0
  let entries: { revision: number; entry: RevocationEntry }[] = []
  let trimAt = 1024
  const listeners = new Set<() => void>()
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
      // Revisions ascend, so what is newer stands at the end.
      let first = entries.length
      while (first > 0 && (entries[first - 1]?.revision ?? 0) > known) first--
      const news = entries.slice(first).map((item) => item.entry)
      return { revision, entries: news.filter((entry) => now < entry.until) }
    },
    subscribe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}
