import type { SigningAlgorithm } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { RingState } from '../stores/ports.ts'
import { type KeyState, stateAt } from './schedule.ts'

/** A key as `aat.keys.status()` tells it. */
export interface KeyStatus {
  readonly kid: string
  readonly alg: SigningAlgorithm
  readonly state: KeyState
  readonly activatesAt: NumericDate
  readonly signsUntil: NumericDate
  readonly removedAt: NumericDate
  /** Which secret seals the private half; absent where that is destroyed. */
  readonly sealedBy: string | undefined
}

/** What the ring is, for people: nothing of it is secret. */
export interface RingStatus {
  readonly revision: number
  readonly keys: KeyStatus[]
  /** How many records each secret seals, by the secret's id. */
  readonly sealedBy: Record<string, number>
}

export function statusOf(
  ring: RingState,
  secrets: readonly { readonly id: string }[],
  now: NumericDate,
): RingStatus {
  const sealedBy: Record<string, number> = Object.fromEntries(secrets.map(({ id }) => [id, 0]))
  for (const { proof } of ring.keys) sealedBy[proof.secretId] = (sealedBy[proof.secretId] ?? 0) + 1
  return {
    revision: ring.revision,
    keys: ring.keys.map((key) => ({
      kid: key.kid,
      alg: key.alg,
      state: stateAt(key, ring.keys, now),
      activatesAt: key.activatesAt,
      signsUntil: key.signsUntil,
      removedAt: key.removedAt,
      sealedBy: key.sealed?.secretId,
    })),
    sealedBy,
  }
}
