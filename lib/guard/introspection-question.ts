import { parseJsonObject } from '../protocol/encoding.ts'
import { inTime } from '../protocol/hooks.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { VerificationKey } from '../tokens/compact-jws.ts'
import { INTROSPECTION_JWT, readIntrospection } from '../tokens/introspection-response.ts'
import type { IntrospectionSettings } from './introspection-options.ts'
import type { PostForm } from './post-form.ts'

export interface QuestionParts {
  readonly settings: IntrospectionSettings
  readonly issuer: string
  readonly post: PostForm
  /** Where the issuer's metadata says that it can be asked. */
  readonly published: () => Promise<string>
  /** A key of the issuer's, for signed answers. */
  readonly keyFor: (kid: string) => Promise<VerificationKey | undefined>
  readonly clock: Clock
  /** Seconds that a question may take, and before it the app's hook for its assertion. */
  readonly timeout: number
}

export type IntrospectionAnswer = Readonly<Record<string, unknown>> & { readonly active: boolean }

/** Seconds after a question that failed in which the next ones fail at once, where the issuer asks for no more; then one is tried, and the others fail until it is answered. */
const PAUSE = 1
/** The longest that an issuer may ask to be left alone for. */
const LONGEST_PAUSE = 60

/** An answer that is none. */
class NoAnswer extends Error {
  /** Seconds after which it may be asked again, as it says itself. */
  readonly retryAfter: number

  constructor(message: string, retryAfter: string | undefined) {
    super(message)
    const seconds = /^\d{1,9}$/.test(retryAfter ?? '') ? Number(retryAfter) : 0
    this.retryAfter = Math.min(Math.max(seconds, PAUSE), LONGEST_PAUSE)
  }
}

/** Asks an issuer elsewhere about one token (RFC 7662, RFC 9701). */
export function createQuestion({ settings, issuer, post, published, keyFor, clock, timeout }: QuestionParts) {
  const { clientId, clientSecret, clientAssertion, signed } = settings
  let endpoint = settings.endpoint
  let failure: { readonly error: unknown; readonly at: NumericDate; readonly pause: number } | undefined
  let isTrying = false

  async function credentials(form: URLSearchParams): Promise<Record<string, string>> {
    if (clientSecret !== undefined) {
      // RFC 6749 §2.3.1: both are form-encoded first.
      const encode = (part: string) => new URLSearchParams({ '': part }).toString().slice(1)
      const pair = Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')
      return { authorization: `Basic ${pair}` }
    }
    form.set('client_id', clientId)
    form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
    form.set('client_assertion', await assertion())
    return {}
  }

  /** Of the app's hook, which may throw what is not for logs. */
  function assertion(): Promise<string> {
    const made = async () => (await clientAssertion?.()) ?? ''
    const failed = (error: unknown) => {
      const name = error instanceof Error ? error.name : typeof error
      // Not as its cause: the log is told all causes.
      throw new AggregateError([error], `clientAssertion threw ${name}`)
    }
    return inTime(made().catch(failed), timeout, 'clientAssertion')
  }

  async function send(token: string): Promise<IntrospectionAnswer> {
    // Its own: another question's failure forgets where the issuer is, while this one makes its credentials.
    const url = endpoint ?? (await published())
    endpoint = url
    const form = new URLSearchParams({ token, token_type_hint: 'access_token' })
    const headers = { ...(await credentials(form)), ...(signed && { accept: INTROSPECTION_JWT }) }
    const { status, text, retryAfter } = await post(url, form, headers, timeout)
    if (status !== 200) throw new NoAnswer(`${url} answered ${status}`, retryAfter)
    const answer = signed
      ? await readIntrospection(text, { issuer, audience: clientId, now: clock() }, keyFor)
      : parseJsonObject(text)
    if (typeof answer?.active !== 'boolean')
      throw new Error(`${url} did not answer as RFC ${signed ? 9701 : 7662} says`)
    return { ...answer, active: answer.active }
  }

  /** @throws Error where there is no answer of 200 that says whether the token is active */
  return async function ask(token: string): Promise<IntrospectionAnswer> {
    if (failure !== undefined && (isTrying || Math.abs(clock() - failure.at) < failure.pause))
      throw failure.error
    const isTry = failure !== undefined
    isTrying = isTry
    try {
      const answer = await send(token)
      failure = undefined
      return answer
    } catch (cause) {
      const error = new Error('the issuer cannot be asked about tokens', { cause })
      failure = { error, at: clock(), pause: cause instanceof NoAnswer ? cause.retryAfter : PAUSE }
      // It may have moved: the metadata is asked again next time.
      endpoint = settings.endpoint
      throw error
    } finally {
      if (isTry) isTrying = false
    }
  }
}
