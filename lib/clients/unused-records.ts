import { sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Clock } from '../protocol/time.ts'
import { writeClient } from '../stores/client-text.ts'
import type { Client, CounterStore } from '../stores/ports.ts'
import { refusal } from './metadata-members.ts'

const DAY = 86_400
/**
 * Records a day, at all instances together, that clients may cause which nobody ever used: a registration that is too long for
 * its id, a change or a deletion of one that has none. Records of this kind end after 30 days, and marks after two years, so
 * whatever strangers do, what they leave in the store has a bound: some 120 MB of records of the greatest size, 40 MB of marks.
 */
const MAX_A_DAY = 500
/** Of these one source may cause so many, or it alone could shut out all others for the day. */
const MAX_OF_SOURCE = 100
/** Bytes of what anybody may have written into the store. */
const MAX_OPEN_RECORD = 8192
const WHAT = 'records of clients that nobody used'

/** @throws OAuthError where a client that anybody could have registered would take too much room */
export function checkOpenRecord(client: Client): void {
  if (Buffer.byteLength(writeClient(client)) > MAX_OPEN_RECORD)
    throw refusal(`the metadata must not take more than ${MAX_OPEN_RECORD} bytes`)
}

/** Counts one such record. @throws OAuthError 429 where there were too many today */
export function createUnusedLimit(counters: CounterStore, clock: Clock) {
  async function take(name: string, limit: number): Promise<void> {
    const { outcome, resetsAt } = await counters.take(sha256(name), DAY, limit)
    if (outcome === 'full')
      throw new OAuthError(
        'temporarily_unavailable',
        'too much was registered and never used, try again later',
        {
          status: 429,
          retryAfter: Math.max(1, Math.ceil(resetsAt - clock())),
        },
      )
  }

  return async function limitUnused(source: string): Promise<void> {
    await take(`${WHAT} ${JSON.stringify(source)}`, MAX_OF_SOURCE)
    await take(WHAT, MAX_A_DAY)
  }
}

export type LimitUnused = ReturnType<typeof createUnusedLimit>
