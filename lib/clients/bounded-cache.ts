/** Remembers what was used last, bounded in number and weight: what was not used for longest makes room. */
export function createBoundedCache<V>({ maxEntries, maxWeight }: { maxEntries: number; maxWeight: number }) {
  const entries = new Map<string, { readonly value: V; readonly weight: number }>()
  let total = 0

  function drop(key: string): void {
    total -= entries.get(key)?.weight ?? 0
    entries.delete(key)
  }

  return {
    get(key: string): V | undefined {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      entries.delete(key)
      entries.set(key, entry)
      return entry.value
    },
    set(key: string, value: V, weight = 1): void {
      drop(key)
      entries.set(key, { value, weight })
      total += weight
      for (const oldest of entries.keys()) {
        if (entries.size <= maxEntries && total <= maxWeight) break
        drop(oldest)
      }
    },
    delete: drop,
    get size() {
      return entries.size
    },
  }
}
