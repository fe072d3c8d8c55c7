import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { ReplayStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aHash, type StoresFactory, T } from './contract.ts'

/** What any store of replay claims must do. */
export function replayStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let replays: ReplayStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    replays = made.stores.replays
    close = made.close
  })
  afterEach(() => close())

  test('fresh once, seen from then on', async () => {
    const key = aHash()
    expect(await replays.claim(key, T + 60)).toBe('fresh')
    expect(await replays.claim(key, T + 60)).toBe('seen')
    expect(await replays.claim(aHash(), T + 60)).toBe('fresh')
  })

  test('of any number of claimants one is fresh', async () => {
    const key = aHash()
    const claims = await Promise.all(Array.from({ length: 100 }, () => replays.claim(key, T + 60)))
    expect(claims.filter((claim) => claim === 'fresh')).toHaveLength(1)
  })

  test('claimed until the given time; a claim that was refused prolongs nothing', async () => {
    const key = aHash()
    await replays.claim(key, T + 60)
    clock.now = T + 59.5
    expect(await replays.claim(key, T + 600)).toBe('seen')
    clock.now = T + 60
    expect(await replays.claim(key, T + 600)).toBe('fresh')
  })
}
