import type { TokenKey } from '../protocol/digest.ts'
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

/** What is remembered of a token. */
export interface Remembered {
  /** Whose token it is: nobody's tokens drive out everybody else's. */
  readonly holder: string
  /** About what it takes, with everything that hangs on it. */
  readonly bytes: number
  /** It is worth nothing from then on. */
  readonly goodUntil: NumericDate
}

interface Entry<V> {
  readonly key: TokenKey
  readonly value: V
  readonly weight: number
  wasUsed: boolean
  older: Entry<V> | undefined
  younger: Entry<V> | undefined
}

/** Of a full cache, one holder's tokens are at most one part in this many. */
const SHARES = 8

/**
 * A bounded memory of tokens (SIEVE: a hand walks from old to young, takes what was not used since it came by last, and
 * lets the rest be). What is seen only once never drives out what is in use, and a holder who has his share of a full cache
 * makes room for his next token among his own.
 */
export function createTokenCache<V extends Remembered>({ entries, bytes }: CacheLimits) {
  const found = new Map<TokenKey, Entry<V>>()
  /** Both bounds in one: an entry weighs its part of the bytes, but at least its part of the entries. */
  const capacity = entries * bytes
  const weightOf = new Map<string, number>()
  const share = capacity / SHARES
  let weight = 0
  let oldest: Entry<V> | undefined
  let youngest: Entry<V> | undefined
  let hand: Entry<V> | undefined
  /** Goes round like the hand, but takes only what has expired. */
  let broom: Entry<V> | undefined

  function remove(entry: Entry<V>): void {
    found.delete(entry.key)
    if (hand === entry) hand = entry.younger
    if (broom === entry) broom = entry.younger
    if (entry.older === undefined) oldest = entry.younger
    else entry.older.younger = entry.younger
    if (entry.younger === undefined) youngest = entry.older
    else entry.younger.older = entry.older
    weight -= entry.weight
    const { holder } = entry.value
    const left = (weightOf.get(holder) ?? 0) - entry.weight
    if (left > 0) weightOf.set(holder, left)
    else weightOf.delete(holder)
  }

  const isOverShare = (holder: string) => (weightOf.get(holder) ?? 0) > share

  /** Makes room. @param among only this holder's, where given */
  function evict(now: NumericDate, among: string | undefined): void {
    for (let entry = hand ?? oldest; entry !== undefined; entry = hand ?? oldest) {
      hand = entry.younger
      const { holder, goodUntil } = entry.value
      const isMeant = among === undefined || holder === among
      const isSpared = entry.wasUsed && (among !== undefined || !isOverShare(holder))
      if (now >= goodUntil || (isMeant && !isSpared)) {
        remove(entry)
        return
      }
      if (isMeant) entry.wasUsed = false
    }
  }

  return {
    find(key: TokenKey, now: NumericDate): V | undefined {
      const entry = found.get(key)
      if (entry === undefined) return undefined
      if (now >= entry.value.goodUntil) {
        remove(entry)
        return undefined
      }
      entry.wasUsed = true
      return entry.value
    },

    add(key: TokenKey, value: V, now: NumericDate): void {
      const existing = found.get(key)
      if (existing !== undefined) remove(existing)
      // What is over goes in passing, so that it is not held until room is needed.
      for (let step = 0; step < 2; step++) {
        const entry = broom ?? oldest
        broom = entry?.younger
        if (entry !== undefined && now >= entry.value.goodUntil) remove(entry)
      }
      const own = Math.max(bytes, entries * value.bytes)
      if (capacity === 0 || own > capacity) return
      while (weight + own > capacity) evict(now, isOverShare(value.holder) ? value.holder : undefined)
      const entry: Entry<V> = { key, value, weight: own, wasUsed: false, older: youngest, younger: undefined }
      if (youngest === undefined) oldest = entry
      else youngest.younger = entry
      youngest = entry
      found.set(key, entry)
      weight += own
      weightOf.set(value.holder, (weightOf.get(value.holder) ?? 0) + own)
    },

    drop(key: TokenKey): void {
      const entry = found.get(key)
      if (entry !== undefined) remove(entry)
    },

    size: (): number => found.size,
  }
}
