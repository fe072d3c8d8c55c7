import { MemoryStore, type Options, type Store } from 'express-rate-limit'
import { sha256 } from '../protocol/digest.ts'
import { inTime, silence } from '../protocol/hooks.ts'
import { type Clock, systemClock } from '../protocol/time.ts'
import type { CounterStore } from '../stores/ports.ts'

/** Seconds that a store may take: some keep what they are asked until their server is back. */
const PATIENCE = 1

/** A store of rate limits over the counters that all instances share. What it counts is not taken back. */
export function sharedStore(counters: CounterStore, windowSeconds: number, clock: Clock): Store {
  return {
    async increment(key) {
      const { count, resetsAt } = await counters.count(sha256(key), windowSeconds)
      // The limiter compares with the machine's time; what is left of the window is what counts.
      return { totalHits: count, resetTime: new Date((systemClock() + resetsAt - clock()) * 1000) }
    },
    decrement: () => undefined,
    resetKey: () => undefined,
  }
}

/**
 * Counts in this process while a store cannot be reached: a limit is never lifted, and a request never fails for it.
 * @param name of the limit: several may have the store, and none counts for another
 */
export function withLocalFallback(name: string, store: Store): Store {
  const local = new MemoryStore()
  const named = (key: string) => `${name} ${key}`
  return {
    init(options: Options) {
      silence(store.init?.(options))
      local.init(options)
    },
    async increment(key) {
      try {
        return await inTime(store.increment(named(key)), PATIENCE, 'the store')
      } catch {
        return local.increment(key)
      }
    },
    async decrement(key) {
      await Promise.all([local.decrement(key), askStore(() => store.decrement(named(key)))])
    },
    async resetKey(key) {
      await Promise.all([local.resetKey(key), askStore(() => store.resetKey(named(key)))])
    },
  }
}

/** @returns `undefined` where it fails, or takes too long: what is counted wrongly then is forgotten when its window ends */
export async function askStore<Answer>(run: () => Answer): Promise<Awaited<Answer> | undefined> {
  try {
    return await inTime(run(), PATIENCE, 'the store')
  } catch {
    return undefined
  }
}
