import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { CounterStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aHash, type StoresFactory, T } from './contract.ts'

/** What any store of counters must do. */
export function counterStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let counters: CounterStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    counters = made.stores.counters
    close = made.close
  })
  afterEach(() => close())

  test('counts from one, and each key by itself', async () => {
    const [key, other] = [aHash(), aHash()]
    expect((await counters.count(key, 60)).count).toBe(1)
    expect((await counters.count(key, 60)).count).toBe(2)
    expect((await counters.count(other, 60)).count).toBe(1)
    expect((await counters.count(key, 60)).count).toBe(3)
  })

  test('the window ends within its length, and counting does not move its end', async () => {
    const key = aHash()
    const { resetsAt } = await counters.count(key, 60)
    expect(resetsAt).toBeGreaterThan(T)
    expect(resetsAt).toBeLessThanOrEqual(T + 60)
    for (let step = 1; step < 5; step++) {
      clock.now = T + ((resetsAt - T) * step) / 5
      expect(await counters.count(key, 60)).toEqual({ count: step + 1, resetsAt })
    }
  })

  test('a new window begins when the last one is over', async () => {
    const key = aHash()
    const { resetsAt } = await counters.count(key, 60)
    clock.now = resetsAt - 0.5
    expect((await counters.count(key, 60)).count).toBe(2)
    clock.now = resetsAt
    const next = await counters.count(key, 60)
    expect(next.count).toBe(1)
    expect(next.resetsAt).toBeGreaterThan(resetsAt)
    expect(next.resetsAt).toBeLessThanOrEqual(resetsAt + 60)
  })

  test('windows of any length', async () => {
    for (const seconds of [1, 60, 3600, 86_400]) {
      const [key, now] = [aHash(), clock.now]
      const { resetsAt } = await counters.count(key, seconds)
      expect(resetsAt).toBeGreaterThan(now)
      expect(resetsAt).toBeLessThanOrEqual(now + seconds)
      clock.now = resetsAt
      expect((await counters.count(key, seconds)).count).toBe(1)
    }
  })

  test('of any number at once each is counted', async () => {
    const key = aHash()
    const answers = await Promise.all(Array.from({ length: 100 }, () => counters.count(key, 60)))
    expect(answers.map(({ count }) => count).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 100 }, (_, index) => index + 1),
    )
    expect(new Set(answers.map(({ resetsAt }) => resetsAt)).size).toBe(1)
  })

  test('take: of any number at once as many as the limit has, and none more until the window is over', async () => {
    const key = aHash()
    const answers = await Promise.all(Array.from({ length: 50 }, () => counters.take(key, 60, 7)))
    expect(answers.filter(({ outcome }) => outcome === 'taken')).toHaveLength(7)
    expect(answers.filter(({ outcome }) => outcome === 'full')).toHaveLength(43)
    const [{ resetsAt } = { resetsAt: 0 }] = answers
    expect(new Set(answers.map((answer) => answer.resetsAt)).size).toBe(1)
    expect([resetsAt > T, resetsAt <= T + 60]).toEqual([true, true])
    expect((await counters.take(aHash(), 60, 7)).outcome).toBe('taken')
    clock.now = resetsAt
    expect((await counters.take(key, 60, 7)).outcome).toBe('taken')
  })

  test('giveBack: makes room for one more, in the same window only, and never below none', async () => {
    const key = aHash()
    const take = () => counters.take(key, 60, 2)
    const { resetsAt } = await take()
    await take()
    await counters.giveBack(key, resetsAt - 1)
    expect((await take()).outcome).toBe('full')
    await counters.giveBack(key, resetsAt)
    expect([(await take()).outcome, (await take()).outcome]).toEqual(['taken', 'full'])
    for (let round = 0; round < 5; round++) await counters.giveBack(key, resetsAt)
    expect([(await take()).outcome, (await take()).outcome, (await take()).outcome]).toEqual([
      'taken',
      'taken',
      'full',
    ])
    await counters.giveBack(aHash(), resetsAt)
    clock.now = resetsAt
    await counters.giveBack(key, resetsAt)
    const next = await take()
    await counters.giveBack(key, resetsAt)
    expect([next.outcome, (await take()).outcome, (await take()).outcome]).toEqual(['taken', 'taken', 'full'])
  })
}
