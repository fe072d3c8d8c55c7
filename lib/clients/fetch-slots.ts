import { sha256 } from '../protocol/digest.ts'
import type { Clock } from '../protocol/time.ts'
import type { CounterStore } from '../stores/ports.ts'
import { FetchFailure } from './fetch-failure.ts'

/** Fetches at once in this process, and of them to one host. */
const MAX_AT_ONCE = 64
const MAX_AT_ONCE_OF_HOST = 4
/** Fetches by all instances in a minute, and of them to one host. */
const MAX_IN_MINUTE = 600
const MAX_IN_MINUTE_OF_HOST = 30
const MINUTE = 60

/** How many documents are fetched: at once here, and in a minute by all instances. Over the bounds nothing waits in line. */
export function createFetchSlots({
  counters,
  clock,
}: {
  readonly counters: CounterStore
  readonly clock: Clock
}) {
  let taken = 0
  const takenByHost = new Map<string, number>()

  function take(host: string): () => void {
    const ofHost = takenByHost.get(host) ?? 0
    if (taken >= MAX_AT_ONCE || ofHost >= MAX_AT_ONCE_OF_HOST)
      throw new FetchFailure('unavailable', 'too many documents are being fetched', { retryAfter: 5 })
    taken++
    takenByHost.set(host, ofHost + 1)
    return () => {
      taken--
      const left = (takenByHost.get(host) ?? 1) - 1
      if (left === 0) takenByHost.delete(host)
      else takenByHost.set(host, left)
    }
  }

  /** A host that has used up its own share takes nothing from the share of all. */
  async function countIn(host: string): Promise<void> {
    for (const [name, max] of [
      [`host ${host}`, MAX_IN_MINUTE_OF_HOST],
      ['all', MAX_IN_MINUTE],
    ] as const) {
      const { count, resetsAt } = await counters.count(sha256(`document fetches: ${name}`), MINUTE)
      if (count > max)
        throw new FetchFailure('unavailable', 'too many documents were fetched in this minute', {
          retryAfter: Math.min(MINUTE, Math.max(1, Math.ceil(resetsAt - clock()))),
        })
    }
  }

  return {
    /** @returns what has to be called when the fetch is over. @throws FetchFailure over the bounds */
    async enter(host: string): Promise<() => void> {
      const leave = take(host)
      try {
        await countIn(host)
        return leave
      } catch (error) {
        leave()
        throw error
      }
    },
  }
}
