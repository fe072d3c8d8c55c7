import { type Check, optional, optionalObject, whole } from '../protocol/options.ts'
import type { NumericDate } from '../protocol/time.ts'

/** How much is remembered of verified access tokens; what is over it is verified again. */
export interface VerifiedTokensOptions {
  /** Tokens (default 50,000; 0: each is verified at every request). */
  entries?: number | undefined
  /** Bytes of memory, by estimate (default 67,108,864 = 64 MiB: about 20,000 tokens of 600 characters). */
  bytes?: number | undefined
}

export type CacheLimits = { readonly [K in keyof VerifiedTokensOptions]-?: number }

/** The `verifiedTokens` option. */
export const verifiedTokensOption: Check<CacheLimits> = optionalObject({
  entries: optional(whole('tokens', 0, 1_000_000), 50_000),
  bytes: optional(whole('bytes', 0, 2 ** 33), 64 * 1024 * 1024),
})

/**
 * What is remembered of a token, by one cache, whose own notes are on it: among very many tokens each object that a hit looks at
 * is a wait for memory, and so it looks at one.
 */
export interface Remembered {
  /** It is worth nothing from then on. */
  readonly goodUntil: NumericDate
  /** Since the hand came by last. */
  wasUsed?: boolean
  /** Whose token it is: nobody's tokens drive out everybody else's. */
  readonly holder: string
  /** About what it takes, with everything that hangs on it. */
  readonly bytes: number
  key?: string | undefined
  weight?: number
  older?: Remembered | undefined
  younger?: Remembered | undefined
}

/** Of a full cache, one holder's tokens are at most one part in this many. */
const SHARES = 8

/**
 * A bounded memory of tokens (SIEVE: a hand walks from old to young, takes what was not used since it came by last, and
 * lets the rest be). What is seen only once never drives out what is in use, and a holder who has his share of a full cache
 * makes room for his next token among his own.
 */
export function createTokenCache<V extends Remembered>({ entries, bytes }: CacheLimits) {
  const found = new Map<string, V>()
  /** Both bounds in one: a token weighs its part of the bytes, but at least its part of the entries. */
  const capacity = entries * bytes
  const weightOf = new Map<string, number>()
  const share = capacity / SHARES
  let weight = 0
  let oldest: Remembered | undefined
  let youngest: Remembered | undefined
  let hand: Remembered | undefined
  /** Goes round like the hand, but takes only what has expired. */
  let broom: Remembered | undefined

  function add(key: string, value: V, own: number): void {
    value.key = key
    value.weight = own
    value.wasUsed = false
    value.older = youngest
    value.younger = undefined
    if (youngest === undefined) oldest = value
    else youngest.younger = value
    youngest = value
    found.set(key, value)
    weight += own
    weightOf.set(value.holder, (weightOf.get(value.holder) ?? 0) + own)
  }

  function remove(value: Remembered): void {
    const { key, weight: own = 0, older, younger, holder } = value
    found.delete(key as string)
    if (hand === value) hand = younger
    if (broom === value) broom = younger
    if (older === undefined) oldest = younger
    else older.younger = younger
    if (younger === undefined) youngest = older
    else younger.older = older
    // Who still holds it holds none of the others.
    value.older = undefined
    value.younger = undefined
    weight -= own
    const left = (weightOf.get(holder) ?? 0) - own
    if (left > 0) weightOf.set(holder, left)
    else weightOf.delete(holder)
  }

  const isOverShare = (holder: string) => (weightOf.get(holder) ?? 0) > share

  /** Makes room. @param among only this holder's, where given */
  function evict(now: NumericDate, among: string | undefined): void {
    for (let value = hand ?? oldest; value !== undefined; value = hand ?? oldest) {
      hand = value.younger
      const { holder, goodUntil } = value
      const isMeant = among === undefined || holder === among
      const isSpared = value.wasUsed === true && (among !== undefined || !isOverShare(holder))
      if (now >= goodUntil || (isMeant && !isSpared)) {
        remove(value)
        return
      }
      if (isMeant) value.wasUsed = false
    }
  }

  return {
    find(key: string, now: NumericDate): V | undefined {
      const value = found.get(key)
      if (value === undefined) return undefined
      if (now >= value.goodUntil) {
        remove(value)
        return undefined
      }
      // What is only read need not be written back to memory.
      if (value.wasUsed !== true) value.wasUsed = true
      return value
    },

    /** @param value that is in no cache */
    add(key: string, value: V, now: NumericDate): void {
      const existing = found.get(key)
      if (existing !== undefined) remove(existing)
      // What is over goes in passing, so that it is not held until room is needed.
      for (let step = 0; step < 2; step++) {
        const next = broom ?? oldest
        broom = next?.younger
        if (next !== undefined && now >= next.goodUntil) remove(next)
      }
      const own = Math.max(bytes, entries * value.bytes)
      if (capacity === 0 || own > capacity) return
      while (weight + own > capacity) evict(now, isOverShare(value.holder) ? value.holder : undefined)
      add(key, value, own)
    },

    drop(key: string): void {
      const value = found.get(key)
      if (value !== undefined) remove(value)
    },

    size: (): number => found.size,
  }
}
