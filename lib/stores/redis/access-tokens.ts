import { type Random, randomId } from '../../protocol/random.ts'
import type { AccessTokenStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'
import { redisValues } from './values.ts'

const useToken = script('use-token')
const readUses = script('read-uses')

/** Opaque access tokens in Redis until they expire, and uses until their token is over. Absent: unknown; not used yet. */
export function redisAccessTokens(runner: Runner, keys: Keys, random: Random): AccessTokenStore {
  const { run } = runner
  const values = redisValues(runner)
  return {
    save: (hash, claims, expiresAt) => values.save(keys.accessToken(hash), claims, expiresAt),
    read: (hash) => values.read(keys.accessToken(hash)),
    delete: (hash) => values.delete(keys.accessToken(hash)),
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
