import type { SigningAlgorithm } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { KeyRecord } from '../stores/ports.ts'

/** The times of the ring, in seconds. */
export interface RingTimes {
  /** R: how long a key signs before its successor does. */
  readonly rotationInterval: number
  /** P: how long a key is published before it signs. */
  readonly publishBefore: number
  /** C: `max-age` of the JWK Set that we serve. */
  readonly jwksMaxAge: number
  /** Cv: the longest cache of a verifier that is supported. */
  readonly verifierCache: number
  /** I: how soon an instance sees a change of the ring. */
  readonly propagation: number
  /** σ: how far clocks may differ. */
  readonly clockTolerance: number
  /** TTLmax: the longest lifetime of anything that the ring signs. */
  readonly longestToken: number
}

/** The longest that a request may take between choosing its key and signing. */
const LONGEST_REQUEST = 30

/** The least time between publishing a key and signing with it, so that every verifier has it: C + Cv + I + σ. */
export function leastPublishTime(times: RingTimes): number {
  return times.jwksMaxAge + times.verifierCache + times.propagation + times.clockTolerance
}

/** H: how long a key still signs after its successor began. */
export function handOver(times: RingTimes): number {
  return times.propagation + times.clockTolerance + LONGEST_REQUEST
}

/** The inequalities of the schedule that do not hold, with their numbers. */
export function violatedInequalities(times: RingTimes): string[] {
  const least = leastPublishTime(times)
  const violated: string[] = []
  if (times.publishBefore < least) {
    violated.push(
      `keys.publishBefore (${times.publishBefore} s) must be at least jwksMaxAge + verifierCache + propagation + clockTolerance = ${times.jwksMaxAge} + ${times.verifierCache} + ${times.propagation} + ${times.clockTolerance} = ${least} s, or verifiers meet keys that they have not fetched`,
    )
  }
  if (times.rotationInterval < times.publishBefore) {
    violated.push(
      `keys.rotationInterval (${times.rotationInterval} s) must be at least keys.publishBefore (${times.publishBefore} s), or the successor cannot be published in time`,
    )
  }
  if (times.rotationInterval < handOver(times)) {
    violated.push(
      `keys.rotationInterval (${times.rotationInterval} s) must be at least propagation + clockTolerance + ${LONGEST_REQUEST} = ${handOver(times)} s`,
    )
  }
  return violated
}

/** The planned times of a key that activates at a moment; a later successor may prolong them, nothing shortens them. */
export function plannedTimes(
  activatesAt: NumericDate,
  times: RingTimes,
): { signsUntil: NumericDate; removedAt: NumericDate } {
  const signsUntil = activatesAt + times.rotationInterval + handOver(times)
  return { signsUntil, removedAt: removalAfter(signsUntil, times) }
}

/** No verifier here or elsewhere needs the key once everything that it signed has expired everywhere. */
export function removalAfter(signsUntil: NumericDate, times: RingTimes): NumericDate {
  return signsUntil + times.longestToken + times.clockTolerance
}

/**
 * When a record leaves the store: after its removal, so that an instance whose clock is behind does not take it for lost and
 * put it back.
 */
export function forgottenAt(key: KeyRecord, times: RingTimes): NumericDate {
  return key.removedAt + times.clockTolerance
}

export type KeyState = 'standby' | 'active' | 'retiring' | 'retired' | 'removed' | 'revoked'

/** The key that signs at a moment: the latest activated one that may and can still sign. A pure function, so instances agree. */
export function signingKeyAt(keys: readonly KeyRecord[], now: NumericDate): KeyRecord | undefined {
  let best: KeyRecord | undefined
  for (const key of keys) {
    if (key.revokedAt !== undefined || now < key.activatesAt || now >= key.signsUntil) continue
    if (key.sealed === undefined) continue
    if (best === undefined || comesAfter(key, best)) best = key
  }
  return best
}

/** Of two that activated at the same moment, the one that was not handed over signs for longer. */
function comesAfter(a: KeyRecord, b: KeyRecord): boolean {
  if (a.activatesAt !== b.activatesAt) return a.activatesAt > b.activatesAt
  return a.signsUntil === b.signsUntil ? a.kid > b.kid : a.signsUntil > b.signsUntil
}

/** The keys that verify at a moment and stand in the JWK Set, oldest first; every instance lists them in this order. */
export function publishedKeysAt(keys: readonly KeyRecord[], now: NumericDate): KeyRecord[] {
  return keys.filter((key) => key.revokedAt === undefined && now < key.removedAt).sort(byActivation)
}

/** The published successor that waits for its time, of the configured algorithm. */
export function standbyAt(
  keys: readonly KeyRecord[],
  now: NumericDate,
  alg: SigningAlgorithm,
): KeyRecord | undefined {
  return waitingAt(keys, now, alg).find((key) => key.signsUntil > key.activatesAt)
}

/**
 * A standby of this algorithm that an instance with another one has called off: while a deploy rolls, both run, and each
 * takes its own up again instead of making a key more.
 */
export function calledOffAt(
  keys: readonly KeyRecord[],
  now: NumericDate,
  alg: SigningAlgorithm,
): KeyRecord | undefined {
  return waitingAt(keys, now, alg).find((key) => key.signsUntil <= key.activatesAt)
}

function waitingAt(keys: readonly KeyRecord[], now: NumericDate, alg: SigningAlgorithm): KeyRecord[] {
  return publishedKeysAt(keys, now).filter(
    (key) => key.activatesAt > now && key.alg === alg && key.sealed !== undefined,
  )
}

export function stateAt(key: KeyRecord, keys: readonly KeyRecord[], now: NumericDate): KeyState {
  if (key.revokedAt !== undefined) return 'revoked'
  if (now >= key.removedAt) return 'removed'
  if (now >= key.signsUntil) return 'retired'
  if (now < key.activatesAt) return 'standby'
  return signingKeyAt(keys, now)?.kid === key.kid ? 'active' : 'retiring'
}

export function byActivation(a: KeyRecord, b: KeyRecord): number {
  return a.activatesAt - b.activatesAt || (a.kid < b.kid ? -1 : 1)
}

/**
 * Joins what an instance remembers with what the store says: nothing that was seen is forgotten before its removal,
 * nothing is overwritten, and a key that either side revoked stays revoked. A record that would be removed sooner than was
 * seen before is of an old dump: lives are prolonged, never shortened.
 */
export function joinRings(
  remembered: readonly KeyRecord[],
  stored: readonly KeyRecord[],
  now: NumericDate,
): { keys: KeyRecord[]; missing: string[] } {
  const byKid = new Map(stored.map((key) => [key.kid, key]))
  const missing: string[] = []
  for (const key of remembered) {
    if (now >= key.removedAt) continue
    const other = byKid.get(key.kid)
    if (other === undefined) {
      missing.push(key.kid)
      byKid.set(key.kid, key)
    } else if (
      other.revokedAt === undefined &&
      (key.revokedAt !== undefined ||
        (key.activatesAt === other.activatesAt && key.removedAt > other.removedAt))
    ) {
      missing.push(key.kid)
      byKid.set(key.kid, key)
    }
  }
  return { keys: [...byKid.values()].sort(byActivation), missing }
}
