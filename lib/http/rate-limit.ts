import type { Request, RequestHandler, Response } from 'express'
import { MemoryStore, type Options, rateLimit, type Store } from 'express-rate-limit'
import { OAuthError } from '../protocol/oauth-error.ts'
import { type Check, either, object, oneOf, optional, verified, whole } from '../protocol/options.ts'
import { systemClock } from '../protocol/time.ts'
import type { AatParts } from './aat.ts'
import { clientAddress, trustsEverybody } from './client-address.ts'
import { askStore, sharedStore, withLocalFallback } from './rate-limit-store.ts'
import { sendError } from './responder.ts'

/** How often one source may do a thing. */
export interface RateLimitOptions {
  /** Seconds of the window. */
  windowSeconds?: number | undefined
  /** How often within one window. */
  limit?: number | undefined
  /**
   * A store of express-rate-limit's, which limits with the same window may share: its keys begin with what is limited.
   * Default: the counters of the `aat`'s own stores, which all instances share. While it cannot be reached each instance
   * counts for itself.
   */
  store?: Store | undefined
}

/** The most sources that are remembered as refused; over that they are found out anew. */
const MAX_REFUSED = 10_000

export interface Settings {
  readonly windowSeconds: number
  readonly limit: number
  readonly store: Store | undefined
}

/** The option of an endpoint: its own numbers, or `false` where something before it limits already. */
export function rateLimitOption(windowSeconds: number, limit: number): Check<false | Settings> {
  const numbers = object({
    windowSeconds: optional(whole('seconds', 1, 86_400), windowSeconds),
    limit: optional(whole('requests', 1, 1_000_000), limit),
    store: optional(
      verified<Store>((value) =>
        typeof (value as Store | null)?.increment === 'function' &&
        typeof (value as Store | null)?.decrement === 'function'
          ? undefined
          : 'must be a store of express-rate-limit, with increment and decrement',
      ),
    ),
  })
  return (value, path, report) =>
    either((given) => given === false, oneOf(false), numbers)(value === undefined ? {} : value, path, report)
}

type Parts = Pick<AatParts, 'emit' | 'stores' | 'clock'>

/** Refuses a source's requests over the limit with 429 and `Retry-After` (RFC 6585 §4). @param name of the limit */
export function limitRequests(name: string, settings: false | Settings, parts: Parts): RequestHandler {
  if (settings === false) return (_req, _res, next) => next()
  const warn = warnOnce(parts)
  const shared = settings.store ?? sharedStore(parts.stores.counters, settings.windowSeconds, parts.clock)
  return rateLimit({
    windowMs: settings.windowSeconds * 1000,
    limit: settings.limit,
    store: withLocalFallback(name, shared),
    standardHeaders: 'draft-7',
    legacyHeaders: false,
    keyGenerator: (req) => {
      warn(req)
      return clientAddress(req)
    },
    // The key above is safe for each of these settings, and says so itself.
    validate: { trustProxy: false, xForwardedForHeader: false, forwardedHeader: false },
    handler: (req, res) => refuse(req, res, settings.windowSeconds),
  })
}

/** An attempt that is under way, until it is told how it ended. */
export interface Attempt {
  forgive(): void
  /** Counts it, here and for all instances. */
  fail(): Promise<void>
}

interface Source {
  underWay: number
  /** Each is called once another attempt is over. */
  readonly waiting: (() => void)[]
}

/**
 * Counts failures only: no number of good requests uses up anything, and none of them asks the store. No more attempts are
 * under way at once than may still fail; those over that wait until they are over, so that any number at once is bounded.
 */
export function limitFailures(name: string, settings: false | Settings, parts: Parts) {
  if (settings === false) {
    const nothing = { forgive: () => undefined, fail: async () => undefined }
    return { attempt: (): Attempt | Promise<Attempt | undefined> => nothing }
  }
  const { windowSeconds, limit } = settings
  const window = { windowMs: windowSeconds * 1000 } as Options
  const failures = new MemoryStore()
  failures.init(window)
  const shared = settings.store ?? sharedStore(parts.stores.counters, windowSeconds, parts.clock)
  void shared.init?.(window)
  const sources = new Map<string, Source>()
  /** Sources that failed too often at all instances together, until when (ms). */
  const refusedUntil = new Map<string, number>()
  const warn = warnOnce(parts)
  // The machine's time, in which the limiter's stores tell theirs; never an injected one.
  const now = () => systemClock() * 1000

  /** When the source may come again, where it failed too often at all instances together. */
  function endOfRefusal(key: string): number | undefined {
    const until = refusedUntil.get(key)
    if (until === undefined || now() < until) return until
    refusedUntil.delete(key)
    return undefined
  }

  async function countForAll(key: string): Promise<void> {
    // The count here stands, whatever the store says.
    const answer = await askStore(() => shared.increment(`${name} ${key}`))
    if (answer?.resetTime === undefined || answer.totalHits < limit) return
    if (refusedUntil.size >= MAX_REFUSED) refusedUntil.clear()
    refusedUntil.set(key, answer.resetTime.getTime())
  }

  /** Somebody is done: the next one has a try. */
  function wakeNext(key: string): void {
    const source = sources.get(key)
    const next = source?.waiting.shift()
    if (next !== undefined) next()
    else if (source?.underWay === 0) sources.delete(key)
  }

  function begin(key: string, source: Source): Attempt {
    sources.set(key, source)
    source.underWay++
    const end = () => {
      source.underWay--
      wakeNext(key)
    }
    return {
      forgive: end,
      async fail() {
        // First, so that it is never in neither of the two.
        await failures.increment(key)
        end()
        await countForAll(key)
      },
    }
  }

  async function attemptInTurn(req: Request, res: Response, key: string): Promise<Attempt | undefined> {
    for (;;) {
      const failed = await failures.get(key)
      const isOver = failed !== undefined && failed.totalHits >= limit
      const until = endOfRefusal(key) ?? (isOver ? Number(failed.resetTime) : undefined)
      if (until !== undefined) {
        wakeNext(key)
        refuse(req, res, (until - now()) / 1000)
        return undefined
      }
      const source = sources.get(key) ?? { underWay: 0, waiting: [] }
      if ((failed?.totalHits ?? 0) + source.underWay < limit) return begin(key, source)
      await new Promise<void>((resolve) => source.waiting.push(resolve))
    }
  }

  return {
    /** @returns `undefined` where the source failed too often and the request is answered with 429; at once where it never failed */
    attempt(
      req: Request,
      res: Response,
      key: string = clientAddress(req),
    ): Attempt | Promise<Attempt | undefined> {
      warn(req)
      const source = sources.get(key) ?? { underWay: 0, waiting: [] }
      const mayHaveFailed = failures.current.has(key) || failures.previous.has(key) || refusedUntil.has(key)
      return mayHaveFailed || source.underWay >= limit ? attemptInTurn(req, res, key) : begin(key, source)
    },
  }
}

function refuse(req: Request, res: Response, seconds: number): void {
  sendError(
    req,
    res,
    new OAuthError('temporarily_unavailable', 'too many requests from this address, try again later', {
      status: 429,
      retryAfter: Math.max(1, Math.ceil(seconds)),
    }),
  )
}

function warnOnce({ emit }: Pick<AatParts, 'emit'>): (req: Request) => void {
  let warned = false
  return (req) => {
    if (warned || !trustsEverybody(req)) return
    warned = true
    const message =
      'Express\'s "trust proxy" is true, so anybody can claim any address; rate limits count by connection instead. Set the number of proxies, or their addresses.'
    emit('configuration.warning', { message })
    process.emitWarning(`express-aat: ${message}`)
  }
}
