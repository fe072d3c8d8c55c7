import { expect, test } from '@jest/globals'
import { systemRandom } from '../../lib/protocol/random.ts'

test('bytes are handed out once, in every size, also across refills of the pool', () => {
  const seen = new Set<string>()
  for (let round = 0; round < 3000; round++) {
    const bytes = systemRandom(16 + (round % 17))
    expect(bytes.length).toBe(16 + (round % 17))
    seen.add(bytes.subarray(0, 16).toString('hex'))
  }
  expect(seen.size).toBe(3000)
})

test('what was handed out is the caller’s own: changing it changes nothing else', () => {
  const first = systemRandom(32)
  const kept = Buffer.from(first)
  systemRandom(32).fill(0)
  expect(first).toEqual(kept)
  expect(first.equals(Buffer.alloc(32))).toBe(false)
})

test('more than the pool holds', () => {
  const bytes = systemRandom(10_000)
  expect(bytes.length).toBe(10_000)
  expect(new Set(bytes).size).toBe(256)
})
