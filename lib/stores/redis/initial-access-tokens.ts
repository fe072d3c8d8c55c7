import { type Random, randomId } from '../../protocol/random.ts'
import {
  type InitialAccessToken,
  type InitialAccessTokenState,
  type InitialAccessTokenStore,
  MAX_INITIAL_ACCESS_TOKENS,
} from '../initial-access-token-store.ts'
import { readListPage, writeCursor } from '../list-place.ts'
import { toMilliseconds } from './family-record.ts'
import { isGrantId, type Keys } from './keys.ts'
import { leaveList, readList } from './lists.ts'
import { takePlace } from './places.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const createToken = script('create-initial-token')
const readToken = script('read-initial-token')
const takeToken = script('take-initial-token')
const giveBackToken = script('give-back-initial-token')
const revokeToken = script('revoke-initial-token')

/** Tokens that are read at once for a list. */
const BATCH = 100

/**
 * Initial access tokens in Redis, until their end. Absent: over, revoked, or never there. The list of all is for people, and
 * bounds their number.
 */
export function redisInitialAccessTokens(
  { run }: Runner,
  keys: Keys,
  random: Random,
): InitialAccessTokenStore {
  // Ids are made like those of grants; anything else is unknown and never reaches a key.
  const isId = isGrantId

  async function read(id: string): Promise<InitialAccessTokenState | undefined> {
    if (!isId(id)) return undefined
    const { rest } = await run(readToken, [keys.initialToken(id)])
    if (rest[0] === undefined) return undefined
    return { ...(JSON.parse(rest[0].toString()) as InitialAccessToken), used: Number(rest[1]) }
  }

  return {
    async create(token) {
      const end = toMilliseconds(token.expiresAt)
      const entry = await run(takePlace, [keys.initialTokens], [token.id, end, MAX_INITIAL_ACCESS_TOKENS])
      if (entry.outcome === 'full') return 'full'
      await run(createToken, [keys.initialToken(token.id)], [JSON.stringify(token), end, token.uses], {
        durable: true,
      })
      return 'created'
    },

    read,

    async take(id, taking) {
      if (!isId(id)) return 'unknown'
      const { outcome } = await run(takeToken, [keys.initialToken(id)], [taking], { durable: true })
      return outcome as 'taken' | 'spent' | 'unknown'
    },

    async giveBack(id, taking) {
      if (!isId(id)) return 'unknown'
      const { outcome } = await run(giveBackToken, [keys.initialToken(id)], [taking])
      return outcome as 'returned' | 'unknown'
    },

    async revoke(id) {
      if (!isId(id)) return 'unknown'
      const { outcome } = await run(
        revokeToken,
        [keys.initialToken(id), keys.initialTokenRevocation(id)],
        [randomId(random)],
        { durable: true },
      )
      await run(leaveList, [keys.initialTokens], [id]).catch(() => undefined)
      return outcome as 'revoked' | 'unknown'
    },

    async list(page) {
      const { size, after } = readListPage(page)
      const at = after === undefined ? '' : toMilliseconds(after.at)
      const { rest } = await run(readList, [keys.initialTokens], [at, after?.id ?? '', size + 1])
      const ids = rest.filter((_, position) => position % 2 === 0).map(String)
      const found: (InitialAccessTokenState | undefined)[] = []
      for (let from = 0; from < Math.min(size, ids.length); from += BATCH)
        found.push(...(await Promise.all(ids.slice(from, Math.min(from + BATCH, size)).map(read))))
      const last = ids[size - 1]
      return {
        tokens: found.filter((token) => token !== undefined),
        cursor:
          ids.length > size && last !== undefined
            ? writeCursor({ at: Number(rest[2 * size - 1]) / 1000, id: last })
            : undefined,
      }
    },
  }
}
