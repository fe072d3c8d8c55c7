import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { DerivedKeys } from '../protocol/derived-keys.ts'
import { isObject } from '../protocol/encoding.ts'
import type { Emit } from '../protocol/events.ts'
import { algorithms, type SigningAlgorithm } from '../protocol/jwa.ts'
import { OAuthError, StoreUnavailable } from '../protocol/oauth-error.ts'
import { jwkThumbprint } from '../protocol/public-jwk.ts'
import type { Random } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { KeyRecord } from '../stores/ports.ts'
import { plannedTimes, type RingTimes } from './schedule.ts'
import { type BareRecord, openRecord, sealRecord } from './sealing.ts'

/** Seconds for which a record may stay sealed with an older secret: longer than a rolling deploy takes. */
export const RESEAL_AFTER = 600

const generate = promisify(generateKeyPair)

/** A key that signs now. */
export interface RingSigner {
  readonly kid: string
  readonly alg: SigningAlgorithm
  readonly privateKey: KeyObject
}

export interface RingRecordsOptions {
  readonly issuer: string
  readonly alg: SigningAlgorithm
  readonly rsaBits: number
  readonly times: RingTimes
  /** Newest first. */
  readonly secrets: readonly [DerivedKeys, ...DerivedKeys[]]
  readonly random: Random
  readonly emit: Emit
}

/** Makes, opens and rewrites the records of the ring; what seals them is known only here. */
export function ringRecords({ issuer, alg, rsaBits, times, secrets, random, emit }: RingRecordsOptions) {
  /** Records are immutable and opened once each. */
  const opened = new WeakMap<KeyRecord, ReturnType<typeof openRecord>>()
  const reported = new Set<string>()
  /** When records that another secret seals were seen first, by their proof. */
  const seenAt = new Map<string, NumericDate>()

  function open(record: KeyRecord): ReturnType<typeof openRecord> {
    if (!isObject(record)) return 'tampered'
    const known = opened.get(record)
    if (known !== undefined) return known
    const result = openRecord(record, issuer, secrets)
    opened.set(record, result)
    if (result === 'tampered' && reported.size < 64 && !reported.has(record.kid)) {
      reported.add(record.kid)
      emit('ring.unusable', {
        reason: `signing key ${/^[\w-]{1,64}$/.test(record.kid) ? record.kid : '(no kid)'} is not as it was written: its record was changed in the store; it is left out`,
      })
    }
    return result
  }

  /** The private half, where it is there and ours. */
  function privateKeyOf(record: KeyRecord): KeyObject | undefined {
    const result = open(record)
    return typeof result === 'string' ? undefined : result.privateKey
  }

  /**
   * What signs with a record's key.
   * @throws OAuthError 503 where there is no key, or its private half cannot be had
   */
  function signerOf(record: KeyRecord | undefined, failure?: unknown): RingSigner {
    const privateKey = record && privateKeyOf(record)
    if (record === undefined || privateKey === undefined)
      throw new OAuthError('temporarily_unavailable', 'no signing key is available at the moment', {
        cause: failure ?? 'no usable key in the ring',
        retryAfter: 5,
      })
    return { kid: record.kid, alg: record.alg, privateKey }
  }

  /** A new key that will activate at a moment. */
  async function create(activatesAt: NumericDate, now: NumericDate): Promise<KeyRecord> {
    const { publicKey, privateKey } = await generateFor(alg, rsaBits)
    const publicJwk = publicKey.export({ format: 'jwk' }) as Record<string, string>
    const bare = {
      kid: jwkThumbprint(publicJwk),
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

  /**
   * Has a record been sealed with another secret than the newest for a while? Secrets rotate in three deploys, and the second
   * one re-seals; while it is under way, instances of both kinds would re-seal what the others did.
   */
  function isToBeResealed({ proof }: KeyRecord, now: NumericDate): boolean {
    if (proof.secretId === secrets[0].id) return false
    if (seenAt.size >= 64) seenAt.clear()
    const since = seenAt.get(proof.tag) ?? now
    seenAt.set(proof.tag, since)
    return now - since >= RESEAL_AFTER
  }

  return { create, rewritten, withoutPrivateHalf, privateKeyOf, signerOf, ours, isToBeResealed }
}

export type RingRecords = ReturnType<typeof ringRecords>

async function generateFor(
  alg: SigningAlgorithm,
  rsaBits: number,
): Promise<{ publicKey: KeyObject; privateKey: KeyObject }> {
  const algorithm = algorithms[alg]
  if (algorithm.keyType === 'ec') return generate('ec', { namedCurve: algorithm.curve })
  if (algorithm.keyType === 'rsa') return generate('rsa', { modulusLength: rsaBits })
  return generate('ed25519')
}
