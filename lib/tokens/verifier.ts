import { type TokenKey, tokenKey } from '../protocol/digest.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { TokenPlace } from '../stores/ports.ts'
import { isAccessTokenType, readClaims } from './access-token.ts'
import {
  headerSegmentOf,
  type JwsHeader,
  MAX_TOKEN,
  parseCompactJws,
  readJwsHeader,
  type VerificationKey,
} from './compact-jws.ts'
import type { OpaqueAccessTokens } from './opaque-access-token.ts'
import { createRecent } from './recent.ts'
import { createSignatureChecks } from './signature-checks.ts'
import { type CacheLimits, createTokenCache } from './token-cache.ts'
import { type Verified, verifiedOf } from './verified.ts'

export interface VerifierOptions {
  readonly issuer: string
  /** Of all resources; which of them a route is for is the route's to say. */
  readonly audiences: readonly string[]
  readonly clock: Clock
  /** Seconds by which clocks may differ. */
  readonly tolerance: number
  /** Seconds: the longest `exp - iat` that is believed. */
  readonly maxLifetime: number
  /** The key of a `kid` now, from memory: the same object for as long as it is the same key. */
  readonly keyNow: (kid: string, now: NumericDate) => VerificationKey | undefined
  /** The key of a `kid` that memory does not have. Throws what is to be answered with 503. */
  readonly keyFor: (kid: string) => Promise<VerificationKey | undefined>
  /** Is this token revoked? Asked at each use of it. */
  readonly isRevoked: (this: Verified) => boolean
  /** Opaque tokens of this process's own; absent where there can be none. */
  readonly opaque?: Pick<OpaqueAccessTokens, 'read' | 'claimsOf'>
  readonly limits: CacheLimits
}

/** Tokens that are remembered as just minted or as forged. */
const RECENT = 4096
/** Spellings of headers that are remembered; every key has one, and a few more with other cases of `typ`. */
const MAX_HEADERS = 64

/** Seconds for which an opaque token that the store does not have is not looked for again: it never comes back. */
const GONE_FOR = 5

const nobody = () => ''

/**
 * What a verified token is found by: 188 bits or more of its signature, or of an opaque one's tag and secret. Then all of it is
 * compared. Hashing it costs more than everything else on the way of a token that is known. How long a comparison takes tells, by
 * fractions of a nanosecond for each character, how far a text agrees with a token whose last 32 characters it has.
 */
const tailOf = (token: string) => token.slice(-32)

/**
 * Verifies access tokens (RFC 9068 §4, RFC 8725) in the order of least cost: form, header, key, claims, signature; and remembers
 * those that are good, opaque ones by one look into the store. What is remembered is compared with the whole token, holds
 * as long as the key that verified it is still its `kid`'s, and is forgotten when the token expires.
 */
