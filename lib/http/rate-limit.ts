import type { Request, RequestHandler, Response } from 'express'
import { rateLimit, type Store } from 'express-rate-limit'
import { warnOfConfiguration } from '../protocol/events.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { type Check, either, object, oneOf, optional, verified, whole } from '../protocol/options.ts'
import type { AatParts } from './aat.ts'
import { clientAddress, trustsEverybody } from './client-address.ts'
import { sharedStore, withLocalFallback } from './rate-limit-store.ts'
import { sendError } from './responder.ts'

/** How often one source may do a thing. */
export interface RateLimitOptions {
  /** Seconds of the window. */
  windowSeconds?: number | undefined
  /** How often within one window. */
  limit?: number | undefined
  /**
   * A store of express-rate-limit's, which limits with the same window may share: its keys begin with what is limited.
   * Default: the counters of the `aat`'s own stores, which all instances share. While it cannot be reached, or takes
   * over a second, each instance counts for itself.
   */
  store?: Store | undefined
}

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

export type LimitParts = Pick<AatParts, 'emit' | 'stores' | 'clock'>

/** Refuses a source's requests over the limit with 429 and `Retry-After` (RFC 6585 §4). @param name of the limit */
export function limitRequests(name: string, settings: false | Settings, parts: LimitParts): RequestHandler {
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

/** 429 (RFC 6585 section 4). @param seconds after which the source may come again */
export function refuse(req: Request, res: Response, seconds: number): void {
  sendError(
    req,
    res,
    new OAuthError('temporarily_unavailable', 'too many requests from this address, try again later', {
      status: 429,
      retryAfter: Math.max(1, Math.ceil(seconds)),
    }),
  )
}

/** Warns of an app that trusts every proxy. */
export function warnOnce({ emit }: Pick<AatParts, 'emit'>): (req: Request) => void {
  let warned = false
  return (req) => {
    if (warned || !trustsEverybody(req)) return
    warned = true
    warnOfConfiguration(
      emit,
      'Express\'s "trust proxy" is true, so anybody can claim any address; rate limits count by connection instead. Set the number of proxies, or their addresses.',
    )
  }
}
