import { BEGINNING, type RingState, type RingStore } from '../ports.ts'

/** The key ring in memory. */
export function memoryRing(): RingStore {
  let state: RingState = { ...BEGINNING, issuer: undefined, keys: [] }
  return {
    async read(known) {
      return known?.revision === state.revision && known.tip === state.tip ? 'unchanged' : state
    },
    async compareAndSet(expected, { issuer, keys }) {
      if (state.revision !== expected.revision || state.tip !== expected.tip) return { outcome: 'conflict' }
      const revision = expected.revision + 1
      const place = { revision, tip: String(revision) }
      state = { ...place, issuer, keys: [...keys] }
      return { outcome: 'written', place }
    },
  }
}
