import { type Random, randomId } from '../../protocol/random.ts'
import type { ReplayStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const claim = script('claim')

/** Claimed ids of client assertions and DPoP proofs in Redis, until what they are of is over anyway. */
export function redisReplays({ run }: Runner, keys: Keys, random: Random): ReplayStore {
  return {
    async claim(key, expiresAt) {
      const { outcome } = await run(claim, [keys.claim(key)], [randomId(random), toMilliseconds(expiresAt)])
      return outcome as 'fresh' | 'seen'
    },
  }
}