export function createVerifier(options: VerifierOptions) {
  const { issuer, audiences, clock, tolerance, maxLifetime, keyNow, keyFor, isRevoked, opaque, limits } =
    options
  const cache = createTokenCache<Verified>(limits)
  /** Signed in this process by this key. */
  const minted = createRecent<TokenKey, string>(RECENT)
  /** Not signed by this key: a forged token costs one signature check, however often it comes. */
  const forged = createRecent<TokenKey, VerificationKey>(RECENT)
  /** Opaque ones that were over or revoked, and when that was seen. */
  const gone = createRecent<TokenKey, NumericDate>(RECENT)
  const underWay = new Map<TokenKey, Promise<Verified | undefined>>()
  const headers = new Map<string, JwsHeader>()
  const isSignedBy = createSignatureChecks()

  function rememberHeader(segment: string, header: JwsHeader): void {
    if (headers.size >= MAX_HEADERS) headers.clear()
    headers.set(segment, header)
  }

  const read = (payload: Buffer) =>
    readClaims(payload, { issuer, audiences, now: clock(), tolerance, maxLifetime })

  /** For what is signed, or from the store: the rest is not worth it, and must not fill what is shared. */
  function believe(
    token: string,
    claims: Verified['claims'],
    payload: Buffer,
    kid?: string,
    key?: VerificationKey,
  ): Verified {
    const goodUntil = claims.exp + tolerance
    // Not a slice of the Authorization header, so that it is one piece of memory.
    const text = Buffer.from(token, 'latin1').toString('latin1')
    return verifiedOf(text, claims, goodUntil, isRevoked, payload.length, kid, key)
  }

  /** All that can be seen without cryptography; then the signature. */
  function check(id: TokenKey, token: string, header: JwsHeader, key: VerificationKey, from: () => string) {
    const { alg, typ, kid } = header
    if (alg !== key.alg || !isAccessTokenType(typ) || forged.get(id) === key) return undefined
    const jws = parseCompactJws(token, header)
    if ('problem' in jws) return undefined
    const { payload } = jws
    const found = read(payload)
    if ('problem' in found) return undefined
    const accept = () => remember(believe(token, found.claims, payload, kid, key))
    if (minted.get(id) === kid) return accept()
    const settle = (isGood: boolean) => {
      if (isGood) return accept()
      forged.set(id, key)
      return undefined
    }
    const isGood = isSignedBy(key, jws.signingInput, jws.signature, from())
    return isGood instanceof Promise ? isGood.then(settle) : settle(isGood)
  }

  function remember(verified: Verified): Verified {
    cache.add(tailOf(verified.token), verified, clock())
    return verified
  }

  /** All who present a token while it is looked at wait for the one answer. */
  function once(id: TokenKey, result: Promise<Verified | undefined>): Promise<Verified | undefined> {
    const land = () => void underWay.delete(id)
    underWay.set(id, result)
    result.then(land, land)
    return result
  }

  async function checkWithUnknownKey(id: TokenKey, token: string, header: JwsHeader, from: () => string) {
    const key = await keyFor(header.kid)
    return key && check(id, token, header, key, from)
  }

  async function lookUp(id: TokenKey, token: string, place: TokenPlace) {
    const payload = await opaque?.claimsOf(place)
    if (payload === undefined) {
      gone.set(id, clock())
      return undefined
    }
    const found = read(payload)
    return 'problem' in found ? undefined : remember(believe(token, found.claims, payload))
  }

  return {
    /**
     * @param from tells the address that presented it, where its signature has to be checked
     * @returns at once where nothing is to be waited for; `undefined` for a token that is not good, whatever the reason
     * @throws (or rejects with) what is to be answered with 503, where keys or the store cannot be had or too many tokens wait
     */
    verify(token: string, from: () => string = nobody): Verified | undefined | Promise<Verified | undefined> {
      if (token.length > MAX_TOKEN) return undefined
      const now = clock()
      const tail = tailOf(token)
      const known = cache.find(tail, now)
      if (known?.token === token) {
        if (known.kid === undefined || keyNow(known.kid, now) === known.verifiedWith) return known
        cache.drop(tail)
      }
      const id = tokenKey(token)
      const flight = underWay.get(id)
      if (flight !== undefined) return flight
      const place = opaque?.read(token)
      if (place !== undefined) {
        const isGone = Math.abs(now - (gone.get(id) ?? Number.NaN)) < GONE_FOR
        return isGone ? undefined : once(id, lookUp(id, token, place))
      }
      const segment = headerSegmentOf(token)
      const remembered = headers.get(segment)
      const header = remembered ?? readJwsHeader(segment)
      if (header === undefined) return undefined
      const key = keyNow(header.kid, now)
      if (key === undefined) return once(id, checkWithUnknownKey(id, token, header, from))
      if (remembered === undefined) rememberHeader(segment, header)
      const result = check(id, token, header, key, from)
      return result instanceof Promise ? once(id, result) : result
    },

    /** A token that this process signed needs no check of its signature. */
    noteMinted(token: string, kid: string): void {
      minted.set(tokenKey(token), kid)
    },

    size: cache.size,
  }
}

export type Verifier = ReturnType<typeof createVerifier>

/** The verifier of this process's own tokens, with those that are opaque. */
export interface OwnVerifier extends Verifier {
  readonly opaque: OpaqueAccessTokens
}
