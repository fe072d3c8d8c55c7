import type { Emit } from '../protocol/events.ts'
import { OAuthError, StoreUnavailable } from '../protocol/oauth-error.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import { isRegisteredId } from '../stores/client-description.ts'
import type { Client, ClientStore } from '../stores/ports.ts'
import { createClientCache } from './client-cache.ts'
import type { DocumentClients } from './document-clients.ts'
import type { SelfDescribingIds } from './self-describing-id.ts'
import { checkOpenRecord } from './unused-records.ts'

const DAY = 86_400
/** Seconds without use after which the record of a client is forgotten: one that its id brings back, and one that it does not. */
const KEPT_FOR = { recoverable: 90 * DAY, otherwise: 365 * DAY }
/** Seconds for which a client is kept that has a record, but was never used. */
export const KEPT_UNUSED = 30 * DAY
/** Seconds between attempts to write down a use. */
const RETRY = 60
/** How often a change is tried that others get ahead of. */
const ATTEMPTS = 10

/** What is known of a registered client, before any policy judges it. */
export interface KnownClient {
  readonly client: Client
  /** The state of its record; `undefined`: its id tells of it, there is none. */
  readonly revision: string | undefined
  readonly expiresAt?: NumericDate | undefined
}

/** What is remembered of it, and what is under way about it. */
type Remembered = KnownClient & { keeping?: Promise<void>; triedAt?: number }

export interface ClientRegistryOptions {
  readonly configured: readonly Client[]
  readonly store: ClientStore
  readonly ids: SelfDescribingIds
  /** What today's policy leaves of a client that chose for itself; `undefined`: nothing. */
  readonly inForce: (client: Client) => Client | undefined
  /** Tells other instances that what they know of a client is over. */
  readonly tell: (clientId: string) => Promise<void>
  /** Clients whose id is the URL of their metadata, where there are such. */
  readonly documents: Omit<DocumentClients, 'renew'> | undefined
  readonly emit: Emit
  readonly clock: Clock
  readonly monotonic: Clock
}

/**
 * Finds clients: those of the configuration, then the registered ones, by their records or by what their ids say. What was
 * found is remembered for a minute, and forgotten when the revocation log says that something happened to it.
 */
