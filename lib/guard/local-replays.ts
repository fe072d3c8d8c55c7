import { StoreUnavailable } from '../protocol/oauth-error.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { ReplayStore } from '../stores/ports.ts'

/** Proofs that one instance remembers, some 120 bytes each: those of five minutes, which ones with nonces take, at 1,600 requests a second. */
const MOST = 500_000

/** Replays that this process alone knows of. Forgetting one would let it in again, so a full memory refuses. */
export function localReplays(clock: Clock, most = MOST): ReplayStore {
  const claimed = new Map<string, NumericDate>()
  return {
    async claim(key, expiresAt) {
      const now = clock()
      // They end in about the order in which they came.
      for (const [oldest, end] of claimed) {
        if (now < end) break
        claimed.delete(oldest)
      }
      const end = claimed.get(key)
      if (end !== undefined && now < end) return 'seen'
      claimed.delete(key)
      if (claimed.size >= most) throw new StoreUnavailable('too many DPoP proofs to remember in this process')
      claimed.set(key, expiresAt)
      return 'fresh'
    },
  }
}
