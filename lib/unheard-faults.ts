import type { AatEvents, createEventHub, Emit } from './protocol/events.ts'
import { ConfigurationError } from './protocol/options.ts'

/** Faults that nobody listens to are warnings of the process, so that they are never silent; in our own words, none of theirs. */
export function warnOfUnheardFaults(hub: ReturnType<typeof createEventHub>): Emit {
  return (name, detail) => {
    const heard = hub.emit(name, detail)
    if (heard || (name !== 'fault' && name !== 'ring.unusable')) return heard
    const { where, reference, error, reason } = detail as Partial<
      AatEvents['fault'] & AatEvents['ring.unusable']
    >
    const what =
      name === 'fault'
        ? `a fault in ${where} (reference ${reference}): ${wordsOf(error)}`
        : `the key ring is unusable: ${reason}`
    process.emitWarning(`express-aat: ${what}; listen to '${name}' events for more`)
    return heard
  }
}

/** A mistake in a hook is told whole; what a store or a hook threw may hold anything, so just its name. */
function wordsOf(error: unknown): string {
  if (error instanceof ConfigurationError) return error.message
  return error instanceof Error ? error.name : typeof error
}