export function createClientRegistry(options: ClientRegistryOptions) {
  const { store, ids, inForce, documents, emit, clock, monotonic } = options
  const fromConfiguration = new Map(options.configured.map((client) => [client.id, client]))
  /** Changes under way, by id. */
  const changing = new Map<string, Promise<void>>()
  const cache = createClientCache<Remembered>(look, monotonic)

  /** Reads what there is: nothing is remembered of it. */
  async function look(id: string): Promise<KnownClient | undefined> {
    if (!isRegisteredId(id)) return undefined
    const record = await store.read(id)
    if (record === 'gone') return undefined
    if (record !== undefined) return record
    const described = ids.read(id)
    if (described === undefined || clock() >= described.endsAt) return undefined
    return { client: described.client, revision: undefined }
  }

  /** Seconds without use for which it is kept. */
  function lifeOf({ id, changedAt }: Client, now: NumericDate): number {
    const endsAt = changedAt === undefined ? (ids.read(id)?.endsAt ?? 0) : 0
    return now + KEPT_FOR.recoverable < endsAt ? KEPT_FOR.recoverable : KEPT_FOR.otherwise
  }

  /** Writes down that a client is used, where nobody did or its record would be forgotten. */
  async function writeUse(known: Remembered): Promise<void> {
    const { client, revision, expiresAt } = known
    const now = clock()
    const end = now + lifeOf(client, now)
    const used = { ...client, firstUsedAt: client.firstUsedAt ?? now }
    if (revision === undefined) {
      const outcome = await store.create(used, end)
      if (outcome === 'gone') {
        cache.forget(client.id)
        throw new OAuthError('unauthorized_client', 'this app is not registered here any more')
      }
      if (outcome === 'exists') return cache.forget(client.id)
      if (outcome === 'full') return
      emit('client.stored', { clientId: client.id })
    } else if (client.firstUsedAt === undefined) {
      // Where somebody else changed it meanwhile, its next use is written down.
      await store.replace(
        used,
        revision,
        expiresAt === undefined ? undefined : end,
        ids.markedUntil(client.id),
      )
      cache.forget(client.id)
      return
    } else await store.renew(client.id, end)
    cache.exchange(client.id, known, { ...known, client: used, revision: revision ?? '', expiresAt: end })
  }

  function needsKeeping({ client, revision, expiresAt }: KnownClient): boolean {
    if (revision === undefined) return true
    if (expiresAt === undefined) return false
    const now = clock()
    return client.firstUsedAt === undefined || expiresAt - now < lifeOf(client, now) / 2
  }

  async function change(
    id: string,
    next: (client: Client, now: NumericDate) => Client | undefined,
    { byOperator = false, whenUnused }: { byOperator?: boolean; whenUnused?: () => Promise<void> },
  ): Promise<Client | undefined> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const known = await look(id)
      if (known === undefined) return undefined
      const now = clock()
      const changed = next(known.client, now)
      if (changed === undefined) return known.client
      const isUsed = known.client.firstUsedAt !== undefined
      const stays = known.revision !== undefined && known.expiresAt === undefined
      if (!stays && !byOperator) checkOpenRecord(changed)
      if (known.revision === undefined && !byOperator) await whenUnused?.()
      const least = known.expiresAt ?? now + KEPT_UNUSED
      const end = isUsed || byOperator ? Math.max(least, now + KEPT_FOR.otherwise) : least
      const client = { ...changed, changedAt: now }
      const outcome = await store.replace(
        client,
        known.revision,
        stays ? undefined : end,
        ids.markedUntil(id),
      )
      if (outcome === 'full') throw new StoreUnavailable('the store of clients is full')
      if (outcome === 'changed') continue
      cache.forget(id)
      await options.tell(id)
      return client
    }
    throw new StoreUnavailable('a client is changed by others all the time')
  }

  return {
    /**
     * A client that may act now, as today's policy judges it.
     * @param source where the request comes from that is about it
     */
    async find(id: string, source?: string): Promise<Client | undefined> {
      const configured = fromConfiguration.get(id)
      if (configured !== undefined) return configured
      if (documents?.isDocumentId(id)) return documents.find(id, source)
      if (!isRegisteredId(id)) return undefined
      const known = await cache.find(id)
      return known && known.client.disabledAt === undefined ? inForce(known.client) : undefined
    },

    configured: (id: string): Client | undefined => fromConfiguration.get(id),
    allConfigured: (): readonly Client[] => options.configured,
    look,

    /**
     * A client is used: it gets a record where it has none, and that lives on. Once in a long while this writes.
     * @throws OAuthError where it was deleted meanwhile
     */
    async keep(id: string): Promise<void> {
      if (fromConfiguration.has(id)) return
      if (documents?.isDocumentId(id)) return documents.keep(id)
      if (!isRegisteredId(id)) return
      const known = await cache.find(id)
      if (known === undefined || !needsKeeping(known)) return
      known.keeping ??= writeUse(known).finally(() => {
        delete known.keeping
      })
      await known.keeping
    },

    /** The same, where nobody waits for it and a store that is away is not asked each time. */
    keepBehind(id: string): void {
      if (fromConfiguration.has(id) || !isRegisteredId(id)) return
      const write = async () => {
        const known = await cache.find(id)
        if (known === undefined || monotonic() - (known.triedAt ?? Number.NEGATIVE_INFINITY) < RETRY) return
        known.triedAt = monotonic()
        await this.keep(id)
      }
      write().catch(() => undefined)
    },

    /**
     * Changes a client, whatever others do at the same time; other instances learn of it.
     * @param next what it is to be, or `undefined` to leave it; may throw a refusal
     * @param whenUnused asked before a record is made for one that has none
     * @returns what it is now, or `undefined` where there is no such client
     */
    change(
      id: string,
      next: (client: Client, now: NumericDate) => Client | undefined,
      options: { byOperator?: boolean; whenUnused?: () => Promise<void> } = {},
    ): Promise<Client | undefined> {
      // One after another here, so that only those of other instances get ahead of each other.
      const before = changing.get(id) ?? Promise.resolve()
      const mine = before.then(() => change(id, next, options))
      const settled = mine.then(
        () => undefined,
        () => undefined,
      )
      changing.set(id, settled)
      void settled.then(() => changing.get(id) === settled && changing.delete(id))
      return mine
    },

    /** Deletes a client for good. What it holds is not ended by this. */
    async delete(id: string): Promise<'deleted' | 'unknown' | 'configured'> {
      if (fromConfiguration.has(id)) return 'configured'
      if (!isRegisteredId(id)) return 'unknown'
      // An id that is not ours gets no mark: marks take memory, and anybody can make up ids.
      const isOurs = ids.read(id) !== undefined || (await look(id)) !== undefined
      const outcome = await store.delete(id, isOurs ? ids.markedUntil(id) : undefined)
      cache.forget(id)
      if (outcome === 'full') throw new StoreUnavailable('the store of clients is full')
      if (outcome === 'deleted') {
        // Another instance may have looked it up after it was told that its tokens are over. For this one it is deleted anyway.
        await options.tell(id).catch(() => undefined)
        emit('client.deleted', { clientId: id })
      }
      return outcome
    },

    forget(id: string): void {
      cache.forget(id)
      documents?.forget(id)
    },

    /** Is it one that its document tells of? */
    isDocument: (id: string): boolean => !fromConfiguration.has(id) && documents?.isDocumentId(id) === true,

    /** Switches one of these off or on; other instances learn of it. */
    async setDocumentDisabled(id: string, isOff: boolean): Promise<void> {
      await documents?.setDisabled(id, isOff)
      await options.tell(id)
    },
  }
}

export type ClientRegistry = ReturnType<typeof createClientRegistry>
