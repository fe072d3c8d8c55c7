import { expect, test } from '@jest/globals'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import type { RingStore } from '../../lib/stores/ports.ts'
import { readRing } from '../support/read-ring.ts'
import { manualClock } from '../support/world.ts'
import { DAY, type Instance, START, signNow, startInstance, verifies } from './instances.ts'

const crowd = (store: RingStore, clock: () => number, size = 32): Instance[] =>
  Array.from({ length: size }, () => startInstance({ store, clock }))

/** A store whose answers come in any order, as over a network. */
function shuffled(store: RingStore, seed: number): RingStore {
  let state = seed
  const pause = async () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    for (let turn = state % 7; turn > 0; turn--) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    async read(known) {
      await pause()
      const ring = await store.read(known)
      await pause()
      return structuredClone(ring) as typeof ring
    },
    async compareAndSet(...parameters) {
      await pause()
      const outcome = await store.compareAndSet(...parameters)
      await pause()
      return outcome
    },
  }
}

test('KEY-001: 32 instances that start cold at once make one active key and one standby, in each of 15 rounds (scaled down from 200)', async () => {
  for (let round = 0; round < 15; round++) {
    const ring = memoryRing()
    const clock = manualClock(START)
    const instances = crowd(shuffled(ring, round + 1), clock)
    await Promise.all(instances.map((instance) => instance.maintain()))
    const { revision, keys } = await readRing(ring)
    expect(revision).toBe(1)
    expect(keys.map(({ activatesAt }) => activatesAt)).toEqual([START, START + 30 * DAY])
    const kids = await Promise.all(instances.map(async (instance) => (await instance.signer()).kid))
    expect(new Set(kids)).toEqual(new Set([keys[0]?.kid]))
    const created = instances.flatMap((instance) => instance.eventsNamed('key.created'))
    expect(created).toHaveLength(2)
  }
})

test('KEY-001: 32 instances whose first look is a request for a key agree on it', async () => {
  const clock = manualClock(START)
  const ring = memoryRing()
  const instances = crowd(shuffled(ring, 77), clock)
  const signed = await Promise.all(instances.map((instance) => signNow(instance, clock)))
  expect(new Set(signed.map(({ kid }) => kid)).size).toBe(1)
  for (const instance of instances)
    for (const one of signed.slice(0, 3)) expect(await verifies(instance, one)).toBe(true)
})

test('KEY-002: 32 instances that see "due" at once make one new standby and one revision, in each of 6 rotations', async () => {
  const ring = memoryRing()
  const clock = manualClock(START)
  const instances = crowd(shuffled(ring, 5), clock)
  await Promise.all(instances.map((instance) => instance.maintain()))
  for (let rotation = 1; rotation <= 6; rotation++) {
    const before = await readRing(ring)
    const successor = before.keys.find(({ activatesAt }) => activatesAt > clock())
    clock.now = successor?.activatesAt ?? 0
    const signed = await Promise.all(
      instances.map(async (instance, index) => {
        if (index % 2 === 0) await instance.maintain()
        return signNow(instance, clock)
      }),
    )
    await Promise.all(instances.map((instance) => instance.maintain()))
    expect(new Set(signed.map(({ kid }) => kid))).toEqual(new Set([successor?.kid]))
    const after = await readRing(ring)
    expect(after.revision).toBe(before.revision + 1)
    const added = after.keys.filter(({ kid }) => !before.keys.some((key) => key.kid === kid))
    expect(added.map(({ activatesAt }) => activatesAt)).toEqual([clock() + 30 * DAY])
    expect(after.keys.length).toBeLessThanOrEqual(3)
  }
  expect(instances.flatMap((instance) => instance.eventsNamed('ring.repaired'))).toEqual([])
  expect(instances.flatMap((instance) => instance.eventsNamed('ring.unusable'))).toEqual([])
})

test('KEY-002: 32 simultaneous rotate() calls rotate once or more, and nothing that was signed is lost', async () => {
  const ring = memoryRing()
  const clock = manualClock(START)
  const instances = crowd(ring, clock)
  await Promise.all(instances.map((instance) => instance.maintain()))
  clock.advance(DAY)
  const before = await Promise.all(instances.map((instance) => signNow(instance, clock)))
  const outcomes = await Promise.allSettled(instances.map((instance) => instance.rotate()))
  expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true)
  await Promise.all(instances.map((instance) => instance.maintain()))
  const after = await Promise.all(instances.map((instance) => signNow(instance, clock)))
  expect(new Set(after.map(({ kid }) => kid)).size).toBe(1)
  for (const instance of instances.slice(0, 4))
    for (const one of [...before.slice(0, 4), ...after.slice(0, 4)])
      expect(await verifies(instance, one)).toBe(true)
  // A newly made standby has to be published for a while, so a crowd of calls cannot run through keys.
  expect((await readRing(ring)).keys.length).toBeLessThanOrEqual(4)
})
