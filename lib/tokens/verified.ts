import type { NumericDate } from '../protocol/time.ts'
import type { AatClaims } from './access-token.ts'
import type { VerificationKey } from './compact-jws.ts'
import type { Remembered } from './token-cache.ts'

/**
 * An access token that was found good, whatever its form: what any number of guards and requests share. Whether it is
 * revoked is asked at each use.
 */
export interface Verified extends Remembered {
  /** As it was presented. */
  readonly token: string
  /** Frozen all the way down. */
  readonly claims: Readonly<AatClaims> & Readonly<Record<string, unknown>>
  /** Of `claims.scope`; frozen. */
  readonly scopes: readonly string[]
  /** Its `exp` and the tolerance: refused from then on. */
  readonly goodUntil: NumericDate
  /** Is anything about it revoked, as far as is known in memory? */
  readonly isRevoked: () => boolean
  /** Of a JWT, with the key that verified it. */
  readonly kid: string | undefined
  readonly key: VerificationKey | undefined
  /** What guards made of it; see `madeBy`. */
  readonly made: unknown[]
}

/**
 * What a verified token takes in memory, in bytes: by measurement, with what a guard makes of it. Of an opaque one it is the claims
 * that are long.
 */
const bytesOf = (token: string, claimsLength: number) => 1500 + 3 * Math.max(token.length, claimsLength)

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
  claims: AatClaims & Record<string, unknown>,
  goodUntil: NumericDate,
  isRevoked: () => boolean,
  claimsLength: number,
  kid?: string,
  key?: VerificationKey,
): Verified {
  return {
    token,
    claims: deepFreeze(claims),
    scopes: scopesOf(claims.scope),
    holder: claims.sub,
    bytes: bytesOf(token, claimsLength),
    goodUntil,
    isRevoked,
    kid,
    key,
    made: [],
  }
}

/** The most things that are kept beside one token. */
const MOST = 4

/** What was made of a token by this before, if it is still there. */
export function madeBy({ made }: Verified, by: unknown): unknown {
  // Of so few, each is found faster than in a Map.
  for (let index = 0; index < made.length; index += 2) if (made[index] === by) return made[index + 1]
  return undefined
}

/** Keeps what was made of a token for the next request with it. */
export function keepMade({ made }: Verified, by: unknown, value: unknown): void {
  if (made.length === 2 * MOST) made.splice(0, 2)
  made.push(by, value)
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}
