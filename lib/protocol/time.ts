/** Seconds since 1970-01-01T00:00:00Z; may have a fraction (RFC 7519 §2). */
export type NumericDate = number

/** Where the time comes from. Tests inject one; `systemClock` is the only reader of the machine's. */
export type Clock = () => NumericDate

/** The machine's clock. */
export const systemClock: Clock = () => Date.now() / 1000

/** Seconds that only go forward, whatever happens to the machine's clock. */
export const systemMonotonic: Clock = () => performance.now() / 1000

/** Calls `task` again and again; returns a function that stops it. The seam for background work. */
export type Every = (seconds: number, task: () => void) => () => void

/** A timer that does not keep the process alive. */
export const systemEvery: Every = (seconds, task) => {
  const timer = setInterval(task, seconds * 1000)
  timer.unref()
  return () => clearInterval(timer)
}
