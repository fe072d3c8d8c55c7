import type { Clock, NumericDate } from '../../protocol/time.ts'
import type { PlaceStore } from '../ports.ts'

/** Places in memory: as many maps as the configuration has names for, each bounded by its limit. */
export function memoryPlaces(clock: Clock): PlaceStore {
  const all = new Map<string, Map<string, NumericDate>>()
  return {
    async take(places, holder, expiresAt = Number.POSITIVE_INFINITY, limit) {
      const held = all.get(places) ?? new Map<string, NumericDate>()
      all.set(places, held)
      const now = clock()
      if (held.size >= limit) for (const [other, end] of held) if (end <= now) held.delete(other)
      if (!held.has(holder) && held.size >= limit) return 'full'
      held.set(holder, Math.max(held.get(holder) ?? expiresAt, expiresAt))
      return 'taken'
    },
    async leave(places, holder, by) {
      const held = all.get(places)
      const end = held?.get(holder)
      if (by === undefined) held?.delete(holder)
      else if (end !== undefined) held?.set(holder, Math.min(end, by))
    },
  }
}
