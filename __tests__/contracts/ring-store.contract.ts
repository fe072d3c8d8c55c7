import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { KeyRecord, RingStore } from '../../lib/stores/ports.ts'
import { manualClock } from '../support/world.ts'
import { anId, type StoresFactory, T } from './contract.ts'

function aKey(over: Partial<KeyRecord> = {}): KeyRecord {
  return {
    kid: anId(),
    alg: 'ES256',
    publicJwk: { kty: 'EC', crv: 'P-256', x: anId(), y: anId() },
    createdAt: T,
    activatesAt: T + 86_400,
    signsUntil: T + 2_678_400.5,
    removedAt: T + 2_678_800,
    sealed: { secretId: 'secret', wrappedKey: anId(), ciphertext: anId() },
    proof: { secretId: 'secret', tag: anId() },
    ...over,
  }
}

/** What any store of the key ring must do. */
export function ringStoreContract(make: StoresFactory): void {
  let ring: RingStore
  let close: () => Promise<void>
  beforeEach(async () => {
    const made = await make(manualClock(T))
    ring = made.stores.ring
    close = made.close
  })
  afterEach(() => close())

  test('no ring yet: revision 0, no keys', async () => {
    expect(await ring.read()).toEqual({ revision: 0, keys: [] })
  })

  test('written where the revision is the expected one, and read as written, in order', async () => {
    const { sealed: _, ...spent } = aKey({ revokedAt: T + 1 })
    const keys = [aKey(), spent, aKey({ alg: 'RS256' })]
    expect(await ring.compareAndSet(0, keys)).toBe('written')
    const state = await ring.read()
    expect(state.revision).toBeGreaterThan(0)
    expect(state.keys).toStrictEqual(keys)
    expect(await ring.compareAndSet(state.revision, [])).toBe('written')
    const next = await ring.read()
    expect(next.revision).toBeGreaterThan(state.revision)
    expect(next.keys).toEqual([])
  })

  test('conflict for another revision, older or newer: the ring stays', async () => {
    const keys = [aKey()]
    await ring.compareAndSet(0, keys)
    const { revision } = await ring.read()
    for (const wrong of [0, revision - 1, revision + 1])
      expect(await ring.compareAndSet(wrong, [aKey()])).toBe('conflict')
    expect(await ring.read()).toEqual({ revision, keys })
  })

  test('of any number of writers at once one wins', async () => {
    const rings = Array.from({ length: 32 }, () => [aKey()])
    const outcomes = await Promise.all(rings.map((keys) => ring.compareAndSet(0, keys)))
    expect(outcomes.filter((outcome) => outcome === 'written')).toHaveLength(1)
    expect((await ring.read()).keys).toEqual(rings[outcomes.indexOf('written')])
  })

  test('what a writer does to its array afterwards changes nothing', async () => {
    const keys = [aKey()]
    await ring.compareAndSet(0, keys)
    keys.push(aKey())
    expect((await ring.read()).keys).toHaveLength(1)
  })
}
