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
/** Bytes of what anybody may have written into the store. */
const MAX_OPEN_RECORD = 8192
const counter = sha256('records of clients that nobody used')

/** @throws OAuthError where a client that anybody could have registered would take too much room */
export function checkOpenRecord(client: Client): void {
  if (Buffer.byteLength(writeClient(client)) > MAX_OPEN_RECORD)
    throw refusal(`the metadata must not take more than ${MAX_OPEN_RECORD} bytes`)
}

/** Counts one such record. @throws OAuthError 429 where there were too many today */
export function createUnusedLimit(counters: CounterStore, clock: Clock) {
  return async function limitUnused(): Promise<void> {
    const { count, resetsAt } = await counters.count(counter, DAY)
    if (count > MAX_A_DAY)
      throw new OAuthError(
        'temporarily_unavailable',
        'too much was registered and never used, try again later',
        {
          status: 429,
          retryAfter: Math.max(1, Math.ceil(resetsAt - clock())),
        },
      )
  }
}

export type LimitUnused = ReturnType<typeof createUnusedLimit>
