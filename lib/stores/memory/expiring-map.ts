import type { Clock, NumericDate } from '../../protocol/time.ts'

/**
 * A map whose entries end, bounded in number. Each write looks at a few old entries and drops those that are over,
 * so nothing needs a timer and nothing grows without bound.
 */
export class ExpiringMap<V> {
  readonly #entries = new Map<string, { value: V; expiresAt: NumericDate }>()
  #sweep = this.#entries.entries()

  readonly #clock: Clock
  readonly #maxEntries: number

  constructor(clock: Clock, maxEntries: number) {
    this.#clock = clock
    this.#maxEntries = maxEntries
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (this.#clock() < entry.expiresAt) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  /** Over the bound the oldest entry makes room, where `whenFull` does not refuse. */
  set(key: string, value: V, expiresAt: NumericDate, whenFull: 'evict' | 'refuse' = 'evict'): boolean {
    this.#dropSomeExpired()
    if (!this.#entries.has(key) && this.#entries.size >= this.#maxEntries) {
      if (whenFull === 'refuse') return false
      const oldest = this.#entries.keys().next()
      if (!oldest.done) this.#entries.delete(oldest.value)
    }
    this.#entries.set(key, { value, expiresAt })
    return true
  }

  delete(key: string): boolean {
    return this.#entries.delete(key)
  }

  *values(): IterableIterator<V> {
    const now = this.#clock()
    for (const { value, expiresAt } of this.#entries.values()) if (now < expiresAt) yield value
  }

  #dropSomeExpired(): void {
    const now = this.#clock()
    for (let looked = 0; looked < 4; looked++) {
      const next = this.#sweep.next()
      if (next.done) {
        this.#sweep = this.#entries.entries()
        return
      }
      const [key, { expiresAt }] = next.value
      if (now >= expiresAt) this.#entries.delete(key)
    }
  }
}
