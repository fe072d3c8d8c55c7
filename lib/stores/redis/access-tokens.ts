import { type Random, randomId } from '../../protocol/random.ts'
import type { AccessTokenStore, TokenPlace } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import { isGrantId, type Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'
import { redisValues } from './values.ts'

const useToken = script('use-token')
const readUses = script('read-uses')

/** Opaque access tokens in Redis until they expire, and uses until their token is over. Absent: unknown; not used yet. */
export function redisAccessTokens(runner: Runner, keys: Keys, random: Random): AccessTokenStore {
  const { run } = runner
  const values = redisValues(runner)
  function keyOf(place: TokenPlace): string {
    if (!isGrantId(place.home)) throw new TypeError('the home of a token must be 16 bytes in base64url')
    return keys.accessToken(place)
  }

  return {
    save: async (place, claims, expiresAt) => values.save(keyOf(place), claims, expiresAt),
    read: async (place) => values.read(keyOf(place)),
    delete: async (place) => values.delete(keyOf(place)),
    async use(key, atMost, until) {
      const { outcome } = await run(
        useToken,
        [keys.uses(key)],
        [atMost, toMilliseconds(until), randomId(random, 12)],
      )
      return outcome as 'used' | 'exhausted'
    },
    async uses(key) {
      return Number((await run(readUses, [keys.uses(key)])).rest[0])
    },
  }
}
