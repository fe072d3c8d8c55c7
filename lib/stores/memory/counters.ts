import type { Clock } from '../../protocol/time.ts'
import type { CounterStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Counters in memory. Over the bound the oldest is forgotten: a source that comes once is not remembered for long anyway. */
export function memoryCounters(clock: Clock, maxEntries: number): CounterStore {
  const counters = new ExpiringMap<{ count: number; readonly resetsAt: number }>(clock, maxEntries)
  return {
    async take(key, windowSeconds, limit) {
      const counter = counters.get(key) ?? { count: 0, resetsAt: clock() + windowSeconds }
      const { resetsAt } = counter
      if (counter.count >= limit) return { outcome: 'full', resetsAt }
      counter.count++
      counters.set(key, counter, resetsAt)
      return { outcome: 'taken', resetsAt }
    },
    async giveBack(key, resetsAt) {
      const counter = counters.get(key)
      if (counter?.resetsAt === resetsAt && counter.count > 0) counter.count--
    },
    async count(key, windowSeconds) {
      const counter = counters.get(key) ?? { count: 0, resetsAt: clock() + windowSeconds }
      counter.count++
      counters.set(key, counter, counter.resetsAt)
      return { ...counter }
    },
  }
}
