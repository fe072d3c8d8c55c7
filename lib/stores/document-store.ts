import type { Sha256 } from '../protocol/digest.ts'
import type { NumericDate } from '../protocol/time.ts'

/** A document of a stranger's as it was fetched, cut down to what is used of it. */
export interface KeptDocument {
  readonly body: Readonly<Record<string, unknown>>
  readonly fetchedAt: NumericDate
  /** Used without asking again while now < freshUntil; after that while nothing else can be had. */
  readonly freshUntil: NumericDate
}

/** Documents that somebody relies on, so that instances need not fetch each for itself, and are not lost with their host. */
export interface DocumentStore {
  /** Keeps a document until the given time; one that was fetched before the one that is there changes nothing. */
  save(url: Sha256, document: KeptDocument, expiresAt: NumericDate): Promise<'saved' | 'older'>
  read(url: Sha256): Promise<KeptDocument | undefined>
  delete(url: Sha256): Promise<void>
}
