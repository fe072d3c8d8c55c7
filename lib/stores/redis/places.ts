import type { PlaceStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import { leaveList } from './lists.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

export const takePlace = script('take-place')
const shortenPlace = script('shorten-place')

/** For a place that has no end: the year 2255. */
const FOR_EVER = 9_000_000_000

/** Places in Redis: a sorted set of who holds one until when. */
export function redisPlaces({ run }: Runner, keys: Keys): PlaceStore {
  return {
    async take(places, holder, expiresAt = FOR_EVER, limit) {
      const { outcome } = await run(
        takePlace,
        [keys.places(places)],
        [holder, toMilliseconds(expiresAt), limit],
        { durable: true },
      )
      return outcome as 'taken' | 'full'
    },
    async leave(places, holder, by) {
      if (by === undefined) await run(leaveList, [keys.places(places)], [holder])
      else await run(shortenPlace, [keys.places(places)], [holder, toMilliseconds(by)])
    },
  }
}
