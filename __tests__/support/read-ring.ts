import type { RingState, RingStore } from '../../lib/stores/ports.ts'

/** The ring as it lies in the store. */
export async function readRing(store: Pick<RingStore, 'read'>): Promise<RingState> {
  const state = await store.read()
  if (state === 'unchanged') throw new Error('a store that was told of no place answered "unchanged"')
  return state
}
