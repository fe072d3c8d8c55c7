import { describe, expect, test } from '@jest/globals'
import { createAat } from '../../lib/index.ts'
import { handOver, type RingTimes, violatedInequalities } from '../../lib/keys/schedule.ts'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import { readRing } from '../support/read-ring.ts'
import { manualClock } from '../support/world.ts'
import {
  cachingVerifier,
  cuttable,
  DAY,
  ISSUER,
  type SignedBytes,
  START,
  signNow,
  startInstance,
  TIMES,
  verifies,
} from './instances.ts'

/** Two instances and a verifier elsewhere; `everyHour` sees each token that was signed. */
async function lapse(
  { times, days, cache }: { times: Partial<RingTimes>; days: number; cache: number },
  look: (signed: SignedBytes, verified: boolean) => void,
) {
  const store = memoryRing()
  const clock = manualClock(START)
  const instances = [startInstance({ store, clock, times }), startInstance({ store, clock, times })] as const
  await Promise.all(instances.map((instance) => instance.maintain()))
  const verify = cachingVerifier(() => instances[0].jwks(), clock, cache)
  for (let hour = 0; hour < days * 24; hour++) {
    const turn = instances[hour % 2 === 0 ? 0 : 1]
    await turn.maintain()
    const signed = await signNow(turn, clock, times.longestToken)
    look(signed, await verify(signed))
    clock.advance(3600)
  }
  return { instances, store, clock }
}

test('KEY-007: a verifier that keeps the JWK Set for 24 hours and never asks for a kid fails no verification in 60 days (P = 48 h)', async () => {
  const times = { rotationInterval: 4 * DAY, publishBefore: 2 * DAY, verifierCache: DAY }
  expect(violatedInequalities({ ...TIMES, ...times })).toEqual([])
  const kids = new Set<string>()
  let failures = 0
  await lapse({ times, days: 60, cache: DAY }, ({ kid }, verified) => {
    kids.add(kid)
    if (!verified) failures++
  })
  expect(failures).toBe(0)
  expect(kids.size).toBe(15)
})

test('KEY-007: with the defaults a verifier whose cache is as old as is planned for (C + Cv) fails nothing, rotate() included', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const instance = startInstance({ store, clock })
  await instance.maintain()
  const verify = cachingVerifier(() => instance.jwks(), clock, TIMES.jwksMaxAge + TIMES.verifierCache)
  const kids = new Set<string>()
  for (let minute = 0; minute < 400; minute++) {
    if (minute % 10 === 0) await instance.rotate()
    await instance.maintain()
    const signed = await signNow(instance, clock)
    kids.add(signed.kid)
    expect(await verify(signed)).toBe(true)
    clock.advance(60)
  }
  // Each successor has to be published for C + Cv + I + σ = 965 s before it signs.
  expect(kids.size).toBeGreaterThan(10)
})

test('KEY-004: a key leaves the JWK Set only when everything that it signed has been over for longer than clocks may differ', async () => {
  const lastExp = new Map<string, number>()
  const leftAt = new Map<string, number>()
  const times = { rotationInterval: 2 * DAY, publishBefore: DAY, longestToken: 3 * DAY }
  const { instances, clock } = await lapse({ times, days: 30, cache: 600 }, ({ kid, exp }) => {
    lastExp.set(kid, Math.max(exp, lastExp.get(kid) ?? 0))
  })
  let published = instances[0].jwks().keys.map(({ kid }) => kid)
  // A few more days, minute by minute where it matters is too long: the record says the second.
  for (const { kid, removedAt } of instances[0].status().keys) leftAt.set(kid, removedAt)
  for (const [kid, exp] of lastExp) {
    const left = leftAt.get(kid)
    if (left === undefined) expect(clock() - exp).toBeGreaterThanOrEqual(TIMES.clockTolerance)
    else expect(left - exp).toBeGreaterThanOrEqual(TIMES.clockTolerance)
  }
  const [first] = published
  clock.now = (leftAt.get(first ?? '') ?? 0) - 1
  await instances[0].maintain()
  expect(instances[0].jwks().keys.map(({ kid }) => kid)).toContain(first)
  clock.advance(1)
  published = instances[0].jwks().keys.map(({ kid }) => kid)
  expect(published).not.toContain(first)
  expect(instances[0].verificationKey(first ?? '')).toBeUndefined()
})

