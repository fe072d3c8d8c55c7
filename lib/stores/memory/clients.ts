import type { Client, ClientStore } from '../ports.ts'

/** Registered clients in memory: bounded, and refusing rather than forgetting one that holds an id. */
export function memoryClients(maxEntries: number): ClientStore {
  const clients = new Map<string, Client>()
  return {
    async create(client) {
      if (clients.has(client.id)) return 'exists'
      if (clients.size >= maxEntries) return 'full'
      clients.set(client.id, client)
      return 'created'
    },
    async read(id) {
      return clients.get(id)
    },
    async delete(id) {
      return clients.delete(id) ? 'deleted' : 'unknown'
    },
  }
}
