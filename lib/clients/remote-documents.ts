import { sha256 } from '../protocol/digest.ts'
import type { Emit } from '../protocol/events.ts'
import type { Clock } from '../protocol/time.ts'
import type { DocumentStore, KeptDocument, ReplayStore } from '../stores/ports.ts'
import { createDocumentMemory, type KnownDocument } from './document-memory.ts'
import { FetchFailure } from './fetch-failure.ts'
import type { GuardedFetch } from './guarded-fetch.ts'

/** For how long documents are used, in seconds. */
export interface DocumentTimes {
  /** The shortest and the longest without asking again, whatever the headers say. */
  readonly shortest: number
  readonly longest: number
  /** Where the headers say nothing. */
  readonly unsaid: number
  /** From its fetch, while its host cannot be reached. */
  readonly whileAway: number
}

export interface RemoteDocumentsOptions<T> {
  readonly kind: 'metadata' | 'jwks'
  readonly fetchJson: GuardedFetch
  readonly store: DocumentStore
  readonly leases: ReplayStore
  readonly clock: Clock
  readonly emit: Emit
  readonly times: DocumentTimes
  /** What is used of a document. @throws FetchFailure `refused` */
  readonly cut: (body: Record<string, unknown>, url: string) => Record<string, unknown>
  /** Asked around each fetch, whatever is known of it. @throws FetchFailure `refused` */
  readonly check?: (url: string) => Promise<void>
  /** What a document comes to. @throws FetchFailure `refused` */
  readonly read: (body: KeptDocument['body'], url: string, fetchedAt: number) => T | Promise<T>
}

/** Seconds after a failure, and between attempts to get something newer. */
const PAUSE = 15
const RENEWAL_PAUSE = 30
/** Seconds in which one instance fetches for all. */
const LEASE = 10

/**
 * Documents of strangers by their URLs: fetched once for any number of requests, used as long as their headers say, within
 * bounds, and for longer while their host is away. What nobody relies on yet takes no room in the store, and cannot displace
 * here what somebody does.
 */
