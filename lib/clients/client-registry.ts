import type { Emit } from '../protocol/events.ts'
import type { Client, ClientStore } from '../stores/ports.ts'

/** Finds clients: those of the configuration first, then the registered ones. */
export function createClientRegistry(configured: readonly Client[], store: ClientStore, emit: Emit) {
  const fromConfiguration = new Map(configured.map((client) => [client.id, client]))
  return {
    async find(id: string): Promise<Client | undefined> {
      return fromConfiguration.get(id) ?? (isRegisteredId(id) ? store.read(id) : undefined)
    },

    async delete(id: string): Promise<'deleted' | 'unknown' | 'configured'> {
      if (fromConfiguration.has(id)) return 'configured'
      const outcome = isRegisteredId(id) ? await store.delete(id) : 'unknown'
      if (outcome === 'deleted') emit('client.deleted', { clientId: id })
      return outcome
    },
  }
}

export type ClientRegistry = ReturnType<typeof createClientRegistry>

/** Ids that registration gives: a fixed alphabet and length, so no other text ever reaches a store. */
export const REGISTERED_ID_PREFIX = 'dcr_'

function isRegisteredId(id: string): boolean {
  return /^dcr_[A-Za-z0-9_-]{22}$/.test(id)
}
