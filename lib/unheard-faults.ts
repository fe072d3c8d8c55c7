import type { AatEvents, createEventHub, Emit } from './protocol/events.ts'
import { ConfigurationError } from './protocol/options.ts'
import type { Clock, NumericDate } from './protocol/time.ts'

/** Seconds between warnings of the same trouble of the background work, which is tried every second. */
const PAUSE = 60

/** Faults that nobody listens to are warnings of the process, so that they are never silent; in our own words, none of theirs. */
export function warnOfUnheardFaults(hub: ReturnType<typeof createEventHub>, clock: Clock): Emit {
  const warnedAt = new Map<string, NumericDate>()
  return (name, detail) => {
    const heard = hub.emit(name, detail)
    if (heard) return heard
    if (name === 'fault') {
      const { where, reference, error } = detail as AatEvents['fault']
      warn(`a fault in ${where} (reference ${reference}): ${wordsOf(error)}`, name)
    } else if (name === 'store.finding') {
      const { severity, message } = detail as AatEvents['store.finding']
      if (severity === 'unusable') warn(`the store cannot be used: ${message}`, name)
    } else if (name === 'ring.unusable' || name === 'revocation.unavailable') {
      const now = clock()
      if (now - (warnedAt.get(name) ?? Number.NEGATIVE_INFINITY) < PAUSE) return heard
      warnedAt.set(name, now)
      const { reason } = detail as AatEvents['ring.unusable']
      warn(`the ${name === 'ring.unusable' ? 'key ring' : 'revocation log'} cannot be used: ${reason}`, name)
    }
    return heard
  }
}

function warn(what: string, name: string): void {
  process.emitWarning(`express-aat: ${what}; listen to '${name}' events for more`)
}

/** A mistake in a hook is told whole; what a store or a hook threw may hold anything, so just its name. */
function wordsOf(error: unknown): string {
  if (error instanceof ConfigurationError) return error.message
  return error instanceof Error ? error.name : typeof error
}
