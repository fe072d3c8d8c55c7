import type { TokenKey } from '../protocol/digest.ts'

/** Remembers something of the last `limit` to twice `limit` tokens. */
export function createRecentKeys<V>(limit: number) {
  let young = new Map<TokenKey, V>()
  let old = new Map<TokenKey, V>()
  return {
    add(key: TokenKey, value: V): void {
      if (young.size >= limit) {
        old = young
        young = new Map()
      }
      young.set(key, value)
    },
    get: (key: TokenKey): V | undefined => young.get(key) ?? old.get(key),
    delete(key: TokenKey): void {
      young.delete(key)
      old.delete(key)
    },
  }
}
