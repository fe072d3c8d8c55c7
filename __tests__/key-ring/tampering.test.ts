import { describe, expect, test } from '@jest/globals'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import type { KeyRecord } from '../../lib/stores/ports.ts'
import { readRing } from '../support/read-ring.ts'
import { manualClock } from '../support/world.ts'
import { DAY, ISSUER, overwrite, START, signNow, startInstance, verifies } from './instances.ts'

async function startedRing() {
  const store = memoryRing()
  const clock = manualClock(START)
  const live = startInstance({ store, clock })
  await live.maintain()
  const signed = await signNow(live, clock)
  const [active, standby] = (await readRing(store)).keys as [KeyRecord, KeyRecord]
  return { store, clock, live, signed, active, standby, write: overwrite(store) }
}

const fresh = ({ store, clock }: Awaited<ReturnType<typeof startedRing>>) => startInstance({ store, clock })

describe('KEY-014: somebody who can write to the store', () => {
  test('KEY-014: swapping sealed halves between kids makes no instance sign with the wrong key', async () => {
    const world = await startedRing()
    await world.write(([a, b]) => [
      { ...a, sealed: b?.sealed },
      { ...b, sealed: a?.sealed },
    ])
    const cold = fresh(world)
    for (const instance of [world.live, cold]) {
      await instance.maintain()
      const one = await signNow(instance, world.clock)
      expect(await verifies(instance, one)).toBe(true)
      expect(await verifies(world.live, one)).toBe(true)
    }
    expect(await verifies(world.live, world.signed)).toBe(true)
    expect([...world.live.events, ...cold.events].filter(({ name }) => name === 'ring.unusable')).not.toEqual(
      [],
    )
    expect(world.live.eventsNamed('ring.repaired')).toHaveLength(1)
  })

  test('KEY-014: a whole record under another kid is left out, with an alarm, and the old keys serve', async () => {
    const world = await startedRing()
    await world.write(([a, b]) => [a, b, { ...a, kid: 'another-kid' }])
    for (const instance of [world.live, fresh(world)]) {
      await instance.maintain()
      expect(instance.verificationKey('another-kid')).toBeUndefined()
      expect(instance.jwks().keys.map(({ kid }) => kid)).toEqual([world.active.kid, world.standby.kid])
    }
    expect(world.live.eventsNamed('ring.unusable')).toMatchObject([
      { reason: expect.stringContaining('another-kid') },
    ])
    expect(await verifies(world.live, world.signed)).toBe(true)
    expect((await readRing(world.store)).keys).toHaveLength(2)
  })

  test.each<[string, (key: KeyRecord) => unknown]>([
    [
      'a longer life',
      (key) => ({ ...key, removedAt: key.removedAt + DAY, signsUntil: key.signsUntil + DAY }),
    ],
    ['an earlier activation', (key) => ({ ...key, activatesAt: key.activatesAt - DAY })],
    ['another algorithm', (key) => ({ ...key, alg: 'ES384' })],
    [
      'a public key of the attacker',
      (key) => ({ ...key, publicJwk: { ...key.publicJwk, x: key.publicJwk.y } }),
    ],
    ['a private member in the public key', (key) => ({ ...key, publicJwk: { ...key.publicJwk, d: 'AAAA' } })],
    ['an empty tag', (key) => ({ ...key, proof: { ...key.proof, tag: '' } })],
    ['a truncated ciphertext', (key) => ({ ...key, sealed: { ...key.sealed, ciphertext: 'AAAA' } })],
    ['a data key that is none', (key) => ({ ...key, sealed: { ...key.sealed, wrappedKey: '' } })],
  ])(
    'KEY-014: a record with %s is left out, and a live instance puts the true one back',
    async (_, change) => {
      const world = await startedRing()
      await world.write(([a, b]) => [a, change(b as KeyRecord)])
      await world.live.maintain()
      expect((await readRing(world.store)).keys).toEqual([world.active, world.standby])
      expect(world.live.eventsNamed('ring.repaired')).toMatchObject([{ added: [world.standby.kid] }])

      await world.write(([a, b]) => [a, change(b as KeyRecord)])
      const cold = fresh(world)
      await cold.maintain()
      expect(cold.kidOf('active')).toBe(world.active.kid)
      expect(cold.verificationKey(world.standby.kid)).toBeUndefined()
      expect(cold.kidOf('standby')).not.toBe(world.standby.kid)
    },
  )

  test.each<[string, unknown]>([
    ['nothing but a kid', { kid: 'x' }],
    ['null', null],
    ['a text', 'x'],
    [
      'no proof',
      { kid: 'x', alg: 'ES256', publicJwk: {}, createdAt: 0, activatesAt: 0, signsUntil: 0, removedAt: 0 },
    ],
    ['a proof that is null', { kid: 'x', publicJwk: {}, proof: null }],
  ])('KEY-014: a record that is none (%s) stops nobody', async (_, junk) => {
    const world = await startedRing()
    await world.write(([a, b]) => [a, junk, b])
    for (const instance of [fresh(world), world.live]) {
      await instance.maintain()
      expect(instance.kidOf('active')).toBe(world.active.kid)
      expect(await verifies(instance, world.signed)).toBe(true)
    }
    expect((await readRing(world.store)).keys.map(({ kid }) => kid)).toEqual([
      world.active.kid,
      world.standby.kid,
    ])
  })

  test.each<[string, (key: KeyRecord) => unknown]>([
    ['sealed is null', (key) => ({ ...key, sealed: null })],
    ['sealed is empty', (key) => ({ ...key, sealed: {} })],
    [
      'numbers for texts',
      (key) => ({ ...key, sealed: { secretId: key.proof.secretId, wrappedKey: 1, ciphertext: 2 } }),
    ],
  ])('KEY-014: a private half that is none (%s) stops nobody', async (_, change) => {
    const world = await startedRing()
    await world.write(([a, b]) => [change(a as KeyRecord), b])
    for (const instance of [fresh(world), world.live]) {
      await instance.maintain()
      expect(await verifies(instance, await signNow(instance, world.clock))).toBe(true)
    }
    expect(await verifies(world.live, world.signed)).toBe(true)
  })

  test('KEY-014: taking the private half of the active key away promotes the standby; what was signed stays good', async () => {
    const world = await startedRing()
    await world.write(([a, b]) => {
      const { sealed: _, ...stripped } = a as KeyRecord
      return [stripped, b]
    })
    for (const instance of [fresh(world), world.live]) {
      await instance.maintain()
      expect(await verifies(instance, world.signed)).toBe(true)
      expect(await verifies(instance, await signNow(instance, world.clock))).toBe(true)
    }
  })

  test('KEY-014: a key that the attacker sealed with a secret of his own is never used', async () => {
    const world = await startedRing()
    const foreign = memoryRing()
    const attacker = startInstance({
      store: foreign,
      clock: world.clock,
      secrets: ['a secret of the attacker, 32 bytes long'],
    })
    await attacker.maintain()
    const his = (await readRing(foreign)).keys[0] as KeyRecord
    await world.write(([a, b]) => [a, b, his])
    await world.live.maintain().catch(() => undefined)
    expect(world.live.verificationKey(his.kid)).toBeUndefined()
    expect((await signNow(world.live, world.clock)).kid).toBe(world.active.kid)
    const cold = fresh(world)
    await expect(cold.maintain()).rejects.toThrow(/secret that is not configured here/)
    expect(cold.verificationKey(his.kid)).toBeUndefined()
    expect(cold.jwks().keys).toEqual([])
  })

  test('KEY-014: records of another issuer that has the same secret are left out', async () => {
    const world = await startedRing()
    const other = memoryRing()
    const neighbour = startInstance({ store: other, clock: world.clock, issuer: `${ISSUER}/other` })
    await neighbour.maintain()
    const theirs = (await readRing(other)).keys[0] as KeyRecord
    await world.write(([a, b]) => [a, b, theirs])
    for (const instance of [world.live, fresh(world)]) {
      await instance.maintain()
      expect(instance.verificationKey(theirs.kid)).toBeUndefined()
    }
  })
})

