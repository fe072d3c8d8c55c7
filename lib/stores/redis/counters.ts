import { type Random, randomId } from '../../protocol/random.ts'
import type { CounterStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const count = script('count')

/** Counters of rate limits in Redis, until their window ends. */
export function redisCounters({ run }: Runner, keys: Keys, random: Random): CounterStore {
  return {
    async count(key, windowSeconds) {
      const { rest } = await run(
        count,
        [keys.counter(key)],
        [toMilliseconds(windowSeconds), randomId(random)],
      )
      return { count: Number(rest[0]), resetsAt: Number(rest[1]) / 1000 }
    },
  }
}
