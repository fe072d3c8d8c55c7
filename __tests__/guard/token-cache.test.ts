import { describe, expect, test } from '@jest/globals'
import { tokenKey } from '../../lib/protocol/digest.ts'
import { createTokenCache, type Remembered } from '../../lib/tokens/token-cache.ts'

const NOW = 1_000
const token = (holder: string, bytes = 10, goodUntil = NOW + 300): Remembered => ({
  holder,
  bytes,
  goodUntil,
})
const key = (name: string | number) => tokenKey(String(name))

describe('the memory of verified tokens', () => {
  test('holds no more tokens than it may', () => {
    const cache = createTokenCache({ entries: 100, bytes: 1_000_000 })
    for (let n = 0; n < 1000; n++) cache.add(key(n), token(`user-${n}`), NOW)
    expect(cache.size()).toBe(100)
    expect(cache.find(key(999), NOW)).toBeDefined()
  })

  test('holds no more bytes than it may, however large each token is', () => {
    const cache = createTokenCache<Remembered>({ entries: 1000, bytes: 10_000 })
    for (let n = 0; n < 50; n++) cache.add(key(n), token(`user-${n}`, 1000), NOW)
    expect(cache.size()).toBe(10)
    cache.add(key('huge'), token('x', 10_001), NOW)
    expect(cache.find(key('huge'), NOW)).toBeUndefined()
    expect(cache.size()).toBe(10)
  })

  test.each([
    [0, 1000],
    [1000, 0],
    [0, 0],
  ])('holds nothing where it may not (%d entries, %d bytes)', (entries, bytes) => {
    const cache = createTokenCache({ entries, bytes })
    cache.add(key('a'), token('alice'), NOW)
    expect([cache.size(), cache.find(key('a'), NOW)]).toEqual([0, undefined])
  })

  test('forgets what has expired: when it is asked for, and in passing', () => {
    const cache = createTokenCache({ entries: 1000, bytes: 1_000_000 })
    for (let n = 0; n < 100; n++) cache.add(key(n), token(`user-${n}`, 10, NOW + 60), NOW)
    expect(cache.find(key(0), NOW + 59.9)).toBeDefined()
    expect(cache.find(key(0), NOW + 60)).toBeUndefined()
    expect(cache.size()).toBe(99)
    for (let n = 0; n < 100; n++) cache.add(key(`new-${n}`), token('late', 10, NOW + 600), NOW + 60)
    expect(cache.size()).toBe(100)
  })

  test('what is in use outlives any number of tokens that come once', () => {
    const cache = createTokenCache({ entries: 200, bytes: 1_000_000 })
    for (let n = 0; n < 100; n++) cache.add(key(`honest-${n}`), token(`user-${n}`), NOW)
    for (let n = 0; n < 10_000; n++) {
      cache.add(key(`once-${n}`), token(`stranger-${n}`), NOW)
      // Each honest token is used every 100 additions.
      expect(cache.find(key(`honest-${n % 100}`), NOW)).toBeDefined()
    }
  })

  test('a holder of many good tokens, each used at once, takes his share of a full memory and no more', () => {
    const cache = createTokenCache({ entries: 800, bytes: 1_000_000 })
    for (let n = 0; n < 600; n++) {
      cache.add(key(`honest-${n}`), token(`user-${n}`), NOW)
      cache.find(key(`honest-${n}`), NOW)
    }
    for (let n = 0; n < 20_000; n++) {
      cache.add(key(`greedy-${n}`), token('greedy'), NOW)
      for (let use = 0; use < 3; use++) expect(cache.find(key(`greedy-${n}`), NOW)).toBeDefined()
    }
    const left = Array.from({ length: 600 }, (_, n) => cache.find(key(`honest-${n}`), NOW) !== undefined)
    expect(left.filter(Boolean)).toHaveLength(600)
    expect(cache.size()).toBe(800)
  })

  test('a holder who filled an empty memory makes room for those who come later', () => {
    const cache = createTokenCache({ entries: 800, bytes: 1_000_000 })
    for (let n = 0; n < 800; n++) {
      cache.add(key(`greedy-${n}`), token('greedy'), NOW)
      cache.find(key(`greedy-${n}`), NOW)
    }
    for (let n = 0; n < 700; n++) {
      cache.add(key(`honest-${n}`), token(`user-${n}`), NOW)
      for (let use = 0; use < 2; use++) cache.find(key(`greedy-${n}`), NOW)
    }
    const left = Array.from({ length: 700 }, (_, n) => cache.find(key(`honest-${n}`), NOW) !== undefined)
    expect(left.filter(Boolean).length).toBeGreaterThanOrEqual(600)
  })

  test('a model of it agrees: what was added and is still there is what was added', () => {
    const cache = createTokenCache({ entries: 50, bytes: 5000 })
    const values = new Map<string, Remembered>()
    let seed = 7
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return Math.floor((seed / 2_147_483_648) * below)
    }
    let now = NOW
    for (let step = 0; step < 20_000; step++) {
      const name = `t${random(200)}`
      const what = random(10)
      if (what < 5) {
        const found = cache.find(key(name), now)
        if (found !== undefined) {
          expect(found).toBe(values.get(name))
          expect(found.goodUntil).toBeGreaterThan(now)
        }
      } else if (what < 9) {
        const value = token(`user-${random(5)}`, 1 + random(400), now + 1 + random(50))
        values.set(name, value)
        cache.add(key(name), value, now)
      } else {
        cache.drop(key(name))
        expect(cache.find(key(name), now)).toBeUndefined()
        now += 1
      }
      expect(cache.size()).toBeLessThanOrEqual(50)
    }
  })
})
