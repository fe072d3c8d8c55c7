import { setImmediate } from 'node:timers'
import type { Clock } from '../../protocol/time.ts'

/** Calls back when so many milliseconds are over; returns a function that calls it off. */
export function whenOver(
  deadline: number,
  monotonic: Clock,
  waitOn: () => void,
  giveUp: () => void,
): () => void {
  const began = monotonic()
  let isCalledOff = false
  let timer = setTimeout(() => {
    // Timers come before sockets, so what was answered in time is read first. A timer that is much too late tells that this
    // process stood still; then the driver gave its socket up too, and needs time for a new one.
    const stoodStill = monotonic() - began > (2 * deadline) / 1000
    if (stoodStill) {
      timer = setTimeout(giveUp, deadline)
      waitOn()
    } else setImmediate(() => isCalledOff || giveUp())
  }, deadline)
  return () => {
    isCalledOff = true
    clearTimeout(timer)
  }
}
