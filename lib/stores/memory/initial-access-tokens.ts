import type { Clock } from '../../protocol/time.ts'
import {
  type InitialAccessToken,
  type InitialAccessTokenStore,
  MAX_INITIAL_ACCESS_TOKENS,
  readTokenPage,
  tokenCursor,
} from '../initial-access-token-store.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Seconds in which a taking can be given back. */
const TAKING = 60

/** Initial access tokens in memory, until their end. */
export function memoryInitialAccessTokens(clock: Clock, maxEntries: number): InitialAccessTokenStore {
  const tokens = new ExpiringMap<{ readonly token: InitialAccessToken; used: number }>(
    clock,
    Math.min(maxEntries, MAX_INITIAL_ACCESS_TOKENS),
  )
  const takings = new ExpiringMap<true>(clock, maxEntries)

  return {
    async create(token) {
      return tokens.set(token.id, { token, used: 0 }, token.expiresAt, 'refuse') ? 'created' : 'full'
    },
    async read(id) {
      const entry = tokens.get(id)
      return entry && { ...entry.token, used: entry.used }
    },
    async take(id, taking) {
      const entry = tokens.get(id)
      if (entry === undefined) return 'unknown'
      if (entry.used >= entry.token.uses) return 'spent'
      entry.used++
      takings.set(`${id} ${taking}`, true, clock() + TAKING)
      return 'taken'
    },
    async giveBack(id, taking) {
      const entry = tokens.get(id)
      if (entry === undefined || takings.get(`${id} ${taking}`) === undefined) return 'unknown'
      takings.delete(`${id} ${taking}`)
      entry.used--
      return 'returned'
    },
    async revoke(id) {
      return tokens.get(id) !== undefined && tokens.delete(id) ? 'revoked' : 'unknown'
    },
    async list(page) {
      const { size, after } = readTokenPage(page)
      const all = [...tokens.values()]
        .map(({ token, used }) => ({ ...token, used }))
        .filter(
          ({ expiresAt, id }) =>
            after === undefined || expiresAt > after.at || (expiresAt === after.at && id > after.id),
        )
        .sort((a, b) => a.expiresAt - b.expiresAt || (a.id < b.id ? -1 : 1))
      const found = all.slice(0, size)
      const last = found.at(-1)
      return { tokens: found, cursor: last && all.length > size ? tokenCursor(last) : undefined }
    },
  }
}
