import type { AatEvents, createEventHub, Emit } from './protocol/events.ts'
import { StoreUnavailable } from './protocol/oauth-error.ts'
import { ConfigurationError } from './protocol/options.ts'
import type { Clock, NumericDate } from './protocol/time.ts'

/** Seconds between warnings of the same trouble of the background work, which is tried every second. */
const PAUSE = 60

/** Faults that nobody listens to are warnings of the process, so that they are never silent; in our own words, none of theirs. */
export function warnOfUnheardFaults(hub: ReturnType<typeof createEventHub>, clock: Clock): Emit {
  const warnedAt = new Map<string, NumericDate>()

  /** The same trouble again within a minute is not worth another line. */
  function isNews(trouble: string): boolean {
    const now = clock()
    if (now - (warnedAt.get(trouble) ?? Number.NEGATIVE_INFINITY) < PAUSE) return false
    if (warnedAt.size >= 100) warnedAt.clear()
    warnedAt.set(trouble, now)
    return true
  }

  return (name, detail) => {
    const heard = hub.emit(name, detail)
    if (heard) return heard
    if (name === 'fault') {
      const { where, reference, error } = detail as AatEvents['fault']
      // A store that is away fails every request; any other fault is told each time.
      if (!(error instanceof StoreUnavailable) || isNews(`${where} ${error.message}`))
        warn(`a fault in ${where} (reference ${reference}): ${wordsOf(error)}`, name)
    } else if (name === 'store.finding') {
      const { severity, message } = detail as AatEvents['store.finding']
      if (severity === 'unusable') warn(`the store cannot be used: ${message}`, name)
    } else if (name === 'ring.unusable' || name === 'revocation.unavailable') {
      if (!isNews(name)) return heard
      const { reason } = detail as AatEvents['ring.unusable']
      warn(`the ${name === 'ring.unusable' ? 'key ring' : 'revocation log'} cannot be used: ${reason}`, name)
    }
    return heard
  }
}

function warn(what: string, name: string): void {
  process.emitWarning(`express-aat: ${what}; listen to '${name}' events for more`)
}

/** A mistake in a hook, or a store that is away, is told whole; what else was thrown may hold anything, so just its name. */
function wordsOf(error: unknown): string {
  if (error instanceof ConfigurationError || error instanceof StoreUnavailable) return error.message
  return error instanceof Error ? error.name : typeof error
}
