import type { RingState, RingStore } from '../ports.ts'

/** The key ring in memory. */
export function memoryRing(): RingStore {
  let state: RingState = { revision: 0, keys: [] }
  return {
    async read() {
      return state
    },
    async compareAndSet(expectedRevision, keys) {
      if (state.revision !== expectedRevision) return 'conflict'
      state = { revision: expectedRevision + 1, keys: [...keys] }
      return 'written'
    },
  }
}
