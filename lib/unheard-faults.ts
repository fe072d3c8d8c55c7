import type { AatEvents, createEventHub, Emit } from './protocol/events.ts'

/** Faults that nobody listens to are warnings of the process, so that they are never silent; without any detail of theirs. */
export function warnOfUnheardFaults(hub: ReturnType<typeof createEventHub>): Emit {
  return (name, detail) => {
    const heard = hub.emit(name, detail)
    if (heard || (name !== 'fault' && name !== 'ring.unusable')) return heard
    const { where, reference, error, reason } = detail as Partial<
      AatEvents['fault'] & AatEvents['ring.unusable']
    >
    const what =
      name === 'fault'
        ? `a fault in ${where} (reference ${reference}): ${error instanceof Error ? error.name : typeof error}`
        : `the key ring is unusable: ${reason}`
    process.emitWarning(`express-aat: ${what}; listen to '${name}' events for more`)
    return heard
  }
}
