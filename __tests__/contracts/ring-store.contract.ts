import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { BEGINNING, type KeyRecord, type Place, type RingStore } from '../../lib/stores/ports.ts'
import { readRing } from '../support/read-ring.ts'
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
const ISSUER = 'https://issuer.example/path'

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

  /** Writes where nobody else does; tells the new place. */
  async function write(expected: Place, keys: readonly KeyRecord[], issuer = ISSUER): Promise<Place> {
    const written = await ring.compareAndSet(expected, { issuer, keys })
    if (written.outcome !== 'written') throw new Error('a writer that is alone met a conflict')
    return written.place
  }

  test('no ring yet: at the beginning, of no issuer, no keys', async () => {
    expect(await readRing(ring)).toEqual({ ...BEGINNING, issuer: undefined, keys: [] })
    expect(await ring.read(BEGINNING)).toBe('unchanged')
  })

  test('written where the place is the expected one, and read as written, in order', async () => {
    const { sealed: _, ...spent } = aKey({ revokedAt: T + 1 })
    const keys = [aKey(), spent, aKey({ alg: 'RS256', activatesAt: T + 0.123 })]
    const first = await write(BEGINNING, keys)
    const state = await readRing(ring)
    expect(state).toMatchObject({ ...first, issuer: ISSUER })
    expect(state.revision).toBeGreaterThan(0)
    expect(state.keys).toStrictEqual(keys)
    const second = await write(state, [])
    expect(second.revision).toBeGreaterThan(first.revision)
    expect(second.tip).not.toBe(first.tip)
    expect(await readRing(ring)).toEqual({ ...second, issuer: ISSUER, keys: [] })
  })

  test('the issuer is the one of the last write', async () => {
    const place = await write(BEGINNING, [aKey()], 'https://one.example')
    expect((await readRing(ring)).issuer).toBe('https://one.example')
    await write(place, [aKey()], 'https://two.example')
    expect((await readRing(ring)).issuer).toBe('https://two.example')
  })

  test('unchanged for whoever knows the ring; the whole ring for everybody else', async () => {
    const keys = [aKey()]
    const first = await write(BEGINNING, keys)
    expect(await ring.read(first)).toBe('unchanged')
    expect(await ring.read(first)).toBe('unchanged')
    for (const other of [BEGINNING, { ...first, tip: anId() }, { ...first, revision: first.revision + 1 }])
      expect(await ring.read(other)).toEqual({ ...first, issuer: ISSUER, keys })
    const second = await write(first, [])
    expect(await ring.read(first)).toEqual({ ...second, issuer: ISSUER, keys: [] })
    expect(await ring.read(second)).toBe('unchanged')
  })

  test('conflict for another revision, older or newer, and for the tip of another history: the ring stays', async () => {
    const keys = [aKey()]
    const first = await write(BEGINNING, [aKey()])
    const second = await write(first, keys)
    for (const wrong of [
      BEGINNING,
      first,
      { ...second, revision: second.revision + 1 },
      { ...second, tip: first.tip },
      { ...second, tip: anId() },
      { ...second, tip: '' },
    ])
      expect(await ring.compareAndSet(wrong, { issuer: 'https://other.example', keys: [aKey()] })).toEqual({
        outcome: 'conflict',
      })
    expect(await readRing(ring)).toEqual({ ...second, issuer: ISSUER, keys })
  })

  test('conflict for a known place where the ring was lost', async () => {
    expect(
      await ring.compareAndSet({ revision: 3, tip: anId() }, { issuer: ISSUER, keys: [aKey()] }),
    ).toEqual({ outcome: 'conflict' })
    expect(await readRing(ring)).toEqual({ ...BEGINNING, issuer: undefined, keys: [] })
  })

  test('of any number of writers at once one wins', async () => {
    const rings = Array.from({ length: 32 }, () => [aKey()])
    const outcomes = await Promise.all(
      rings.map((keys) => ring.compareAndSet(BEGINNING, { issuer: ISSUER, keys })),
    )
    const winner = outcomes.findIndex(({ outcome }) => outcome === 'written')
    expect(outcomes.filter(({ outcome }) => outcome === 'written')).toHaveLength(1)
    expect((await readRing(ring)).keys).toEqual(rings[winner])
  })

  test('what a writer does to its array afterwards changes nothing', async () => {
    const keys = [aKey()]
    await write(BEGINNING, keys)
    keys.push(aKey())
    expect((await readRing(ring)).keys).toHaveLength(1)
  })
}
