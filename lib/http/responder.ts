import type { ErrorRequestHandler, Request, Response } from 'express'
import { isObject } from '../protocol/encoding.ts'
import { OAuthError, StoreUnavailable } from '../protocol/oauth-error.ts'
import { randomId } from '../protocol/random.ts'
import { Overcrowded, tellOnce } from '../tokens/turns.ts'
import type { AatParts } from './aat.ts'
import { sendJson, setNoStore } from './headers.ts'

type FaultReporter = Pick<AatParts, 'emit' | 'random'>

/**
 * Makes anything that was thrown into a refusal that may be shown. A fault of ours never looks like one of the client's: a
 * store that cannot answer is 503 `temporarily_unavailable`, anything unknown 500 `server_error`, both with a reference that
 * stands in the `fault` event too. What was thrown itself is never sent.
 */
export function toOAuthError(error: unknown, where: string, reporter: FaultReporter): OAuthError {
  if (error instanceof OAuthError && !error.isFault) return error
  // A body parser's errors are the client's. A status alone tells nothing: what a hook's HTTP client throws has one too.
  if (
    !(error instanceof OAuthError) &&
    isObject(error) &&
    typeof error.type === 'string' &&
    /^(?:charset|encoding|entity|parameters|querystring|request)\./.test(error.type) &&
    typeof error.status === 'number' &&
    error.status >= 400 &&
    error.status < 500
  ) {
    return new OAuthError('invalid_request', 'the request is malformed', {
      status: error.status,
      cause: error,
    })
  }
  const reference = reportFault(error, where, reporter)
  if (error instanceof Overcrowded || error instanceof StoreUnavailable)
    return new OAuthError(
      'temporarily_unavailable',
      `the server cannot answer at the moment, try again (reference ${reference})`,
      { cause: error },
    )
  if (error instanceof OAuthError) return withReference(error, reference)
  return new OAuthError('server_error', `something went wrong on the server (reference ${reference})`, {
    cause: error,
  })
}

/** Tells the listeners of a fault. @returns the reference of the `fault` event that tells of it */
export function reportFault(error: unknown, where: string, { emit, random }: FaultReporter): string {
  // Behind a refusal is what there is to mend.
  let told = error
  while (told instanceof OAuthError && told.cause instanceof Error) told = told.cause
  return tellOnce(
    error,
    () => randomId(random, 9),
    (reference) => emit('fault', { where, reference, error: told }),
  )
}

function withReference(error: OAuthError, reference: string): OAuthError {
  const { code, message, status, retryAfter, challenge, cause } = error
  return new OAuthError(code, `${message} (reference ${reference})`, {
    cause,
    status,
    ...(retryAfter !== undefined && { retryAfter }),
    ...(challenge !== undefined && { challenge }),
  })
}

/** Connections that were told to close; what the parser had read already is still handed on as requests. */
const closing = new WeakSet<object>()

/**
 * Drops a request that comes after an answer which ends its connection: nobody would read another one. The connection itself
 * stays as long as that answer, and those before it, are on their way.
 * @returns whether it did
 */
export function dropAfterLast(req: Request, res: Response): boolean {
  if (!closing.has(req.socket)) return false
  res.statusCode = 503
  res.setHeader('Connection', 'close')
  res.end()
  return true
}

/** The JSON face (RFC 6749 §5.2, RFC 7591 §3.2.2). */
export function sendError(req: Request, res: Response, error: OAuthError): void {
  setNoStore(res)
  if (error.retryAfter !== undefined) res.setHeader('Retry-After', Math.ceil(error.retryAfter))
  // RFC 6749 §5.2: the scheme that the client used; RFC 7235 wants one on every 401.
  if (error.status === 401 || error.challenge !== undefined)
    res.setHeader('WWW-Authenticate', error.challenge ?? 'Basic realm="oauth", charset="UTF-8"')
  // What is left of a body is not worth waiting for, and must not be taken for another request.
  if (!req.complete && (req.headers['transfer-encoding'] ?? req.headers['content-length'] ?? '0') !== '0') {
    res.setHeader('Connection', 'close')
    closing.add(req.socket)
  }
  sendJson(res, error.status, { error: error.code, error_description: error.message })
}

/** The error handler of an endpoint: what was thrown is made into a refusal, and sent. */
export function errorHandler(
  where: string,
  reporter: FaultReporter,
  send: (req: Request, res: Response, error: OAuthError) => void | Promise<void>,
): ErrorRequestHandler {
  return (thrown, req, res, next) => {
    // Something of the app's gave up waiting (a time limit, say) and has answered. That there is nobody to tell is no fault, and
    // to Express it would be one of the connection, on which other requests may be.
    const isAnswered = res.writableEnded
    if (isAnswered && isObject(thrown) && thrown.code === 'ERR_HTTP_HEADERS_SENT') return
    const error = toOAuthError(thrown, where, reporter)
    if (isAnswered) return
    if (res.headersSent) return next(thrown)
    send(req, res, error)?.catch(next)
  }
}

/** The one error handler of an endpoint that answers in JSON. */
export function jsonErrors(where: string, reporter: FaultReporter): ErrorRequestHandler {
  return errorHandler(where, reporter, sendError)
}

/** For a method that an endpoint does not have (RFC 9110 §15.5.6). */
export function sendMethodNotAllowed(req: Request, res: Response, allow: string): void {
  res.setHeader('Allow', allow)
  sendError(req, res, new OAuthError('invalid_request', `use ${allow}`, { status: 405 }))
}

export function sendNotFound(req: Request, res: Response): void {
  sendError(req, res, new OAuthError('invalid_request', 'there is nothing here', { status: 404 }))
}
