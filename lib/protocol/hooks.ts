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

/** Thrown where somebody else's code took too long. */
export class TooLate extends Error {
  override readonly name = 'TooLate'
}

/** What somebody else's code makes, whose promise may never be settled. @throws TooLate where it is not there in so many seconds */
export async function inTime<T>(made: T | PromiseLike<T>, seconds: number, name: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TooLate(`${name} took more than ${seconds} s`)), seconds * 1000)
  })
  try {
    return await Promise.race([made, late])
  } finally {
    clearTimeout(timer)
  }
}
