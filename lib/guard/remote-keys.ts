import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { isObject } from '../protocol/encoding.ts'
import { algorithms, fitsAlgorithm, type SigningAlgorithm } from '../protocol/jwa.ts'
import type { Clock } from '../protocol/time.ts'
import type { VerificationKey } from '../tokens/compact-jws.ts'
import type { IssuerDocuments } from './issuer-documents.ts'

export interface RemoteKeysOptions {
  readonly issuer: string
  readonly jwksUri: string | undefined
  readonly documents: IssuerDocuments
  readonly clock: Clock
  /** Seconds that a set is believed without asking again; its own `max-age` may shorten it. */
  readonly cacheLifetime: number
  /** Seconds between fetches for a `kid` that is not known. */
  readonly cooldown: number
}

const MAX_KEYS = 100
/** How long keys are used after they should have been fetched again and could not be, in seconds. */
const STALE_WHILE_ERROR = 3600
/** The part of its lifetime after which a set is fetched again. */
const REFRESH_AHEAD = 0.8
/** Seconds for which a set is kept whose issuer says that it may not be, or hardly. */
const SHORTEST_LIFETIME = 30
/** Seconds after which a fetch that failed is tried again. */
const RETRY = 5

/**
 * The JWK Set of an issuer elsewhere: fetched once for any number of requests, kept, and fetched again when it is old or a key
 * is not known, at a bounded rate. Where it cannot be fetched, known keys go on; for an unknown one it throws (503, not 401).
 */
export function createRemoteKeys({
  issuer,
  jwksUri,
  documents,
  clock,
  cacheLifetime,
  cooldown,
}: RemoteKeysOptions) {
  let keys = new Map<string, VerificationKey>()
  let refreshAt = Number.POSITIVE_INFINITY
  let goodUntil = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let failure: unknown
  let knownUri = jwksUri
  let fetching: Promise<void> | undefined

  async function refresh(): Promise<void> {
    triedAt = clock()
    try {
      knownUri ??= await documents.published('jwks_uri')
      const { body, maxAge } = await documents.fetchJson(knownUri)
      const fresh = readKeys(body, keys)
      if (fresh.size === 0) throw new Error(`${knownUri} has no usable key`)
      keys = fresh
      const shortest = Math.min(cooldown, SHORTEST_LIFETIME)
      const lifetime = Math.min(cacheLifetime, Math.max(maxAge ?? cacheLifetime, shortest))
      refreshAt = triedAt + lifetime * REFRESH_AHEAD
      goodUntil = clock() + lifetime
      failure = undefined
    } catch (error) {
      failure = new Error(`the JWK Set of ${issuer} cannot be had`, { cause: error })
      // By a clock that jumped back the set would be good for longer than any is.
      goodUntil = Math.min(goodUntil, triedAt + cacheLifetime)
      // It may have moved: the metadata is asked again next time.
      knownUri = jwksUri
    }
  }

  function refreshOnce(): Promise<void> {
    fetching ??= refresh().finally(() => {
      fetching = undefined
    })
    return fetching
  }

  const isLongAgo = (seconds: number, now: number) => now - triedAt >= seconds || now < triedAt
  const mayRetry = (now: number) => isLongAgo(Math.min(cooldown, RETRY), now)
  const isUsable = (now: number) =>
    now < goodUntil || (failure !== undefined && now < goodUntil + STALE_WHILE_ERROR)

  return {
    /**
     * The key of a `kid` from memory, while the set is believed: until it should have been fetched again, and for a while
     * longer where it cannot be. It is fetched ahead of that, so that nobody waits.
     */
    keyNow(kid: string, now = clock()): VerificationKey | undefined {
      // A clock that jumped back prolongs nothing.
      const isDue = failure === undefined ? now >= refreshAt || now < triedAt : mayRetry(now)
      if (isDue && fetching === undefined) void refreshOnce()
      return isUsable(now) ? keys.get(kid) : undefined
    },

    /** Fulfilled once there is a set that is believed. @throws Error where it cannot be had */
    async hydrate(): Promise<void> {
      if (clock() < goodUntil) return
      await refreshOnce()
      if (clock() >= goodUntil) throw failure
    },

    /** The key of a `kid` that is not in memory, or no longer believed. @throws Error where the set cannot be had */
    async keyFor(kid: string): Promise<VerificationKey | undefined> {
      const now = clock()
      const isDue = failure === undefined ? now >= refreshAt || isLongAgo(cooldown, now) : mayRetry(now)
      if (isDue || fetching !== undefined) await refreshOnce()
      const found = keys.get(kid)
      if (found !== undefined && isUsable(clock())) return found
      if (failure !== undefined) throw failure
      return undefined
    },
  }
}

/** Keys that say which one algorithm they are for (RFC 8725 §3.1); anything else in the set is passed over. */
function readKeys(
  jwks: Record<string, unknown>,
  before: ReadonlyMap<string, VerificationKey>,
): Map<string, VerificationKey> {
  const keys = new Map<string, VerificationKey>()
  const list = Array.isArray(jwks.keys) ? jwks.keys.slice(0, MAX_KEYS) : []
  for (const jwk of list) {
    if (
      !isObject(jwk) ||
      typeof jwk.kid !== 'string' ||
      typeof jwk.alg !== 'string' ||
      !Object.hasOwn(algorithms, jwk.alg) ||
      (jwk.use !== undefined && jwk.use !== 'sig')
    )
      continue
    try {
      const alg = jwk.alg as SigningAlgorithm
      const publicKey = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
      const known = before.get(jwk.kid)
      // What was verified with a key stays so for as long as it is the same object.
      const isSame = known?.alg === alg && known.publicKey.equals(publicKey)
      if (fitsAlgorithm(alg, publicKey)) keys.set(jwk.kid, isSame ? known : { alg, publicKey })
    } catch {
      // Not a key that Node can read: passed over like any other that is not for us.
    }
  }
  return keys
}
