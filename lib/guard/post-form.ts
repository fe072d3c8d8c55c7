import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { inTime } from '../protocol/hooks.ts'
import { type Fetch, readBounded } from './issuer-documents.ts'

export interface FormAnswer {
  readonly status: number
  readonly text: string
  /** The `Retry-After` header (RFC 9110 §10.2.3). */
  readonly retryAfter: string | undefined
}

/** POSTs a form and reads the answer. Rejects where there is none in time, or one that is too long. */
export type PostForm = (
  url: string,
  form: URLSearchParams,
  headers: Record<string, string>,
  /** Seconds for all of it. */
  timeout: number,
) => Promise<FormAnswer>

const FORM = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' }

/** Over connections that are kept, for less than `fetch` costs. */
export function keepAlivePost(): PostForm {
  const settings = { keepAlive: true, maxSockets: 32, maxFreeSockets: 16 }
  const agents = { 'http:': new HttpAgent(settings), 'https:': new HttpsAgent(settings) }

  function send(
    url: URL,
    body: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    isRetry = false,
  ): Promise<FormAnswer> {
    const isSecure = url.protocol === 'https:'
    const options = {
      method: 'POST',
      agent: agents[isSecure ? 'https:' : 'http:'],
      headers: { ...FORM, 'content-length': Buffer.byteLength(body), ...headers },
      signal,
    }
    return new Promise((resolve, reject) => {
      const req = (isSecure ? httpsRequest : httpRequest)(url, options, (response) => {
        readBounded(response, url.href).then(
          (bytes) =>
            resolve({
              status: response.statusCode ?? 0,
              text: bytes.toString(),
              retryAfter: response.headers['retry-after'],
            }),
          (error: unknown) => {
            response.destroy()
            reject(error)
          },
        )
      })
      req.on('error', (error) => {
        // A kept connection that the other side closed meanwhile; asking again is harmless.
        if (req.reusedSocket && !isRetry && !signal.aborted)
          send(url, body, headers, signal, true).then(resolve, reject)
        else reject(error)
      })
      req.end(body)
    })
  }

  return (url, form, headers, timeout) =>
    send(new URL(url), form.toString(), headers, AbortSignal.timeout(timeout * 1000))
}

/** The same by the app's own `fetch`, which may know no signal. */
export function fetchPost(fetch: Fetch): PostForm {
  const send: PostForm = async (url, form, headers, timeout) => {
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.timeout(timeout * 1000),
      headers: { ...FORM, ...headers },
      body: form.toString(),
    })
    return {
      status: response.status,
      text: (await readBounded(response.body ?? [], url)).toString(),
      retryAfter: response.headers.get('retry-after') ?? undefined,
    }
  }
  return (url, form, headers, timeout) => inTime(send(url, form, headers, timeout), timeout, url)
}
