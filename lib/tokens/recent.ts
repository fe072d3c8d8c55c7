/** Remembers something of the last `limit` to twice `limit` keys. */
export function createRecent<K, V>(limit: number) {
  let young = new Map<K, V>()
  let old = new Map<K, V>()
  return {
    set(key: K, value: V): void {
      if (young.size >= limit && !young.has(key)) {
        old = young
        young = new Map()
      }
      young.set(key, value)
    },
    get: (key: K): V | undefined => young.get(key) ?? old.get(key),
  }
}
