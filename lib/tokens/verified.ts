import type { NumericDate } from '../protocol/time.ts'
import type { AatClaims } from './access-token.ts'
import type { VerificationKey } from './compact-jws.ts'
import type { Remembered } from './token-cache.ts'

/**
 * An access token that was found good, whatever its form: what any number of guards and requests share. Whether it is
 * revoked is asked at each use. What a guard looks at is here itself and comes first, so that it comes from memory together.
 */
export interface Verified extends Remembered {
  /** Its `exp` and the tolerance: refused from then on. */
  readonly goodUntil: NumericDate
  /** Of a JWT, with the key that verified it. */
  readonly kid: string | undefined
  readonly verifiedWith: VerificationKey | undefined
  /** Is anything about it revoked, as far as is known in memory? */
  isRevoked(this: Verified): boolean
  /** What that found out last; see `RevocableToken`. */
  revokedFrom: NumericDate | undefined
  learnt: number
  /** The claim `aud`. */
  readonly audience: string
  /** To a key or certificate. */
  readonly isBound: boolean
  /** Of `claims.scope`; frozen. */
  readonly scopes: readonly string[]
  /** What guards made of it; see `madeBy`. */
  by: unknown
  made: unknown
  others: unknown[] | undefined
  /** As it was presented. */
  readonly token: string
  /** Frozen all the way down. */
  readonly claims: Readonly<AatClaims> & Readonly<Record<string, unknown>>
}

/**
 * What a verified token takes in memory, in bytes: by measurement, with what a guard makes of it. Of an opaque one it is the claims
 * that are long.
 */
const bytesOf = (token: string, claimsLength: number) => 1500 + 3 * Math.max(token.length, claimsLength)

/** Where revocations are not known. */
export const neverRevoked = () => false

/** Lists of scopes that are remembered, since most tokens have one of a few. */
const MAX_SCOPE_LISTS = 256
const scopeLists = new Map<string, readonly string[]>()

function scopesOf(text: string): readonly string[] {
  const known = scopeLists.get(text)
  if (known !== undefined) return known
  if (scopeLists.size >= MAX_SCOPE_LISTS) scopeLists.clear()
  const scopes = Object.freeze(text === '' ? [] : text.split(' '))
  scopeLists.set(text, scopes)
  return scopes
}

/** What guards share of a token whose claims were found good. @param claimsLength of their JSON */
export function verifiedOf(
  token: string,
  claims: Verified['claims'],
  goodUntil: NumericDate,
  isRevoked: (this: Verified) => boolean,
  claimsLength: number,
  kid?: string,
  key?: VerificationKey,
): Verified {
  // With all there may ever be, so that all are of one hidden class.
  return {
    goodUntil,
    wasUsed: false,
    kid,
    verifiedWith: key,
    isRevoked,
    revokedFrom: undefined,
    learnt: 0,
    audience: claims.aud,
    isBound: claims.cnf !== undefined,
    scopes: scopesOf(claims.scope),
    by: undefined,
    made: undefined,
    others: undefined,
    token,
    claims: deepFreeze(claims),
    holder: claims.sub,
    bytes: bytesOf(token, claimsLength),
    key: undefined,
    weight: 0,
    older: undefined,
    younger: undefined,
  }
}

/** The most things that are kept beside the first. */
const MOST = 3

/** What was made of a token by this before, if it is still there. */
export function madeBy({ by, made, others }: Verified, whom: unknown): unknown {
  if (by === whom) return made
  if (others === undefined) return undefined
  // Of so few, each is found faster than in a Map.
  for (let index = 0; index < others.length; index += 2) if (others[index] === whom) return others[index + 1]
  return undefined
}

/** Keeps what was made of a token for the next request with it. */
export function keepMade(verified: Verified, by: unknown, made: unknown): void {
  if (verified.by === undefined) {
    verified.by = by
    verified.made = made
    return
  }
  verified.others ??= []
  if (verified.others.length === 2 * MOST) verified.others.splice(0, 2)
  verified.others.push(by, made)
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}
