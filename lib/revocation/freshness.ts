import { OAuthError } from '../protocol/oauth-error.ts'
import type { Clock } from '../protocol/time.ts'

/**
 * How old what is known of revocations may be.
 * @param staleAfter S: seconds without a successful read after which it is stale
 * @param pull a read that begins after the call
 */
export function createFreshness(monotonic: Clock, staleAfter: number, pull: () => Promise<void>) {
  /** When the last read that succeeded was begun. */
  let readAt: number | undefined
  let failedAt = Number.NEGATIVE_INFINITY
  let failure: unknown
  let acceptedStale = 0

  const isFresh = () => readAt !== undefined && monotonic() - readAt <= staleAfter

  const fresh = (): Promise<void> | undefined => (isFresh() ? undefined : becomeFresh())

  async function becomeFresh(): Promise<void> {
    // While the store is away the background work tries each second; requests do not queue up behind it.
    if (readAt === undefined || monotonic() - failedAt > 1) {
      await pull().catch(() => undefined)
    }
    if (!isFresh())
      throw new OAuthError('temporarily_unavailable', 'revocations are not known at the moment', {
        cause: failure,
        retryAfter: 1,
      })
  }

  return {
    /** A read that was begun then brought all there was. */
    succeeded(began: number): void {
      readAt = began
    },
    failed(error: unknown): void {
      failedAt = monotonic()
      failure = error
    },

    /** Seconds since what is known here was proven to be all there is. */
    age: () => (readAt === undefined ? Number.POSITIVE_INFINITY : monotonic() - readAt),
    isFresh,

    /**
     * No promise where what is known here is at most S old; else one that is fulfilled after one read: a process that was stopped
     * for a while is not cut off. @throws OAuthError 503 where the log cannot be read
     */
    fresh,

    /** The same for those who would rather go on with what was known last, which is counted; once there is any. */
    async freshOrCounted(): Promise<void> {
      await fresh()?.catch((error: unknown) => {
        if (readAt === undefined) throw error
        acceptedStale++
      })
    },

    acceptedStale: () => acceptedStale,
  }
}
