import { jsonSize } from '../protocol/encoding.ts'
import type { Clock } from '../protocol/time.ts'
import type { KeptDocument } from '../stores/ports.ts'
import { createBoundedCache } from './bounded-cache.ts'
import type { FetchFailure } from './fetch-failure.ts'

/** A document, with what it comes to. */
export interface KnownDocument<T> {
  readonly document: KeptDocument
  readonly value: T
  /** Somebody relies on it, so the store has it too. */
  readonly isKept: boolean
}

const MIB = 1024 * 1024

/** What this process remembers of documents. Those that nobody relies on cannot displace those that somebody does. */
export function createDocumentMemory<T>(clock: Clock) {
  const kept = createBoundedCache<KnownDocument<T>>({ maxEntries: 10_000, maxWeight: 32 * MIB })
  const others = createBoundedCache<KnownDocument<T>>({ maxEntries: 1000, maxWeight: 8 * MIB })
  const failures = createBoundedCache<{ failure: FetchFailure; until: number }>({
    maxEntries: 10_000,
    maxWeight: Infinity,
  })

  function drop(url: string): void {
    kept.delete(url)
    others.delete(url)
  }

  return {
    get: (url: string): KnownDocument<T> | undefined => kept.get(url) ?? others.get(url),
    remember(url: string, known: KnownDocument<T>): void {
      drop(url)
      const cache = known.isKept ? kept : others
      cache.set(url, known, jsonSize(known.document.body))
    },
    drop,

    /** A failure of a moment ago, which stands for the next attempt. */
    recentFailure(url: string): FetchFailure | undefined {
      const past = failures.get(url)
      return past !== undefined && clock() < past.until ? past.failure : undefined
    },
    /** @param pause seconds */
    rememberFailure: (url: string, failure: FetchFailure, pause: number): void =>
      failures.set(url, { failure, until: clock() + pause }),
    forgetFailure: failures.delete,
    size: () => kept.size + others.size,
  }
}
