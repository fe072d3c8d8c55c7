import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { AccessTokenStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aHash, anId, type StoresFactory, T } from './contract.ts'

const aPlace = () => ({ home: anId(), hash: aHash() })

/** What any store of access tokens must do. */
export function accessTokenStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let accessTokens: AccessTokenStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    accessTokens = made.stores.accessTokens
    close = made.close
  })
  afterEach(() => close())

  const claims = JSON.stringify({ sub: 'alice "the first"', name: 'ünïcode \\ \u{1F511}', lines: 'a\nb' })

  test('read as it was saved, any number of times, while now < expiresAt', async () => {
    const place = aPlace()
    await accessTokens.save(place, claims, T + 300)
    clock.now = T + 299.5
    expect(await accessTokens.read(place)).toBe(claims)
    expect(await accessTokens.read(place)).toBe(claims)
    clock.now = T + 300
    expect(await accessTokens.read(place)).toBeUndefined()
  })

  test('deleted it is unknown, as what never was; deleting twice is deleting once', async () => {
    const [place, other] = [aPlace(), aPlace()]
    await accessTokens.save(place, claims, T + 300)
    await accessTokens.save(other, claims, T + 300)
    await accessTokens.delete(place)
    await accessTokens.delete(place)
    expect(await accessTokens.read(place)).toBeUndefined()
    expect(await accessTokens.read(aPlace())).toBeUndefined()
    expect(await accessTokens.read(other)).toBe(claims)
  })

  test('saved when it is over already: it is not there', async () => {
    const place = aPlace()
    await accessTokens.save(place, claims, T)
    expect(await accessTokens.read(place)).toBeUndefined()
  })

  test('used so many times and no more, each token by itself', async () => {
    const [key, other] = [aHash(), aHash()]
    const outcomes = []
    for (let use = 0; use < 4; use++) outcomes.push(await accessTokens.use(key, 3, T + 300))
    expect(outcomes).toEqual(['used', 'used', 'used', 'exhausted'])
    expect(await accessTokens.use(other, 1, T + 300)).toBe('used')
    expect([await accessTokens.uses(key), await accessTokens.uses(other)]).toEqual([3, 1])
    expect(await accessTokens.uses(aHash())).toBe(0)
  })

  test('of any number of uses at once just the allowed ones are used', async () => {
    const key = aHash()
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => accessTokens.use(key, 7, T + 300)))
    expect(outcomes.filter((outcome) => outcome === 'used')).toHaveLength(7)
    expect(await accessTokens.uses(key)).toBe(7)
  })

  test('a limit that was lowered counts what was used before', async () => {
    const key = aHash()
    for (let use = 0; use < 5; use++) await accessTokens.use(key, 10, T + 300)
    expect(await accessTokens.use(key, 5, T + 300)).toBe('exhausted')
    expect(await accessTokens.use(key, 6, T + 300)).toBe('used')
  })

  test('uses are remembered to their end; from then on nothing is allowed', async () => {
    const key = aHash()
    await accessTokens.use(key, 1, T + 300)
    clock.now = T + 299.5
    expect(await accessTokens.use(key, 1, T + 300)).toBe('exhausted')
    clock.now = T + 300
    expect(await accessTokens.use(key, 1, T + 300)).toBe('exhausted')
    expect(await accessTokens.use(aHash(), 1, T + 300)).toBe('exhausted')
  })

  test('of no uses at all none is allowed', async () => {
    expect(await accessTokens.use(aHash(), 0, T + 300)).toBe('exhausted')
  })
}
