import type { Request, Response } from 'express'
import { MemoryStore, type Options } from 'express-rate-limit'
import { silence } from '../protocol/hooks.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { systemClock } from '../protocol/time.ts'
import { clientAddress } from './client-address.ts'
import { type LimitParts, refuse, type Settings, warnOnce } from './rate-limit.ts'
import { askStore, sharedStore } from './rate-limit-store.ts'
import { sendError } from './responder.ts'
import { createWaitingLine, type WaitingLine } from './waiting-line.ts'

/** The most sources that are remembered as refused; over that they are found out anew. */
const MAX_REFUSED = 10_000

/** The most requests of one source that wait. */
const MAX_WAITING = 256

/** An attempt that is under way, until it is told how it ended. */
export interface Attempt {
  forgive(): void
  /** Counts it, here and for all instances. */
  fail(): Promise<void>
}

/** An attempt that may begin, or when its source may come again (ms). */
type Turn = Attempt | number

interface Source {
  underWay: number
  /** Those over what may be under way; absent as long as there were none. */
  line?: WaitingLine<Turn>
  /** Where some wait: until the end of the window, which makes room as those do who are done. */
  timer?: NodeJS.Timeout
}

/**
 * Counts failures only: no number of good requests uses up anything, and none of them asks the store. No more attempts are
 * under way at once than may still fail, so that any number at once is bounded; those over that wait for one that is done, or
 * for the end of the window.
 */
export function limitFailures(name: string, settings: false | Settings, parts: LimitParts) {
  if (settings === false) {
    const nothing = { forgive: () => undefined, fail: async () => undefined }
    return { attempt: (): Attempt | undefined | Promise<Attempt | undefined> => nothing }
  }
  const { windowSeconds, limit } = settings
  const window = { windowMs: windowSeconds * 1000 } as Options
  const failures = new MemoryStore()
  failures.init(window)
  const shared = settings.store ?? sharedStore(parts.stores.counters, windowSeconds, parts.clock)
  silence(shared.init?.(window))
  const sources = new Map<string, Source>()
  /** Sources that failed too often at all instances together, until when (ms). */
  const refusedUntil = new Map<string, number>()
  const warn = warnOnce(parts)
  // The machine's time, in which the limiter's stores tell theirs; never an injected one.
  const now = () => systemClock() * 1000

  /**
   * What failed in this window here. Read at once, so that nothing changes until it is judged.
   * @param at one moment for all that is decided together: who is judged to wait is also woken
   */
  function failedOf(key: string, at: number): { totalHits: number; end: number } | undefined {
    const failed = failures.current.get(key) ?? failures.previous.get(key)
    const end = failed?.resetTime.getTime()
    return failed && end !== undefined && at < end ? { totalHits: failed.totalHits, end } : undefined
  }

  /** When the source may come again, where it failed too often at all instances together. */
  function endOfRefusal(key: string, at: number): number | undefined {
    const until = refusedUntil.get(key)
    if (until === undefined || at < until) return until
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

  function begin(key: string, source: Source): Attempt {
    sources.set(key, source)
    source.underWay++
    const end = () => {
      source.underWay--
      moveUp(key, source, now())
      if (source.underWay === 0) sources.delete(key)
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

  /** @returns `undefined` where it has to wait: as many are under way as may fail, so at least one */
  function nextTurn(key: string, source: Source, at: number): Turn | undefined {
    const failed = failedOf(key, at)
    const count = failed?.totalHits ?? 0
    const until = endOfRefusal(key, at) ?? (count >= limit ? failed?.end : undefined)
    return until ?? (count + source.underWay < limit ? begin(key, source) : undefined)
  }

  /** Lets those who wait go on, as far as there is room. */
  function moveUp(key: string, source: Source, at: number): void {
    if (source.line === undefined) return
    source.line.moveUp(() => nextTurn(key, source, at))
    wakeAtEnd(key, source, at)
  }

  function wakeAtEnd(key: string, source: Source, at: number): void {
    clearTimeout(source.timer)
    const failed = failedOf(key, at)
    if (source.line?.isEmpty !== false || failed === undefined) return
    source.timer = setTimeout(() => moveUp(key, source, now()), failed.end - at)
    source.timer.unref()
  }

  function answerOrGoOn(req: Request, res: Response, turn: Turn): Attempt | undefined {
    if (typeof turn !== 'number') return turn
    refuse(req, res, (turn - now()) / 1000)
    return undefined
  }

  async function waitInLine(
    req: Request,
    res: Response,
    key: string,
    source: Source,
    at: number,
  ): Promise<Attempt | undefined> {
    source.line ??= createWaitingLine(MAX_WAITING)
    const place = source.line.join(req, res)
    if (place === 'full') {
      sendError(
        req,
        res,
        new OAuthError('temporarily_unavailable', 'too many requests from this address at once, try again'),
      )
      return undefined
    }
    wakeAtEnd(key, source, at)
    const turn = await place
    return turn === undefined ? undefined : answerOrGoOn(req, res, turn)
  }

  return {
    /**
     * @returns `undefined` where the source failed too often or too many of it wait, and the request is answered, or where its
     * client left while it waited; no promise where it need not wait
     */
    attempt(
      req: Request,
      res: Response,
      key: string = clientAddress(req),
    ): Attempt | undefined | Promise<Attempt | undefined> {
      warn(req)
      const source = sources.get(key) ?? { underWay: 0 }
      const at = now()
      // First those who wait: what is left is nobody's.
      moveUp(key, source, at)
      const turn = nextTurn(key, source, at)
      return turn === undefined ? waitInLine(req, res, key, source, at) : answerOrGoOn(req, res, turn)
    },
  }
}
