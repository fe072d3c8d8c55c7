import { createPublicKey, generateKeyPair, type JsonWebKey, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint, exportJWK } from 'jose'
import type { DerivedKeys } from '../protocol/derived-keys.ts'
import type { Emit } from '../protocol/events.ts'
import { algorithms, fitsAlgorithm, type SigningAlgorithm } from '../protocol/jwa.ts'
import { OAuthError, StoreUnavailable } from '../protocol/oauth-error.ts'
import type { Random } from '../protocol/random.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { KeyRecord, RingState, RingStore } from '../stores/ports.ts'
import {
  byActivation,
  handOver,
  joinRings,
  type KeyState,
  leastPublishTime,
  plannedTimes,
  publishedKeysAt,
  type RingTimes,
  removalAfter,
  signingKeyAt,
  standbyAt,
  stateAt,
} from './schedule.ts'
import { type BareRecord, openRecord, sealRecord } from './sealing.ts'

const generate = promisify(generateKeyPair)
/** Rounds of compare-and-set against other instances before it counts as a fault. */
const MAX_ROUNDS = 20

export interface KeyRingOptions {
  readonly store: RingStore
  readonly issuer: string
  readonly alg: SigningAlgorithm
  readonly rsaBits: number
  readonly times: RingTimes
  /** Newest first. */
  readonly secrets: readonly [DerivedKeys, ...DerivedKeys[]]
  readonly clock: Clock
  readonly random: Random
  readonly emit: Emit
}

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

/**
 * The signing keys: created, published, used, retired and removed by themselves. All instances share the ring in the
 * store; a key's state is a pure function of its record and now, so they agree without talking.
 */
