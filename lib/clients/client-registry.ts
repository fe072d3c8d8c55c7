import type { Emit } from '../protocol/events.ts'
import { StoreUnavailable } from '../protocol/oauth-error.ts'
import type { Clock } from '../protocol/time.ts'
import type { Client, ClientStore } from '../stores/ports.ts'
import type { DocumentClients } from './document-clients.ts'

/** Seconds for which a registered client's record is used without asking the store. */
const FRESH = 60
/** The most registered clients that are remembered here. */
const MAX_REMEMBERED = 10_000

export interface ClientRegistryOptions {
  readonly configured: readonly Client[]
  readonly store: ClientStore
  /** What today's policy leaves of a client that chose for itself; `undefined`: nothing. */
  readonly inForce: (client: Client) => Client | undefined
  /** Clients whose id is the URL of their metadata, where there are such. */
  readonly documents: Pick<DocumentClients, 'isDocumentId' | 'find' | 'keep'> | undefined
  readonly emit: Emit
  readonly monotonic: Clock
}

/**
 * Finds clients: those of the configuration, then the registered ones. A registered client's record is remembered for a
 * minute, for longer while the store cannot answer, and forgotten when the revocation log says that something happened to it.
 */
export function createClientRegistry({
  configured,
  store,
  inForce,
  documents,
  emit,
  monotonic,
}: ClientRegistryOptions) {
  const fromConfiguration = new Map(configured.map((client) => [client.id, client]))
  const remembered = new Map<string, { readonly client: Client; readonly readAt: number }>()
  const reading = new Map<string, Promise<Client | undefined>>()

  function remember(client: Client): void {
    remembered.delete(client.id)
    const oldest = remembered.size < MAX_REMEMBERED ? undefined : remembered.keys().next().value
    if (oldest !== undefined) remembered.delete(oldest)
    remembered.set(client.id, { client, readAt: monotonic() })
  }

  function forget(id: string): void {
    remembered.delete(id)
    // A read that is on its way may bring what was there before.
    reading.delete(id)
  }

  function read(id: string): Promise<Client | undefined> {
    const underWay = reading.get(id)
    if (underWay !== undefined) return underWay
    const promise = store
      .read(id)
      .then((record) => {
        const client = typeof record === 'object' ? record.client : undefined
        if (reading.get(id) !== promise) return client
        if (client === undefined) remembered.delete(id)
        else remember(client)
        return client
      })
      .finally(() => {
        if (reading.get(id) === promise) reading.delete(id)
      })
    reading.set(id, promise)
    return promise
  }

  async function findRegistered(id: string): Promise<Client | undefined> {
    const known = remembered.get(id)
    if (known === undefined) return read(id)
    if (monotonic() - known.readAt < FRESH) return known.client
    // What the store cannot say now it said before, and what ended since the revocation log would have told.
    return read(id).catch((error: unknown) => {
      const client = remembered.get(id)?.client
      if (client === undefined) throw error
      return client
    })
  }

  async function find(id: string): Promise<Client | undefined> {
    const configuredClient = fromConfiguration.get(id)
    if (configuredClient !== undefined) return configuredClient
    if (documents?.isDocumentId(id)) return documents.find(id)
    if (!isRegisteredId(id)) return undefined
    const client = await findRegistered(id)
    return client && inForce(client)
  }

  return {
    find,

    /** A client is used: what is known of it is kept for all instances. */
    async keep(id: string): Promise<void> {
      if (!fromConfiguration.has(id) && documents?.isDocumentId(id)) await documents.keep(id)
    },

    /** Keeps a new client. */
    register: (client: Client): ReturnType<ClientStore['create']> => store.create(client),

    async delete(id: string): Promise<'deleted' | 'unknown' | 'configured'> {
      if (fromConfiguration.has(id)) return 'configured'
      const outcome = isRegisteredId(id) ? await store.delete(id) : 'unknown'
      forget(id)
      if (outcome === 'full') throw new StoreUnavailable('the store of clients is full')
      if (outcome === 'deleted') emit('client.deleted', { clientId: id })
      return outcome
    },

    forget,
  }
}

export type ClientRegistry = ReturnType<typeof createClientRegistry>

/** Ids that registration gives: a fixed alphabet and length, so no other text ever reaches a store. */
export const REGISTERED_ID_PREFIX = 'dcr_'

function isRegisteredId(id: string): boolean {
  return /^dcr_[A-Za-z0-9_-]{22}$/.test(id)
}
