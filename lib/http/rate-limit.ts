import type { Request, RequestHandler, Response } from 'express'
import { MemoryStore, type Options, rateLimit, type Store } from 'express-rate-limit'
import { OAuthError } from '../protocol/oauth-error.ts'
import { type Check, either, object, oneOf, optional, verified, whole } from '../protocol/options.ts'
import { systemClock } from '../protocol/time.ts'
import type { AatParts } from './aat.ts'
import { clientAddress, trustsEverybody } from './client-address.ts'
import { sendError } from './responder.ts'

/** How often one source may do a thing. */
export interface RateLimitOptions {
  /** Seconds of the window. */
  windowSeconds?: number | undefined
  /** How often within one window. */
  limit?: number | undefined
  /** A store of express-rate-limit's; default in memory, per instance. */
  store?: Store | undefined
}

interface Settings {
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

/** Refuses a source's requests over the limit with 429 and `Retry-After` (RFC 6585 §4). */
export function limitRequests(settings: false | Settings, parts: Pick<AatParts, 'emit'>): RequestHandler {
  if (settings === false) return (_req, _res, next) => next()
  const warn = warnOnce(parts)
  return rateLimit({
    windowMs: settings.windowSeconds * 1000,
    limit: settings.limit,
    ...(settings.store !== undefined && { store: settings.store }),
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

/** An attempt that is counted as failed until it is forgiven. */
export interface Attempt {
  forgive(): Promise<void>
}

/** Counts failures only, so that no number of good requests is ever slowed. */
export function limitFailures(settings: false | Settings, parts: Pick<AatParts, 'emit'>) {
  const store = settings === false ? undefined : (settings.store ?? new MemoryStore())
  if (settings !== false) void store?.init?.({ windowMs: settings.windowSeconds * 1000 } as Options)
  const warn = warnOnce(parts)
  return {
    /** @returns `undefined` where the source failed too often and the request is answered with 429 */
    async attempt(
      req: Request,
      res: Response,
      key: string = clientAddress(req),
    ): Promise<Attempt | undefined> {
      if (settings === false || store === undefined) return { forgive: async () => undefined }
      warn(req)
      const { totalHits, resetTime } = await store.increment(key)
      const forgive = async () => store.decrement(key)
      if (totalHits <= settings.limit) return { forgive }
      await forgive()
      // The store's own time, which is the machine's, never an injected one.
      const seconds =
        resetTime === undefined ? settings.windowSeconds : resetTime.getTime() / 1000 - systemClock()
      refuse(req, res, seconds)
      return undefined
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
