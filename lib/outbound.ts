import { createClientKeys } from './clients/client-keys.ts'
import { createDocumentClients } from './clients/document-clients.ts'
import { createGuardedFetch } from './clients/guarded-fetch.ts'
import type { Registrations } from './clients/registrations.ts'
import { createRemoteDocuments, type RemoteDocumentsOptions } from './clients/remote-documents.ts'
import type { Configuration } from './configuration.ts'
import type { Emit } from './protocol/events.ts'

const HOUR = 3600

/** What is fetched from strangers: clients by their metadata documents, where that is configured, and keys of clients. */
export function createOutbound(
  { issuer, stores, clock, clientMetadataDocuments, outbound, longestClientId }: Configuration,
  registrations: Registrations,
  emit: Emit,
) {
  const { ports, network, longestCache, staleWhileAway } = outbound
  const fetchJson = createGuardedFetch({ network, counters: stores.counters, clock, ports })
  const times = {
    shortest: 60,
    longest: longestCache,
    unsaid: Math.min(HOUR, longestCache),
    whileAway: staleWhileAway,
  }
  const shared = { fetchJson, store: stores.documents, leases: stores.replays, clock, emit }
  type Own<T> = Pick<RemoteDocumentsOptions<T>, 'kind' | 'cut' | 'read'>

  const documentClients =
    clientMetadataDocuments &&
    createDocumentClients({
      ...clientMetadataDocuments,
      issuer,
      longestId: longestClientId,
      ports,
      registrations,
      store: stores.documents,
      clock,
      documents: (own) => createRemoteDocuments({ ...shared, ...own, times }),
    })
  const clientKeys = createClientKeys({
    // A key that was taken out of a set must not be believed for a day.
    documents: <T>(own: Own<T>) =>
      createRemoteDocuments({
        ...shared,
        ...own,
        times: { ...times, longest: Math.min(HOUR, longestCache) },
      }),
    renewClient: documentClients?.renew,
  })
  return { documentClients, clientKeys }
}
