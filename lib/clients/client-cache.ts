import type { Clock } from '../protocol/time.ts'

/** Seconds for which what was read is used without asking the store. */
const FRESH = 60
/** The most entries that are remembered here. */
const MAX_REMEMBERED = 10_000

/**
 * Remembers what is known of clients for a minute, for longer while the store cannot answer, until it is told to forget. Reads
 * of one id at once are one.
 */
export function createClientCache<V>(read: (id: string) => Promise<V | undefined>, monotonic: Clock) {
  const remembered = new Map<string, { readonly value: V; readonly readAt: number }>()
  const reading = new Map<string, Promise<V | undefined>>()

  function remember(id: string, value: V): void {
    remembered.delete(id)
    const oldest = remembered.size < MAX_REMEMBERED ? undefined : remembered.keys().next().value
    if (oldest !== undefined) remembered.delete(oldest)
    remembered.set(id, { value, readAt: monotonic() })
  }

  function readOnce(id: string): Promise<V | undefined> {
    const underWay = reading.get(id)
    if (underWay !== undefined) return underWay
    const promise = read(id)
      .then((value) => {
        if (reading.get(id) !== promise) return value
        if (value === undefined) remembered.delete(id)
        else remember(id, value)
        return value
      })
      .finally(() => {
        if (reading.get(id) === promise) reading.delete(id)
      })
    reading.set(id, promise)
    return promise
  }

  return {
    async find(id: string): Promise<V | undefined> {
      const known = remembered.get(id)
      if (known === undefined) return readOnce(id)
      if (monotonic() - known.readAt < FRESH) return known.value
      // What the store cannot say now it said before, and what ended since the revocation log would have told.
      return readOnce(id).catch((error: unknown) => {
        const still = remembered.get(id)
        if (still === undefined) throw error
        return still.value
      })
    },

    /** Puts another value in the place of the one that is remembered, if it still is. */
    exchange(id: string, value: V, next: V): void {
      if (remembered.get(id)?.value === value) remember(id, next)
    },

    forget(id: string): void {
      remembered.delete(id)
      // A read that is on its way may bring what was there before.
      reading.delete(id)
    },
  }
}
