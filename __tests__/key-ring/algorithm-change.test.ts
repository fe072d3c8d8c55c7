import { expect, test } from '@jest/globals'
import type { SigningAlgorithm } from '../../lib/protocol/jwa.ts'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import { readRing } from '../support/read-ring.ts'
import { manualClock } from '../support/world.ts'
import { cachingVerifier, DAY, START, signNow, startInstance, verifies } from './instances.ts'

test.each<[SigningAlgorithm, SigningAlgorithm]>([
  ['ES256', 'EdDSA'],
  ['RS256', 'PS256'],
  ['ES384', 'ES512'],
])(
  'TOK-014: from %s to %s is a planned rotation: each kid keeps its one algorithm and no verifier is surprised',
  async (from, to) => {
    const store = memoryRing()
    const clock = manualClock(START)
    const before = startInstance({ store, clock, alg: from })
    await before.maintain()
    const verify = cachingVerifier(() => current.jwks(), clock, 600)
    let current = before
    const algByKid = new Map<string, string>()
    clock.advance(3 * DAY)
    current = startInstance({ store, clock, alg: to })
    await current.maintain()
    for (let hour = 0; hour < 40; hour++) {
      await current.maintain()
      const one = await signNow(current, clock)
      expect(one.alg).toBe(hour < 24 ? from : to)
      expect(algByKid.get(one.kid) ?? one.alg).toBe(one.alg)
      algByKid.set(one.kid, one.alg)
      expect(await verify(one)).toBe(true)
      for (const { kid, alg } of current.jwks().keys) expect(algByKid.get(kid as string) ?? alg).toBe(alg)
      clock.advance(3600)
    }
    expect(algByKid.size).toBe(2)
    // The predecessor's old standby never signed.
    expect(current.status().keys.filter(({ alg }) => alg === from)).toHaveLength(2)
  },
)

test('TOK-014: instances of both configurations at once (a rolling deploy) do not breed keys', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const old = startInstance({ store, clock, alg: 'ES256' })
  await old.maintain()
  const deployed = startInstance({ store, clock, alg: 'EdDSA' })
  const signed = []
  for (let second = 0; second < 120; second++) {
    clock.advance(1)
    await deployed.maintain()
    await old.maintain()
    signed.push(await signNow(old, clock), await signNow(deployed, clock))
  }
  await deployed.maintain()
  expect((await readRing(store)).keys.length).toBeLessThanOrEqual(3)
  for (const one of signed) expect(await verifies(deployed, one)).toBe(true)
  // When the old instances are gone, the new algorithm takes over once its key was published for long enough.
  clock.advance(DAY)
  await deployed.maintain()
  expect((await signNow(deployed, clock)).alg).toBe('EdDSA')
  // A straggler of the old configuration can still verify, and does not sign with a key that nobody has.
  const late = await signNow(old, clock)
  await deployed.maintain()
  expect(await verifies(deployed, late)).toBe(true)
})

test('TOK-014: a change of the algorithm that is taken back leaves the old one in force', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  await startInstance({ store, clock, alg: 'ES256' }).maintain()
  await startInstance({ store, clock, alg: 'EdDSA' }).maintain()
  const again = startInstance({ store, clock, alg: 'ES256' })
  for (let day = 0; day < 70; day++) {
    await again.maintain()
    const one = await signNow(again, clock)
    expect(one.alg).toBe('ES256')
    expect(await verifies(again, one)).toBe(true)
    clock.advance(DAY)
  }
})
