import type { SigningAlgorithm } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { KeyRecord } from '../stores/ports.ts'
import type { RingRecords } from './ring-records.ts'
import {
  byActivation,
  calledOffAt,
  forgottenAt,
  handOver,
  plannedTimes,
  type RingTimes,
  removalAfter,
  signingKeyAt,
  standbyAt,
} from './schedule.ts'

export interface RingPlanOptions {
  readonly alg: SigningAlgorithm
  readonly times: RingTimes
  readonly records: Pick<RingRecords, 'create' | 'rewritten' | 'withoutPrivateHalf' | 'isToBeResealed'>
}

/** What the ring should be now, given what it is. Pure but for the creation of keys. */
export async function plannedRing(
  keys: readonly KeyRecord[],
  now: NumericDate,
  { alg, times, records }: RingPlanOptions,
): Promise<KeyRecord[]> {
  let next = keys.filter((key) => now < forgottenAt(key, times))
  const replace = (record: KeyRecord) => {
    next = next.map((key) => (key.kid === record.kid ? record : key))
  }

  // A first key, or one after all were lost to time: there is nobody who could have cached another, so at once.
  if (signingKeyAt(next, now) === undefined) {
    const standby = standbyAt(next, now, alg)
    if (standby === undefined) next.push(await records.create(now, now))
    else replace(records.rewritten(standby, { activatesAt: now, ...plannedTimes(now, times) }))
  }

  if (standbyAt(next, now, alg) === undefined) {
    const active = signingKeyAt(next, now)
    const due = active === undefined || active.alg !== alg ? now : active.activatesAt + times.rotationInterval
    const calledOff = calledOffAt(next, now, alg)
    if (calledOff === undefined)
      next.push(await records.create(Math.max(due, now + times.publishBefore), now))
    else {
      const { signsUntil, removedAt } = plannedTimes(calledOff.activatesAt, times)
      replace(
        records.rewritten(calledOff, { signsUntil, removedAt: Math.max(calledOff.removedAt, removedAt) }),
      )
    }
  }

  const standby = standbyAt(next, now, alg)
  const active = signingKeyAt(next, now)
  for (const key of next) {
    if (key.revokedAt !== undefined) continue
    // Another algorithm's standby never signs here; it stays published for an instance that does not know yet.
    if (key.activatesAt > now && key.alg !== alg && key.signsUntil > key.activatesAt) {
      replace(records.rewritten(key, { signsUntil: key.activatesAt }))
    }
    // The successor comes later than planned: the key signs, and verifies, for longer.
    if (
      key.kid === active?.kid &&
      standby !== undefined &&
      key.signsUntil < standby.activatesAt + handOver(times)
    ) {
      const signsUntil = standby.activatesAt + handOver(times)
      replace(
        records.rewritten(key, {
          signsUntil,
          removedAt: Math.max(key.removedAt, removalAfter(signsUntil, times)),
        }),
      )
    }
  }
  for (const key of next) {
    if (key.revokedAt !== undefined) continue
    // Lifetimes were raised in the configuration: what it signed may live longer than when it was made.
    const removedAt = Math.max(key.removedAt, removalAfter(key.signsUntil, times))
    // The private half is destroyed once it no longer signs.
    if (now >= key.signsUntil && key.sealed !== undefined) {
      replace(records.withoutPrivateHalf(key, { removedAt }))
    } else if (removedAt > key.removedAt || records.isToBeResealed(key, now)) {
      replace(records.rewritten(key, { removedAt }))
    }
  }
  return next.sort(byActivation)
}
