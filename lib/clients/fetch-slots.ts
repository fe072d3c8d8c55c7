import { sha256 } from '../protocol/digest.ts'
import type { Clock } from '../protocol/time.ts'
import type { CounterStore } from '../stores/ports.ts'
import { FetchFailure } from './fetch-failure.ts'

/** Fetches at once in this process. */
const MAX_AT_ONCE = 64
/** Of them of what somebody relies on already, or of what nobody does yet: neither can take the places of the other. */
const MAX_AT_ONCE_OF_KIND = 48
/** Of a kind to one host. */
const MAX_AT_ONCE_OF_HOST = { kept: 16, others: 4 }
/**
 * Fetches in a minute by all instances: in all, of one host, caused by requests from one address, and by those of one host. So
 * nobody alone can use up what there is for all, or shut out a client by asking its host for this and that.
 */
const MAX_IN_MINUTE = { all: 600, host: 120, source: 60, sourceAndHost: 12 }
const MINUTE = 60

/** Why something is fetched. */
export interface FetchReason {
  /** Where the request comes from that causes it; absent: from nobody outside. */
  readonly source?: string | undefined
  /** It is known, and somebody relies on it: its age alone bounds how often it is fetched, and strangers cannot hinder that. */
  readonly isKept?: boolean
}

/** How many documents are fetched: at once here, and in a minute by all instances. Over the bounds nothing waits in line. */
export function createFetchSlots({
  counters,
  clock,
}: {
  readonly counters: CounterStore
  readonly clock: Clock
}) {
  const taken = { kept: 0, others: 0 }
  const takenByHost = { kept: new Map<string, number>(), others: new Map<string, number>() }

  function take(host: string, { isKept = false }: FetchReason): () => void {
    const kind = isKept ? 'kept' : 'others'
    const byHost = takenByHost[kind]
    const ofHost = byHost.get(host) ?? 0
    if (
      taken.kept + taken.others >= MAX_AT_ONCE ||
      taken[kind] >= MAX_AT_ONCE_OF_KIND ||
      ofHost >= MAX_AT_ONCE_OF_HOST[kind]
    )
      throw new FetchFailure('busy', 'too many documents are being fetched', { retryAfter: 5 })
    taken[kind]++
    byHost.set(host, ofHost + 1)
    return () => {
      taken[kind]--
      const left = (byHost.get(host) ?? 1) - 1
      if (left === 0) byHost.delete(host)
      else byHost.set(host, left)
    }
  }

  /** From the narrowest to the widest: what has used up its own share takes nothing from the share of others. */
  async function countIn(host: string, { source, isKept = false }: FetchReason): Promise<void> {
    if (isKept) return
    const bySource: [string[], number][] =
      source === undefined
        ? []
        : [
            [['source and host', source, host], MAX_IN_MINUTE.sourceAndHost],
            [['source', source], MAX_IN_MINUTE.source],
          ]
    for (const [name, max] of [
      ...bySource,
      [['host', host], MAX_IN_MINUTE.host] as const,
      [['all'], MAX_IN_MINUTE.all] as const,
    ]) {
      const key = sha256(`document fetches ${JSON.stringify(name)}`)
      const { outcome, resetsAt } = await counters.take(key, MINUTE, max)
      if (outcome === 'full')
        throw new FetchFailure('busy', 'too many documents were fetched in this minute', {
          retryAfter: Math.min(MINUTE, Math.max(1, Math.ceil(resetsAt - clock()))),
        })
    }
  }

  return {
    /**
     * @returns what has to be called when the fetch is over
     * @throws FetchFailure `busy` over the bounds
     */
    async enter(host: string, reason: FetchReason): Promise<() => void> {
      const leave = take(host, reason)
      try {
        await countIn(host, reason)
        return leave
      } catch (error) {
        leave()
        throw error
      }
    },
  }
}