test('KEY-004: raising the lifetime of tokens prolongs the keys that may sign them, at the next look', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  await startInstance({ store, clock }).maintain()
  const deployed = startInstance({ store, clock, times: { longestToken: DAY } })
  await deployed.maintain()
  await deployed.maintain()
  for (const { signsUntil, removedAt } of (await readRing(store)).keys)
    expect(removedAt).toBe(signsUntil + DAY + TIMES.clockTolerance)
})

describe('KEY-005: a schedule that would break verifiers is refused at start', () => {
  const start = (keys: object) => () =>
    createAat({ issuer: ISSUER, resources: { [`${ISSUER}/api`]: { scopes: ['a'] } }, keys })

  test.each<[string, object, RegExp]>([
    [
      'published for less than C + Cv + I + σ',
      { publishBefore: 964 },
      /keys\.publishBefore \(964 s\).*300 \+ 600 \+ 5 \+ 60 = 965 s/,
    ],
    ['a day of caching with a day of publishing', { verifierCache: DAY }, /keys\.publishBefore \(86400 s\)/],
    [
      'rotation faster than publication',
      { rotationInterval: 3600 },
      /keys\.rotationInterval \(3600 s\).*keys\.publishBefore \(86400 s\)/,
    ],
    [
      'rotation faster than the hand-over',
      { rotationInterval: 60, publishBefore: 60, jwksMaxAge: 0, verifierCache: 0, clockTolerance: 55 },
      /keys\.rotationInterval \(60 s\).*5 \+ 55 \+ 30|keys\.rotationInterval \(60 s\).*90 s/,
    ],
  ])('KEY-005: %s', (_, keys, message) => {
    expect(start(keys)).toThrow(message)
  })

  test('KEY-005: exactly at the inequality is fine', async () => {
    const aat = start({ publishBefore: 965, rotationInterval: 965 })()
    await aat.ready()
    const { keys } = aat.keys.status()
    await aat.close()
    // The retention follows from the lifetime of tokens, so a configuration cannot make it too short.
    expect(keys.map(({ removedAt, signsUntil }) => removedAt - signsUntil)).toEqual([360, 360])
  })
})

test('KEY-008: an instance that is cut off signs only until its last key may, then 503; no token of its fails before its end', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const times = { rotationInterval: 2 * DAY }
  const link = cuttable(store)
  const connected = startInstance({ store, clock, times })
  const stale = startInstance({ store: link, clock, times })
  await connected.maintain()
  await stale.maintain()
  const [, standby] = stale.status().keys
  link.isCut = true
  const pending: SignedBytes[] = []
  let refusals = 0
  let lastSigned = 0
  for (let hour = 0; hour < 8 * 24; hour++) {
    await connected.maintain()
    await stale.maintain().catch(() => undefined)
    try {
      pending.push(await signNow(stale, clock))
      lastSigned = clock()
      expect(refusals).toBe(0)
    } catch (error) {
      expect(error).toMatchObject({ code: 'temporarily_unavailable', status: 503 })
      refusals++
    }
    for (const signed of pending.filter(({ exp }) => clock() < exp))
      expect(await verifies(connected, signed)).toBe(true)
    clock.advance(150)
    for (const signed of pending.filter(({ exp }) => clock() < exp))
      expect(await verifies(connected, signed)).toBe(true)
    clock.advance(3450)
  }
  expect(lastSigned).toBeLessThan(standby?.signsUntil ?? 0)
  expect(lastSigned).toBeGreaterThan(START + 4 * DAY - 3600)
  expect(refusals).toBeGreaterThan(80)
  link.isCut = false
  await stale.maintain()
  expect((await signNow(stale, clock)).kid).toBe((await signNow(connected, clock)).kid)
})

