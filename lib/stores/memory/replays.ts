import { StoreUnavailable } from '../../protocol/oauth-error.ts'
import type { Clock } from '../../protocol/time.ts'
import type { ReplayStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Claimed assertion ids in memory. Forgetting one would let it in again, so a full store refuses. */
export function memoryReplays(clock: Clock, maxEntries: number): ReplayStore {
  const claimed = new ExpiringMap<true>(clock, maxEntries)
  return {
    async claim(key, expiresAt) {
      if (claimed.get(key) !== undefined) return 'seen'
      if (!claimed.set(key, true, expiresAt, 'refuse'))
        throw new StoreUnavailable('the in-memory replay store is full')
      return 'fresh'
    },
  }
}