export function createKeyRing({
  store,
  issuer,
  alg,
  rsaBits,
  times,
  secrets,
  clock,
  random,
  emit,
}: KeyRingOptions) {
  let ring: RingState = { revision: 0, keys: [] }
  let maintaining: Promise<void> | undefined
  let activeKid: string | undefined
  /** Records are immutable and opened once each. */
  const opened = new WeakMap<KeyRecord, ReturnType<typeof openRecord>>()
  const reported = new Set<string>()
  const publicKeys = new Map<string, KeyObject>()

  function open(record: KeyRecord): ReturnType<typeof openRecord> {
    const known = opened.get(record)
    if (known !== undefined) return known
    const result = openRecord(record, issuer, secrets)
    opened.set(record, result)
    if (result === 'tampered' && reported.size < 64 && !reported.has(record.kid)) {
      reported.add(record.kid)
      emit('ring.unusable', {
        reason: `signing key ${record.kid} is not as it was written: its record was changed in the store; it is left out`,
      })
    }
    return result
  }

  function privateKeyOf(record: KeyRecord): KeyObject | undefined {
    const result = open(record)
    return typeof result === 'string' ? undefined : result.privateKey
  }

  async function createRecord(activatesAt: NumericDate, now: NumericDate): Promise<KeyRecord> {
    const { publicKey, privateKey } = await generateFor(alg, rsaBits)
    const publicJwk = (await exportJWK(publicKey)) as Record<string, string>
    const bare = {
      kid: await calculateJwkThumbprint(publicJwk),
      alg,
      publicJwk,
      createdAt: now,
      activatesAt,
      ...plannedTimes(activatesAt, times),
    }
    return sealRecord(bare, privateKey, issuer, secrets[0], random)
  }

  /** A record with other times, sealed anew since its seal and proof bind them. */
  function rewritten(
    record: KeyRecord,
    changes: Partial<BareRecord>,
    privateKey = privateKeyOf(record),
  ): KeyRecord {
    const { sealed: _sealed, proof: _proof, ...bare } = record
    return sealRecord({ ...bare, ...changes }, privateKey, issuer, secrets[0], random)
  }

  /** A record without its private half. */
  function withoutPrivateHalf(record: KeyRecord, changes: Partial<BareRecord> = {}): KeyRecord {
    const { sealed: _destroyed, proof: _proof, ...bare } = record
    return sealRecord({ ...bare, ...changes }, undefined, issuer, secrets[0], random)
  }

  /** What the ring should be now, given what it is. Pure but for the creation of keys. */
  async function planned(keys: readonly KeyRecord[], now: NumericDate): Promise<KeyRecord[]> {
    let next = keys.filter((key) => now < key.removedAt)
    const replace = (record: KeyRecord) => {
      next = next.map((key) => (key.kid === record.kid ? record : key))
    }

    // A first key, or one after all were lost to time: there is nobody who could have cached another, so at once.
    if (signingKeyAt(next, now) === undefined) {
      const standby = standbyAt(next, now, alg)
      if (standby === undefined) next.push(await createRecord(now, now))
      else replace(rewritten(standby, { activatesAt: now, ...plannedTimes(now, times) }))
    }

    if (standbyAt(next, now, alg) === undefined) {
      const active = signingKeyAt(next, now)
      const due =
        active === undefined || active.alg !== alg ? now : active.activatesAt + times.rotationInterval
      next.push(await createRecord(Math.max(due, now + times.publishBefore), now))
    }

    const standby = standbyAt(next, now, alg)
    const active = signingKeyAt(next, now)
    for (const key of next) {
      if (key.revokedAt !== undefined) continue
      // Another algorithm's standby never signs here; it stays published for an instance that does not know yet.
      if (key.activatesAt > now && key.alg !== alg && key.signsUntil > key.activatesAt) {
        replace(rewritten(key, { signsUntil: key.activatesAt }))
      }
      // The successor comes later than planned: the key signs, and verifies, for longer.
      if (
        key.kid === active?.kid &&
        standby !== undefined &&
        key.signsUntil < standby.activatesAt + handOver(times)
      ) {
        const signsUntil = standby.activatesAt + handOver(times)
        replace(
          rewritten(key, { signsUntil, removedAt: Math.max(key.removedAt, removalAfter(signsUntil, times)) }),
        )
      }
    }
    for (const key of next) {
      if (key.revokedAt !== undefined) continue
      // Lifetimes were raised in the configuration: what it signed may live longer than when it was made.
      const removedAt = removalAfter(key.signsUntil, times)
      if (key.removedAt < removedAt) replace(rewritten(key, { removedAt }))
      // The private half is destroyed once it no longer signs.
      if (now >= key.signsUntil && key.sealed !== undefined) {
        replace(withoutPrivateHalf(key))
      } else if (key.proof.secretId !== secrets[0].id) {
        // Secrets rotate in three deploys; the second one re-seals.
        replace(rewritten(key, {}))
      }
    }
    return next.sort(byActivation)
  }

  function adopt(state: RingState): void {
    const before = ring
    ring = state
    const now = clock()
    for (const { kid } of before.keys) {
      const kept = state.keys.find((key) => key.kid === kid)
      if (kept === undefined) emit('key.removed', { kid })
      if (kept === undefined || kept.revokedAt !== undefined) publicKeys.delete(kid)
    }
    const active = signingKeyAt(state.keys, now)
    if (active !== undefined && active.kid !== activeKid) {
      activeKid = active.kid
      emit('key.activated', { kid: active.kid, alg: active.alg })
    }
  }

  /** Reads the store, repairs what it lost, applies `change`, and writes where something differs. */
  async function update(
    change: (keys: readonly KeyRecord[], now: NumericDate) => Promise<KeyRecord[]> | KeyRecord[],
  ): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const stored = await store.read()
      const now = clock()
      const { keys: joined, missing } = joinRings(ring.keys, ours(stored.keys), now)
      const next = await change(joined, now)
      if (missing.length === 0 && sameKeys(next, stored.keys)) return adopt(stored)
      if ((await store.compareAndSet(stored.revision, next)) === 'written') {
        const created = next.filter(({ kid }) => !joined.some((key) => key.kid === kid))
        adopt({ revision: stored.revision + 1, keys: next })
        for (const { kid, activatesAt } of created) emit('key.created', { kid, alg, activatesAt })
        if (missing.length > 0) emit('ring.repaired', { added: missing })
        return
      }
    }
    throw new StoreUnavailable('the key ring could not be written: other instances were always first')
  }

  /**
   * The records that were written by us. With a wrong secret there is no ring at all: never a competing key beside
   * one that exists.
   */
  function ours(keys: readonly KeyRecord[]): KeyRecord[] {
    const missing = keys.filter((key) => open(key) === 'no_secret').map((key) => key.proof.secretId)
    if (missing.length > 0) {
      throw new StoreUnavailable(
        `the key ring in the store is sealed with a secret that is not configured here (${[...new Set(missing)].join(', ')}); add the old secret to the end of "secrets"`,
      )
    }
    return keys.filter((key) => open(key) !== 'tampered')
  }

  async function maintain(): Promise<void> {
    maintaining ??= update(planned).finally(() => {
      maintaining = undefined
    })
    return maintaining
  }

  /** Is there something to do: no ring yet, no successor, a key that is over, or one that just became active? */
  function isDue(now: NumericDate): boolean {
    const active = signingKeyAt(ring.keys, now)
    return (
      active === undefined ||
      active.kid !== activeKid ||
      standbyAt(ring.keys, now, alg) === undefined ||
      ring.keys.some((key) => now >= key.removedAt || (now >= key.signsUntil && key.sealed !== undefined))
    )
  }

  return {
    /** Reads the ring and does what is due; called at start, every second, and by a request that finds no key. */
    maintain,

    /** Fulfilled once this instance has seen a ring; at once where it has. */
    async loaded(): Promise<void> {
      if (ring.revision === 0) await maintain()
    },

    /**
     * The key to sign with now.
     * @throws OAuthError 503 where no key may sign: the store is away, or the secret is wrong.
     */
    async signer(): Promise<{ kid: string; alg: SigningAlgorithm; privateKey: KeyObject }> {
      const now = clock()
      let record = signingKeyAt(ring.keys, now)
      let failure: unknown
      if (record === undefined) {
        await maintain().catch((error: unknown) => {
          failure = error
        })
        record = signingKeyAt(ring.keys, now)
      } else if (isDue(now)) {
        maintain().catch((error: unknown) =>
          emit('ring.unusable', { reason: error instanceof Error ? error.message : 'unknown' }),
        )
      }
      const privateKey = record && privateKeyOf(record)
      if (record === undefined || privateKey === undefined) {
        throw new OAuthError('temporarily_unavailable', 'no signing key is available at the moment', {
          cause: failure ?? 'no usable key in the ring',
          retryAfter: 5,
        })
      }
      return { kid: record.kid, alg: record.alg, privateKey }
    },

    /** The key that verifies tokens with this `kid` now, with its one algorithm. Memory only. */
    verificationKey(kid: string): { alg: SigningAlgorithm; publicKey: KeyObject } | undefined {
      const now = clock()
      const record = ring.keys.find(
        (key) => key.kid === kid && key.revokedAt === undefined && now < key.removedAt,
      )
      if (record === undefined) return undefined
      let publicKey = publicKeys.get(kid)
      if (publicKey === undefined) {
        publicKey = createPublicKey({ key: record.publicJwk as JsonWebKey, format: 'jwk' })
        if (!fitsAlgorithm(record.alg, publicKey)) return undefined
        publicKeys.set(kid, publicKey)
      }
      return { alg: record.alg, publicKey }
    },

    /** The JWK Set (RFC 7517 §5): public members only. Empty only where there is no ring, which callers turn into 503. */
    jwks(): { keys: Record<string, string>[] } {
      return {
        keys: publishedKeysAt(ring.keys, clock()).map(({ kid, alg: keyAlg, publicJwk }) => ({
          ...publicJwk,
          kid,
          alg: keyAlg,
          use: 'sig',
        })),
      }
    },

    /**
     * Rotates before its time. The successor takes over once every verifier has had time to fetch it
     * (C + Cv + I + σ since it was published), which is at once unless it is very new.
     * @param immediately take over now all the same: verifiers that fetch for an unknown `kid` will not notice
     */
    async rotate({ immediately = false }: { immediately?: boolean } = {}): Promise<void> {
      await update(async (keys, now) => {
        const ready = await planned(keys, now)
        const standby = standbyAt(ready, now, alg)
        if (standby === undefined) return ready
        const activatesAt = immediately
          ? now
          : Math.min(standby.activatesAt, Math.max(now, standby.createdAt + leastPublishTime(times)))
        const promoted = rewritten(standby, { activatesAt, ...plannedTimes(activatesAt, times) })
        const active = signingKeyAt(ready, now)
        const moved = ready.map((key) => (key.kid === standby.kid ? promoted : key))
        // The predecessor keeps signing only for the hand-over; its removal does not come earlier than was planned.
        const handedOver =
          active &&
          rewritten(active, { signsUntil: Math.min(active.signsUntil, activatesAt + handOver(times)) })
        return planned(
          moved.map((key) => (key.kid === handedOver?.kid ? handedOver : key)),
          now,
        )
      })
    },

    /**
     * Emergency: drops a key from the JWK Set, destroys its private half and promotes the standby, at once.
     * @returns `unknown` where the ring has no such key
     */
    async revoke(kid: string): Promise<'revoked' | 'unknown'> {
      let isKnown = false
      await update(async (keys, now) => {
        const target = keys.find((key) => key.kid === kid)
        isKnown = target !== undefined
        if (target === undefined) return [...keys]
        const tombstone = withoutPrivateHalf(target, { revokedAt: target.revokedAt ?? now })
        return planned(
          keys.map((key) => (key.kid === kid ? tombstone : key)),
          now,
        )
      })
      if (isKnown) emit('key.revoked', { kid })
      return isKnown ? 'revoked' : 'unknown'
    },

    /** Every key, and how many records each secret seals (a secret that seals none may be dropped). */
    status(): { revision: number; keys: KeyStatus[]; sealedBy: Record<string, number> } {
      const now = clock()
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
    },
  }
}

export type KeyRing = ReturnType<typeof createKeyRing>

async function generateFor(
  alg: SigningAlgorithm,
  rsaBits: number,
): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  const algorithm = algorithms[alg]
  if (algorithm.keyType === 'ec') return generate('ec', { namedCurve: algorithm.curve })
  if (algorithm.keyType === 'rsa') return generate('rsa', { modulusLength: rsaBits })
  return generate('ed25519')
}

function sameKeys(a: readonly KeyRecord[], b: readonly KeyRecord[]): boolean {
  return a.length === b.length && JSON.stringify(a) === JSON.stringify([...b].sort(byActivation))
}
