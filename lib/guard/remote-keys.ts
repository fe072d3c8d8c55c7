import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { decodeUtf8, isObject, parseJsonObject } from '../protocol/encoding.ts'
import { algorithms, fitsAlgorithm, type SigningAlgorithm } from '../protocol/jwa.ts'
import { problemOfPublishedUrl, wellKnownUrl } from '../protocol/resource-uri.ts'
import type { Clock } from '../protocol/time.ts'
import type { VerificationKey } from '../tokens/compact-jws.ts'

/** The network, as `fetch`. */
export type Fetch = typeof globalThis.fetch

export interface RemoteKeysOptions {
  readonly issuer: string
  readonly jwksUri: string | undefined
  readonly fetch: Fetch
  readonly clock: Clock
  /** Seconds that a set is believed without asking again; its own `max-age` may shorten it. */
  readonly cacheLifetime: number
  /** Seconds between fetches for a `kid` that is not known. */
  readonly cooldown: number
  /** Seconds that a fetch may take. */
  readonly timeout: number
}

const MAX_BYTES = 64 * 1024
const MAX_KEYS = 100
/** How long keys are used after they should have been fetched again and could not be, in seconds. */
const STALE_WHILE_ERROR = 3600
/** The part of its lifetime after which a set is fetched again. */
const REFRESH_AHEAD = 0.8

/**
 * The JWK Set of an issuer elsewhere: fetched once for any number of requests, kept, and fetched again when it is old or a key
 * is not known, at a bounded rate. Where it cannot be fetched, known keys go on; for an unknown one it throws (503, not 401).
 */
export function createRemoteKeys({
  issuer,
  jwksUri,
  fetch,
  clock,
  cacheLifetime,
  cooldown,
  timeout,
}: RemoteKeysOptions) {
  let keys = new Map<string, VerificationKey>()
  let refreshAt = Number.POSITIVE_INFINITY
  let goodUntil = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let failure: unknown
  let knownUri = jwksUri
  let fetching: Promise<void> | undefined

  async function fetchJson(
    url: string,
  ): Promise<{ body: Record<string, unknown>; maxAge: number | undefined }> {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.timeout(timeout * 1000),
      headers: { accept: 'application/json, application/jwk-set+json' },
    })
    if (!response.ok) throw new Error(`${url} answered ${response.status}`)
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of response.body ?? []) {
      size += chunk.length
      if (size > MAX_BYTES) throw new Error(`${url} is over ${MAX_BYTES} bytes`)
      chunks.push(chunk)
    }
    const body = parseJsonObject(decodeUtf8(Buffer.concat(chunks)) ?? '')
    if (body === undefined) throw new Error(`${url} is not a JSON object`)
    const maxAge = /(?:^|[\s,])max-age=(\d{1,8})/.exec(response.headers.get('cache-control') ?? '')?.[1]
    return { body, maxAge: maxAge === undefined ? undefined : Number(maxAge) }
  }

  async function discover(): Promise<string> {
    // RFC 8414 §3.1: without the slash that some issuers end with.
    const url = wellKnownUrl(issuer.replace(/\/$/, ''), 'oauth-authorization-server')
    const { body } = await fetchJson(url)
    // RFC 8414 §3.3: the document must be about the issuer that was asked for.
    if (body.issuer !== issuer) throw new Error(`${url} is about another issuer`)
    const problem = problemOfPublishedUrl(body.jwks_uri)
    if (problem !== undefined) throw new Error(`jwks_uri of ${url} ${problem}`)
    return body.jwks_uri as string
  }

  async function refresh(): Promise<void> {
    triedAt = clock()
    try {
      knownUri ??= await discover()
      const { body, maxAge } = await fetchJson(knownUri)
      const fresh = readKeys(body, keys)
      if (fresh.size === 0) throw new Error(`${knownUri} has no usable key`)
      keys = fresh
      const lifetime = Math.min(cacheLifetime, Math.max(maxAge ?? cacheLifetime, cooldown))
      refreshAt = triedAt + lifetime * REFRESH_AHEAD
      goodUntil = clock() + lifetime
      failure = undefined
    } catch (error) {
      failure = new Error(`the JWK Set of ${issuer} cannot be had`, { cause: error })
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

  const mayTry = (now: number) =>
    now - triedAt >= (failure === undefined ? cooldown : Math.min(cooldown, 5)) || now < triedAt

  return {
    /**
     * The key of a `kid` from memory, while the set is believed: until it should have been fetched again, and for a while
     * longer where it cannot be. It is fetched ahead of that, so that nobody waits.
     */
    keyNow(kid: string): VerificationKey | undefined {
      const now = clock()
      if (now >= refreshAt && fetching === undefined && mayTry(now)) void refreshOnce()
      const isUsable = now < goodUntil || (failure !== undefined && now < goodUntil + STALE_WHILE_ERROR)
      return isUsable ? keys.get(kid) : undefined
    },

    /** The key of a `kid` that is not in memory, or no longer believed. @throws Error where the set cannot be had */
    async keyFor(kid: string): Promise<VerificationKey | undefined> {
      if (fetching !== undefined || mayTry(clock())) await refreshOnce()
      const found = keys.get(kid)
      if (found !== undefined && clock() < goodUntil + STALE_WHILE_ERROR) return found
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