export function createRemoteDocuments<T>(options: RemoteDocumentsOptions<T>) {
  const { kind, fetchJson, store, leases, clock, emit, times } = options
  const memory = createDocumentMemory<T>(clock)
  const loading = new Map<string, Promise<T>>()

  const keyOf = (url: string) => sha256(`${kind} ${url}`)
  const isFresh = ({ fetchedAt, freshUntil }: KeptDocument, now: number) =>
    now < freshUntil && now >= fetchedAt - LEASE
  const isUsable = ({ fetchedAt }: KeptDocument, now: number) => now < fetchedAt + times.whileAway

  const save = (url: string, document: KeptDocument) =>
    store.save(keyOf(url), document, Math.max(document.freshUntil, document.fetchedAt + times.whileAway))

  /** What is known here or to the store, whichever is newer. */
  async function newest(url: string): Promise<KnownDocument<T> | undefined> {
    const here = memory.get(url)
    const stored = await store.read(keyOf(url)).catch((error: unknown) => {
      // What was known before the store went away still is.
      if (here === undefined) throw error
      return undefined
    })
    if (stored === undefined || stored.fetchedAt <= (here?.document.fetchedAt ?? 0)) return here
    try {
      const value = await options.read(stored.body, url, stored.fetchedAt)
      const entry = { document: stored, value, isKept: true }
      memory.remember(url, entry)
      return entry
    } catch (error) {
      // What was good before is not by the settings of today; what is there by now may be.
      if (error instanceof FetchFailure) return here
      throw error
    }
  }

  async function fetchAnew(url: string, isKept: boolean, source: string | undefined): Promise<T> {
    const { body, freshFor } = await fetchJson(url, { source, isKept })
    const cut = options.cut(body, url)
    const fetchedAt = clock()
    const value = await options.read(cut, url, fetchedAt)
    const fresh = Math.min(times.longest, Math.max(times.shortest, freshFor ?? times.unsaid))
    const document = { body: cut, fetchedAt, freshUntil: fetchedAt + fresh }
    memory.forgetFailure(url)
    // Only another instance misses it, and fetches for itself.
    if (isKept) await save(url, document).catch(() => undefined)
    emit('client.document_fetched', { url, kind })
    memory.remember(url, { document, value, isKept })
    return value
  }

  /** @param after only a document that was fetched after this is new enough */
  async function load(url: string, after: number, source: string | undefined): Promise<T> {
    const failure = memory.recentFailure(url)
    const entry = failure === undefined ? await newest(url) : memory.get(url)
    const now = clock()
    if (entry !== undefined && isFresh(entry.document, now) && entry.document.fetchedAt > after)
      return entry.value
    const usable = entry !== undefined && isUsable(entry.document, now) ? entry : undefined
    if (failure !== undefined) {
      if (usable !== undefined && failure.kind === 'unavailable') return usable.value
      throw failure
    }
    if (usable?.isKept) {
      const lease = await leases.claim(sha256(`fetch ${keyOf(url)}`), now + LEASE).catch(() => 'fresh')
      if (lease === 'seen') return usable.value
    }
    try {
      return await fetchAnew(url, entry?.isKept ?? false, source)
    } catch (error) {
      if (!(error instanceof FetchFailure)) {
        // The store that counts fetches is away, say.
        if (usable !== undefined) return usable.value
        throw error
      }
      const { kind: why, message: reason, retryAfter = PAUSE } = error
      // What one source may not is nothing that another one has to wait for.
      if (why !== 'busy') memory.rememberFailure(url, error, retryAfter)
      if (why === 'refused') {
        memory.drop(url)
        emit('client.document_refused', { url, kind, reason })
        throw error
      }
      emit('client.document_unavailable', {
        url,
        kind,
        reason,
        went: usable === undefined ? 'unavailable' : 'on',
      })
      if (usable !== undefined) return usable.value
      throw error
    }
  }

  function loadOnce(url: string, after: number, source: string | undefined, isAgain = false): Promise<T> {
    const underWay = loading.get(url)
    if (underWay !== undefined) {
      if (isAgain) return underWay
      return underWay.catch((error: unknown) => {
        // The bound was that of whoever came first.
        if (error instanceof FetchFailure && error.kind === 'busy') return loadOnce(url, after, source, true)
        throw error
      })
    }
    const promise = loadChecked(url, after, source).finally(() => {
      if (loading.get(url) === promise) loading.delete(url)
    })
    loading.set(url, promise)
    return promise
  }

  /** Once more when it is remembered: a check that changed meanwhile was told of before that, and forgotten. */
  async function loadChecked(url: string, after: number, source: string | undefined): Promise<T> {
    await check(url)
    const value = await load(url, after, source)
    await check(url)
    return value
  }

  async function check(url: string): Promise<void> {
    if (memory.recentFailure(url) !== undefined) return
    try {
      await options.check?.(url)
    } catch (error) {
      if (!(error instanceof FetchFailure)) {
        // What is known here passed it before, and would have been forgotten if that had changed.
        if (memory.get(url) !== undefined) return
        throw error
      }
      forget(url)
      memory.rememberFailure(url, error, PAUSE)
      throw error
    }
  }

  function forget(url: string): void {
    memory.drop(url)
    memory.forgetFailure(url)
    loading.delete(url)
  }

  return {
    /**
     * @param source who asks for it
     * @throws FetchFailure where there is none, and StoreUnavailable
     */
    async get(url: string, source?: string): Promise<T> {
      const entry = memory.get(url)
      return entry !== undefined && isFresh(entry.document, clock()) ? entry.value : loadOnce(url, 0, source)
    },

    /**
     * Something newer than what is known, for one who misses something in it; at a bounded rate, whoever asks.
     * @returns `undefined` where it was fetched a moment ago
     * @throws as `get`
     */
    async renew(url: string, source?: string): Promise<T | undefined> {
      const before = memory.get(url)?.document.fetchedAt ?? 0
      if (clock() - before < RENEWAL_PAUSE) return undefined
      const value = await loadOnce(url, before, source)
      if ((memory.get(url)?.document.fetchedAt ?? 0) > before) return value
      throw (
        memory.recentFailure(url) ??
        new FetchFailure('unavailable', 'another instance is fetching it', { retryAfter: 1 })
      )
    },

    /** What is known of it here is over. */
    forget,

    /** How many documents are remembered here. */
    size: memory.size,

    /** Somebody relies on it from now on: every instance shall have it. @throws StoreUnavailable */
    async keep(url: string): Promise<void> {
      const entry = memory.get(url)
      if (entry === undefined || entry.isKept) return
      await save(url, entry.document)
      if (memory.get(url) === entry) memory.remember(url, { ...entry, isKept: true })
    },
  }
}

export type RemoteDocuments<T> = ReturnType<typeof createRemoteDocuments<T>>
