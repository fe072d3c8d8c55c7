import { expect, test } from '@jest/globals'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import { readRing } from '../support/read-ring.ts'
import { manualClock } from '../support/world.ts'
import { DAY, START, startInstance } from './instances.ts'

test('a clock that jumps back to a time whose key is destroyed makes a new one, and signs with that', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const ring = startInstance({ store, clock })
  await ring.maintain()
  const kid = ring.kidOf('active')
  expect((await ring.signer()).kid).toBe(kid)
  const record = async () => (await readRing(store)).keys.find((key) => key.kid === kid)
  // A day before its end, so that there is a successor.
  clock.now = ((await record())?.signsUntil ?? 0) - DAY
  await ring.maintain()
  clock.advance(DAY + 1)
  await ring.maintain()
  expect(await record()).toMatchObject({ kid })
  expect((await record())?.sealed).toBeUndefined()
  clock.now = START + 1
  expect(ring.canSign()).toBe(false)
  const { kid: next } = await ring.signer()
  expect(next).not.toBe(kid)
  expect(ring.jwks().keys.map((key) => key.kid)).toContain(next)
})
