import { callback, optional, readOptions, whole } from '../../protocol/options.ts'
import { type Clock, systemClock } from '../../protocol/time.ts'
import type { Stores } from '../ports.ts'
import { memoryAccessTokens } from './access-tokens.ts'
import { memoryClients } from './clients.ts'
import { memoryConsents } from './consents.ts'
import { memoryCounters } from './counters.ts'
import { memoryDocuments } from './documents.ts'
import { memoryGrants } from './grants.ts'
import { memoryInitialAccessTokens } from './initial-access-tokens.ts'
import { memoryPlaces } from './places.ts'
import { memoryReplays } from './replays.ts'
import { memoryRequests } from './requests.ts'
import { memoryRevocations } from './revocations.ts'
import { memoryRing } from './ring.ts'

export interface MemoryStoresOptions {
  /** Seconds since the epoch; default the machine's clock. */
  clock?: Clock
  /** The most codes, families, clients, subjects with consents and assertion ids (default 100,000); pending requests, documents: 10,000. */
  maxEntries?: number
}

/**
 * Stores that forget everything when the process ends: for development and tests, and for trying out. Two `aat`s
 * in one process that are given the same stores behave like two instances on one Redis.
 * @throws ConfigurationError for wrong options
 */
export function memoryStores(options: MemoryStoresOptions = {}): Stores {
  const { clock, maxEntries } = readOptions('memoryStores', options, {
    clock: optional(callback<Clock>(), systemClock),
    maxEntries: optional(whole('entries', 1, 2 ** 31), 100_000),
  })
  return {
    kind: 'memory',
    grants: memoryGrants(clock, maxEntries),
    clients: memoryClients(clock, maxEntries),
    requests: memoryRequests(clock, Math.min(maxEntries, 10_000)),
    consents: memoryConsents(clock, maxEntries),
    replays: memoryReplays(clock, maxEntries),
    revocations: memoryRevocations(clock),
    ring: memoryRing(),
    counters: memoryCounters(clock, maxEntries),
    places: memoryPlaces(clock),
    initialAccessTokens: memoryInitialAccessTokens(clock, maxEntries),
    accessTokens: memoryAccessTokens(clock, maxEntries),
    documents: memoryDocuments(clock, Math.min(maxEntries, 10_000)),
  }
}
