import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks again and again until the answer is truthy, and returns it. Fails after `timeout` ms with the last answer or
 * error, so that a test never hangs and never guesses how long something takes.
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  { timeout = 10_000, every = 10 } = {},
): Promise<Exclude<T, false | null | undefined | 0 | ''>> {
  const deadline = performance.now() + timeout
  let last: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer) return answer as Exclude<T, false | null | undefined | 0 | ''>
      last = answer
    } catch (error) {
      last = error
    }
    if (performance.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}; last: ${last}`)
    await sleep(every)
  }
}
