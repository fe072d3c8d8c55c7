import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { PlaceStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { aHash, type StoresFactory, T } from './contract.ts'

/** What any store of places must do. */
export function placeStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let places: PlaceStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    places = made.stores.places
    close = made.close
  })
  afterEach(() => close())

  test('of any number of takers as many succeed as there are places', async () => {
    const hall = aHash()
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, () => places.take(hall, aHash(), T + 100, 7)),
    )
    expect(outcomes.filter((outcome) => outcome === 'taken')).toHaveLength(7)
    expect(await places.take(aHash(), aHash(), T + 100, 7)).toBe('taken')
  })

  test('who holds one may take it again, for longer but not for shorter, and holds one all the same', async () => {
    const [hall, one, two] = [aHash(), aHash(), aHash()]
    expect(await places.take(hall, one, T + 10, 1)).toBe('taken')
    expect(await places.take(hall, one, T + 100, 1)).toBe('taken')
    expect(await places.take(hall, one, T + 20, 1)).toBe('taken')
    clock.now = T + 99
    expect(await places.take(hall, two, T + 200, 1)).toBe('full')
    clock.now = T + 100
    expect(await places.take(hall, two, T + 200, 1)).toBe('taken')
    expect(await places.take(hall, one, T + 200, 1)).toBe('full')
    expect(await places.take(hall, one, T + 200, 2)).toBe('taken')
  })

  test('without an end it is held until it is left', async () => {
    const [hall, one, two] = [aHash(), aHash(), aHash()]
    await places.take(hall, one, undefined, 1)
    clock.advance(10 * 365 * 86_400)
    expect(await places.take(hall, two, clock.now + 100, 1)).toBe('full')
    await places.leave(hall, two)
    expect(await places.take(hall, two, clock.now + 100, 1)).toBe('full')
    await places.leave(hall, one)
    expect(await places.take(hall, two, clock.now + 100, 1)).toBe('taken')
  })

  test('of no places one that is held is prolonged, and none is taken', async () => {
    const [hall, one, two] = [aHash(), aHash(), aHash()]
    expect(await places.take(hall, one, T + 100, 0)).toBe('full')
    expect(await places.take(hall, two, T + 10, 1)).toBe('taken')
    expect(await places.take(hall, two, undefined, 0)).toBe('taken')
    clock.now = T + 11
    expect(await places.take(hall, one, T + 100, 1)).toBe('full')
  })

  test('one may be left later, which does not make it longer and takes none', async () => {
    const [hall, one, two, three] = [aHash(), aHash(), aHash(), aHash()]
    await places.take(hall, one, undefined, 2)
    await places.take(hall, two, T + 10, 2)
    await places.leave(hall, one, T + 50)
    await places.leave(hall, one, T + 70)
    await places.leave(hall, two, T + 50)
    await places.leave(hall, three, T + 50)
    expect(await places.take(hall, three, T + 90, 2)).toBe('full')
    clock.now = T + 10
    expect(await places.take(hall, three, T + 90, 2)).toBe('taken')
    clock.now = T + 49
    expect(await places.take(hall, two, T + 90, 2)).toBe('full')
    clock.now = T + 50
    expect(await places.take(hall, two, T + 90, 2)).toBe('taken')
  })

  test('a limit that was lowered drives nobody out', async () => {
    const [hall, one, two] = [aHash(), aHash(), aHash()]
    await places.take(hall, one, T + 100, 2)
    await places.take(hall, two, T + 100, 2)
    expect([await places.take(hall, one, T + 200, 1), await places.take(hall, aHash(), T + 200, 1)]).toEqual([
      'taken',
      'full',
    ])
  })
}
