import type { Clock } from '../../protocol/time.ts'
import type { DocumentStore, KeptDocument } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Fetched documents in memory. Over the bound the oldest makes room: it can be fetched again. */
export function memoryDocuments(clock: Clock, maxEntries: number): DocumentStore {
  const documents = new ExpiringMap<KeptDocument>(clock, maxEntries)
  return {
    async save(url, document, expiresAt) {
      if ((documents.get(url)?.fetchedAt ?? 0) > document.fetchedAt) return 'older'
      documents.set(url, document, expiresAt)
      return 'saved'
    },
    async delete(url) {
      documents.delete(url)
    },
    async read(url) {
      return documents.get(url)
    },
  }
}
