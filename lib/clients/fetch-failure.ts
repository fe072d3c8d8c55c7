/**
 * Why a document could not be had. `unavailable`: the network or the host has trouble, which passes and is nobody's fault;
 * `refused`: what is there, or where it is, is wrong; `busy`: it was not even tried, since whoever asks, or everybody together,
 * asks for too much. The message goes to events, never to clients.
 */
export class FetchFailure extends Error {
  override readonly name = 'FetchFailure'
  readonly kind: 'unavailable' | 'refused' | 'busy'
  /** Seconds until another attempt may go better. */
  readonly retryAfter: number | undefined

  constructor(
    kind: FetchFailure['kind'],
    message: string,
    { retryAfter, cause }: { retryAfter?: number; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.retryAfter = retryAfter
  }
}