describe('KEY-016: the ring is rolled back', () => {
  test('KEY-016: live instances put back what an old dump does not have, overwrite nothing, and say so', async () => {
    const world = await startedRing()
    const dump = (await readRing(world.store)).keys
    world.clock.advance(30 * DAY)
    await world.live.maintain()
    const newer = (await readRing(world.store)).keys
    expect(newer).toHaveLength(3)
    await world.write(() => structuredClone(dump) as KeyRecord[])
    const cold = fresh(world)
    await cold.maintain()
    const later = await signNow(cold, world.clock)
    await world.live.maintain()
    expect(world.live.eventsNamed('ring.repaired')).toHaveLength(1)
    const kids = (await readRing(world.store)).keys.map(({ kid }) => kid)
    for (const { kid } of newer) expect(kids).toContain(kid)
    expect(await verifies(world.live, later)).toBe(true)
    expect(await verifies(world.live, world.signed)).toBe(true)
  })

  test('KEY-016: an emptied store gets the whole ring back, and no new key', async () => {
    const world = await startedRing()
    await world.write(() => [])
    await world.live.maintain()
    expect((await readRing(world.store)).keys).toEqual([world.active, world.standby])
    expect(world.live.eventsNamed('ring.repaired')).toMatchObject([
      { added: [world.active.kid, world.standby.kid] },
    ])
    expect(world.live.eventsNamed('key.created')).toHaveLength(2)
  })

  test('KEY-016: an emptied store that a cold instance fills first: both rings are joined, no token is lost', async () => {
    const world = await startedRing()
    await world.write(() => [])
    const cold = fresh(world)
    await cold.maintain()
    const byCold = await signNow(cold, world.clock)
    await world.live.maintain()
    await cold.maintain()
    for (const instance of [world.live, cold])
      for (const one of [world.signed, byCold]) expect(await verifies(instance, one)).toBe(true)
    const both = [await signNow(world.live, world.clock), await signNow(cold, world.clock)]
    expect(new Set(both.map(({ kid }) => kid)).size).toBe(1)
  })

  test('KEY-016: a revoked key does not come back with an old dump', async () => {
    const world = await startedRing()
    const dump = (await readRing(world.store)).keys
    await world.live.revoke(world.active.kid)
    await world.write(() => structuredClone(dump) as KeyRecord[])
    await world.live.maintain()
    const cold = fresh(world)
    await cold.maintain()
    for (const instance of [world.live, cold]) {
      expect(instance.verificationKey(world.active.kid)).toBeUndefined()
      expect(instance.kidOf('revoked')).toBe(world.active.kid)
    }
    const [one, other] = [await signNow(world.live, world.clock), await signNow(cold, world.clock)]
    expect(one.kid).toBe(other.kid)
    expect(await verifies(cold, one)).toBe(true)
    const tombstone = (await readRing(world.store)).keys.find(({ kid }) => kid === world.active.kid)
    expect(tombstone).toMatchObject({ revokedAt: START })
    expect(tombstone).not.toHaveProperty('sealed')
  })

  test('KEY-016: a dump from before a key was prolonged does not shorten its life', async () => {
    const world = await startedRing()
    const dump = (await readRing(world.store)).keys
    // The successor is revoked when it was about to take over, so the active key signs for longer than was planned.
    world.clock.now = world.standby.activatesAt - 10
    await world.live.revoke(world.standby.kid)
    const prolonged = (await readRing(world.store)).keys.find(({ kid }) => kid === world.active.kid)
    expect(prolonged?.signsUntil).toBeGreaterThan(world.active.signsUntil)
    world.clock.now = world.active.removedAt - 1
    const late = await signNow(world.live, world.clock)
    expect(late.kid).toBe(world.active.kid)
    await world.write(() => structuredClone(dump) as KeyRecord[])
    await world.live.maintain()
    world.clock.now = late.exp
    await world.live.maintain()
    expect(await verifies(world.live, late)).toBe(true)
  })
})
