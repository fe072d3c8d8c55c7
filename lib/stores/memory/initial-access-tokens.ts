import type { Clock } from '../../protocol/time.ts'
import {
  type InitialAccessToken,
  type InitialAccessTokenStore,
  MAX_INITIAL_ACCESS_TOKENS,
} from '../initial-access-token-store.ts'
import { comparePlaces, type ListPlace, readListPage, writeCursor } from '../list-place.ts'
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
      const { size, after } = readListPage(page)
      const all = [...tokens.values()]
        .map(({ token, used }) => ({ ...token, used }))
        .filter((token) => after === undefined || comparePlaces(placeOf(token), after) > 0)
        .sort((a, b) => comparePlaces(placeOf(a), placeOf(b)))
      const found = all.slice(0, size)
      const last = found.at(-1)
      return { tokens: found, cursor: last && all.length > size ? writeCursor(placeOf(last)) : undefined }
    },
  }
}

/** Those first that end first. */
function placeOf({ expiresAt, id }: InitialAccessToken): ListPlace {
  return { at: expiresAt, id }
}
