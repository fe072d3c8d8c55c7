import { type Random, randomId } from '../../protocol/random.ts'
import type { CounterStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const count = script('count')
const takeCount = script('take-count')
const giveBackCount = script('give-back-count')

/** Counters of rate limits in Redis, until their window ends. */
export function redisCounters({ run }: Runner, keys: Keys, random: Random): CounterStore {
  return {
    async take(key, windowSeconds, limit) {
      const { outcome, rest } = await run(
        takeCount,
        [keys.counter(key)],
        [toMilliseconds(windowSeconds), limit, randomId(random)],
      )
      return { outcome: outcome as 'taken' | 'full', resetsAt: Number(rest[0]) / 1000 }
    },
    async giveBack(key, resetsAt) {
      await run(giveBackCount, [keys.counter(key)], [toMilliseconds(resetsAt), randomId(random)])
    },
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
