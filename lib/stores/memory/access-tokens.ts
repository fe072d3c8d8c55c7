import { StoreUnavailable } from '../../protocol/oauth-error.ts'
import type { Clock } from '../../protocol/time.ts'
import type { AccessTokenStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/**
 * Opaque access tokens and uses in memory. Over the bound the oldest token is forgotten, and its client fetches another;
 * forgetting uses would allow them again, so where they are full nothing limited is let through.
 */
export function memoryAccessTokens(clock: Clock, maxEntries: number): AccessTokenStore {
  const tokens = new ExpiringMap<string>(clock, maxEntries)
  const counts = new ExpiringMap<number>(clock, maxEntries)
  return {
    async save({ hash }, claims, expiresAt) {
      tokens.set(hash, claims, expiresAt)
    },
    async read({ hash }) {
      return tokens.get(hash)
    },
    async delete({ hash }) {
      tokens.delete(hash)
    },
    async use(key, atMost, until) {
      const count = counts.get(key) ?? 0
      if (count >= atMost || clock() >= until) return 'exhausted'
      if (!counts.set(key, count + 1, until, 'refuse'))
        throw new StoreUnavailable('the in-memory store of limited tokens is full')
      return 'used'
    },
    async uses(key) {
      return counts.get(key) ?? 0
    },
  }
}
