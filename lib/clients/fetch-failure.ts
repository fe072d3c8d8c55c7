/**
 * Why a document could not be had. `unavailable`: the network or the host has trouble, which passes and is nobody's fault;
 * `refused`: what is there, or where it is, is wrong. The message goes to events, never to clients.
 */
export class FetchFailure extends Error {
  override readonly name = 'FetchFailure'
  readonly kind: 'unavailable' | 'refused'
  /** Seconds until another attempt may go better. */
  readonly retryAfter: number | undefined

  constructor(
    kind: 'unavailable' | 'refused',
    message: string,
    { retryAfter, cause }: { retryAfter?: number; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
    this.retryAfter = retryAfter
  }
}
