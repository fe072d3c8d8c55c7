import type { DocumentStore, KeptDocument } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'
import { redisValues } from './values.ts'

const saveDocument = script('save-document')

/** Fetched documents in Redis, until their end. Absent: to be fetched. */
export function redisDocuments(runner: Runner, keys: Keys): DocumentStore {
  const values = redisValues(runner)
  return {
    async save(url, document, expiresAt) {
      const { outcome } = await runner.run(
        saveDocument,
        [keys.document(url)],
        [JSON.stringify(document), toMilliseconds(document.fetchedAt), toMilliseconds(expiresAt)],
      )
      return outcome as 'saved' | 'older'
    },
    delete: (url) => values.delete(keys.document(url)),
    async read(url) {
      const text = await values.read(keys.document(url))
      return text === undefined ? undefined : (JSON.parse(text.slice(text.indexOf(' ') + 1)) as KeptDocument)
    },
  }
}