test('KEY-010: a standby whose maker is gone is activated by time alone', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const maker = startInstance({ store, clock })
  await maker.maintain()
  const standby = maker.kidOf('standby')
  const other = startInstance({ store, clock })
  await other.maintain()
  clock.now = START + 30 * DAY
  // Nobody has looked at the store since.
  expect((await other.signer()).kid).toBe(standby)
  const late = startInstance({ store, clock })
  expect((await late.signer()).kid).toBe(standby)
})

test('KEY-010: killed before publishing leaves nothing behind', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const dying = startInstance({
    clock,
    store: { read: (known) => store.read(known), compareAndSet: () => Promise.reject(new Error('killed')) },
  })
  await expect(dying.maintain()).rejects.toThrow('killed')
  expect((await readRing(store)).revision).toBe(0)
  expect(dying.jwks().keys).toEqual([])
  const next = startInstance({ store, clock })
  await next.maintain()
  expect((await readRing(store)).keys).toHaveLength(2)
})

test('hand-over: the predecessor may still sign for H after its successor began, and both verify', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const link = cuttable(store)
  const instance = startInstance({ store, clock })
  await instance.maintain()
  const [first, second] = instance.status().keys
  expect(first?.signsUntil).toBe((second?.activatesAt ?? 0) + handOver(TIMES))
  const lagging = startInstance({ store: link, clock: () => clock() - 60 })
  await lagging.maintain()
  clock.now = second?.activatesAt ?? 0
  await instance.maintain()
  expect((await instance.signer()).kid).toBe(second?.kid)
  const late = await signNow(lagging, clock)
  expect(late.kid).toBe(first?.kid)
  expect(await verifies(instance, late)).toBe(true)
  expect(instance.kidOf('retiring')).toBe(first?.kid)
})

test('KEY-011: clocks five minutes apart, both ways: whatever one signs all others verify, through three rotations, and nobody is left without a key', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const times = { rotationInterval: 2 * DAY }
  const instances = [-300, 0, 300].map((skew) => startInstance({ store, clock: () => clock() + skew, times }))
  for (const instance of instances) await instance.maintain()
  for (let turn = 0; turn < 24 * 7; turn++) {
    const steps = turn % 48 >= 46 || turn % 48 === 0 ? 24 : 1
    for (let step = 0; step < steps; step++) {
      const signed: SignedBytes[] = []
      for (const instance of instances) {
        await instance.maintain()
        signed.push(await signNow(instance, clock))
      }
      for (const instance of instances) {
        const published = instance.jwks().keys.map(({ kid }) => kid)
        for (const one of signed) {
          expect(await verifies(instance, one)).toBe(true)
          expect(published).toContain(one.kid)
        }
      }
      clock.advance(3600 / steps)
    }
  }
  expect((await readRing(store)).keys.length).toBeLessThanOrEqual(4)
})

test('KEY-011: clocks that differ within the tolerance raise no false alarm when a key is removed', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const times = { rotationInterval: DAY }
  const instances = [-30, 0, 30].map((skew) => startInstance({ store, clock: () => clock() + skew, times }))
  for (const instance of instances) await instance.maintain()
  const removedAt = instances[0]?.status().keys[0]?.removedAt ?? 0
  clock.now = START + DAY
  for (const instance of instances) await instance.maintain()
  clock.now = removedAt - 40
  for (let second = 0; second < 200; second++) {
    for (const instance of [...instances].reverse()) await instance.maintain()
    clock.advance(1)
  }
  expect(instances.flatMap((instance) => instance.eventsNamed('ring.repaired'))).toEqual([])
  for (const instance of instances) expect(instance.eventsNamed('key.removed')).toHaveLength(1)
})
