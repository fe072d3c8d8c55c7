import type { AatEvents, createEventHub, Emit } from './protocol/events.ts'
import { OAuthError, StoreUnavailable } from './protocol/oauth-error.ts'
import { ConfigurationError } from './protocol/options.ts'
import type { Clock, NumericDate } from './protocol/time.ts'

/** Seconds between warnings of the same trouble: what fails in the background is tried every second, and a store that is away fails every request. */
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
      const words = wordsOf(error)
      if (isNews(`${where} ${words}`)) warn(`a fault in ${where} (reference ${reference}): ${words}`, name)
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

/** Our own words are told whole; what else was thrown may hold anything, so just its name. */
function wordsOf(error: unknown): string {
  const isOurs = [ConfigurationError, OAuthError, StoreUnavailable].some((ours) => error instanceof ours)
  if (error instanceof Error) return isOurs ? error.message : error.name
  return typeof error
}
