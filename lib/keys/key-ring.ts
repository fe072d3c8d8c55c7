import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { fitsAlgorithm, type SigningAlgorithm } from '../protocol/jwa.ts'
import { StoreUnavailable } from '../protocol/oauth-error.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import { BEGINNING, type KeyRecord, type RingState, type RingStore } from '../stores/ports.ts'
import { plannedRing } from './ring-plan.ts'
import { type RingRecordsOptions, type RingSigner, ringRecords } from './ring-records.ts'
import { statusOf } from './ring-status.ts'
import {
  forgottenAt,
  handOver,
  joinRings,
  leastPublishTime,
  plannedTimes,
  publishedKeysAt,
  signingKeyAt,
  standbyAt,
} from './schedule.ts'

/** Rounds of compare-and-set against other instances before it counts as a fault. */
const MAX_ROUNDS = 20

export interface KeyRingOptions extends RingRecordsOptions {
  readonly store: RingStore
  readonly clock: Clock
}

/**
 * The signing keys: created, published, used, retired and removed by themselves. All instances share the ring in the
 * store; a key's state is a pure function of its record and now, so they agree without talking.
 */
export function createKeyRing(options: KeyRingOptions) {
  const { store, issuer, alg, times, secrets, clock, emit } = options
  const records = ringRecords(options)
  const planned = (keys: readonly KeyRecord[], now: NumericDate) =>
    plannedRing(keys, now, { alg, times, records })
  let ring: RingState = { ...BEGINNING, issuer, keys: [] }
  /** The store's, as it was read last; what is used is `ring`, which never forgets. */
  let stored: RingState = ring
  let maintaining: Promise<void> | undefined
  /** What requests looked at last for something due: once a second is enough. */
  let looked = { ring, at: Number.NaN }
  let activeKid: string | undefined
  const publicKeys = new Map<string, { readonly alg: SigningAlgorithm; readonly publicKey: KeyObject }>()

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
      const answer = await store.read(stored)
      if (answer !== 'unchanged') stored = answer
      const read = stored
      const now = clock()
      if (read.issuer !== undefined && read.issuer !== issuer)
        throw new StoreUnavailable(
          `these stores belong to ${read.issuer}; give each issuer stores of its own, or a prefix of its own in them`,
        )
      const seen = ring
      const { keys: joined, missing } = joinRings(seen.keys, records.ours(read.keys), now)
      const next = await change(joined, now)
      if (missing.length === 0 && sameKeys(next, read.keys)) {
        // Something newer was learnt meanwhile, a revocation perhaps: what was read before must not undo it.
        if (ring !== seen) continue
        return adopt(read)
      }
      const written = await store.compareAndSet(read, { issuer, keys: next })
      if (written.outcome === 'written') {
        const created = next.filter(({ kid }) => !joined.some((key) => key.kid === kid))
        stored = { ...written.place, issuer, keys: next }
        if (ring === seen || ring.revision < stored.revision) adopt(stored)
        for (const { kid, activatesAt } of created) emit('key.created', { kid, alg, activatesAt })
        if (missing.length > 0) emit('ring.repaired', { added: missing })
        return
      }
    }
    throw new StoreUnavailable('the key ring could not be written: other instances were always first')
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
      ring.keys.some(
        (key) => now >= forgottenAt(key, times) || (now >= key.signsUntil && key.sealed !== undefined),
      )
    )
  }

  return {
    /** Reads the ring and does what is due; called at start, every second, and by a request that finds no key. */
    maintain,

    /** Fulfilled once this instance has seen a ring; at once where it has. */
    loaded: async (): Promise<void> => (ring.revision === 0 ? maintain() : undefined),

    /**
     * The key to sign with now; no promise where it is there.
     * @throws OAuthError (or rejects with it) 503 where no key may sign: the store is away, or the secret is wrong.
     */
    signer(): RingSigner | Promise<RingSigner> {
      const now = clock()
      const record = signingKeyAt(ring.keys, now)
      if (record === undefined)
        return maintain().then(
          () => records.signerOf(signingKeyAt(ring.keys, now)),
          (failure: unknown) => records.signerOf(signingKeyAt(ring.keys, now), failure),
        )
      if (looked.ring !== ring || !(Math.abs(now - looked.at) < 1)) {
        looked = { ring, at: now }
        if (isDue(now)) maintain().catch(() => undefined) // the regular look at the ring reports it
      }
      return records.signerOf(record)
    },

    /** May a key sign now? Reads memory only. */
    canSign(): boolean {
      const record = signingKeyAt(ring.keys, clock())
      return record !== undefined && records.privateKeyOf(record) !== undefined
    },

    /** The key that verifies tokens with this `kid` now, with its one algorithm; always the same object. Memory only. */
    verificationKey(
      kid: string,
      now = clock(),
    ): { readonly alg: SigningAlgorithm; readonly publicKey: KeyObject } | undefined {
      const record = ring.keys.find(
        (key) => key.kid === kid && key.revokedAt === undefined && now < key.removedAt,
      )
      if (record === undefined) return undefined
      const known = publicKeys.get(kid)
      if (known !== undefined) return known
      const key = {
        alg: record.alg,
        publicKey: createPublicKey({ key: record.publicJwk as JsonWebKey, format: 'jwk' }),
      }
      if (!fitsAlgorithm(key.alg, key.publicKey)) return undefined
      publicKeys.set(kid, key)
      return key
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
        const promoted = records.rewritten(standby, { activatesAt, ...plannedTimes(activatesAt, times) })
        const active = signingKeyAt(ready, now)
        const moved = ready.map((key) => (key.kid === standby.kid ? promoted : key))
        // The predecessor keeps signing only for the hand-over; its removal does not come earlier than was planned.
        const handedOver =
          active &&
          records.rewritten(active, {
            signsUntil: Math.min(active.signsUntil, activatesAt + handOver(times)),
          })
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
        const tombstone = records.withoutPrivateHalf(target, { revokedAt: target.revokedAt ?? now })
        // In a hand-over the predecessor could still sign, but its time is over too.
        const standby = signingKeyAt(keys, now)?.kid === kid ? standbyAt(keys, now, alg) : undefined
        const promoted =
          standby && records.rewritten(standby, { activatesAt: now, ...plannedTimes(now, times) })
        return planned(
          keys.map((key) => (key.kid === kid ? tombstone : promoted?.kid === key.kid ? promoted : key)),
          now,
        )
      })
      if (isKnown) emit('key.revoked', { kid })
      return isKnown ? 'revoked' : 'unknown'
    },

    /** Every key, and how many records each secret seals (a secret that seals none may be dropped). */
    status: () => statusOf(ring, secrets, clock()),
  }
}

export type KeyRing = ReturnType<typeof createKeyRing>

function sameKeys(a: readonly KeyRecord[], b: readonly KeyRecord[]): boolean {
  return a.length === b.length && JSON.stringify(a) === JSON.stringify(b)
}
