import { isThenable } from './encoding.ts'

/** Calls a listener of the app's. One that throws, or whose promise is rejected, disturbs nobody: a warning names it. */
export function callListener(name: string, call: () => unknown): void {
  const warn = (error: unknown) =>
    process.emitWarning(`express-aat: ${name} threw ${error instanceof Error ? error.name : typeof error}`)
  try {
    const result = call()
    if (isThenable(result)) Promise.resolve(result).catch(warn)
  } catch (error) {
    warn(error)
  }
}

/** What came from where no promise may come, and nobody waits for: that it is rejected ends no process. */
export function silence(value: unknown): void {
  if (isThenable(value)) Promise.resolve(value).catch(() => undefined)
}
