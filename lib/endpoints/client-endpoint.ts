import type { Request, RequestHandler, Response } from 'express'
import type { AatParts, EndpointName } from '../http/aat.ts'
import { readFormBody } from '../http/body.ts'
import { clientAddress } from '../http/client-address.ts'
import { limitFailures } from '../http/failure-limit.ts'
import { countHeader, sendJson, setNoStore } from '../http/headers.ts'
import { rateLimitOption } from '../http/rate-limit.ts'
import { type Form, readForm } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { readOptions } from '../protocol/options.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Client } from '../stores/ports.ts'
import { jsonEndpoint } from './json-endpoint.ts'

/** What an answer may need beside the client and its form. */
export interface AnswerContext {
  readonly req: Request
  readonly res: Response
  /** When the request began to be looked at: read once. */
  readonly now: NumericDate
  readonly failures: ReturnType<typeof limitFailures>
}

/**
 * Authenticates the client of a request, with failures counted by where they come from.
 * @returns `undefined` where there were too many and the request is answered, or nobody is there to be answered
 */
export function createReception(parts: AatParts, failures: ReturnType<typeof limitFailures>) {
  function authenticate(req: Request, form: Form, source: string): Promise<Client> {
    const { authorization } = req.headers
    // Node keeps the first of two and says nothing; a proxy may have read the other.
    if (authorization !== undefined && countHeader(req.rawHeaders, 'authorization') > 1)
      throw new OAuthError('invalid_request', 'Authorization is there more than once')
    const parameters = {
      client_id: form.one('client_id'),
      client_secret: form.one('client_secret'),
      client_assertion: form.one('client_assertion'),
      client_assertion_type: form.one('client_assertion_type'),
    }
    return parts.authenticateClient(authorization, parameters, source)
  }

  return async function receive(req: Request, res: Response, form: Form): Promise<Client | undefined> {
    // Counted ahead and taken back, so that any number of attempts at once is counted before one of them is tried.
    const source = clientAddress(req)
    const allowed = failures.attempt(req, res, source)
    const attempt = allowed instanceof Promise ? await allowed : allowed
    if (attempt === undefined) return undefined
    let client: Client
    try {
      client = await authenticate(req, form, source)
    } catch (error) {
      if (error instanceof OAuthError && error.code === 'invalid_client') await attempt.fail()
      else attempt.forgive()
      throw error
    }
    attempt.forgive()
    return client
  }
}

/** The one option of such an endpoint. @throws ConfigurationError */
export function readRateLimit(name: EndpointName, options: unknown) {
  return readOptions(`${name} endpoint`, options, { rateLimit: rateLimitOption(60, 600) }).rateLimit
}

/**
 * The frame of an endpoint to which clients POST a form and authenticate: token, revocation, introspection.
 * Body, client, answer: each step takes what the one before returned.
 * @param answer what is sent with 200, or `undefined` where it answered by itself
 */
export function clientEndpoint(
  parts: AatParts,
  name: EndpointName,
  options: unknown,
  answer: (client: Client, form: Form, context: AnswerContext) => Promise<object | undefined>,
): RequestHandler {
  const failures = limitFailures(name, readRateLimit(name, options), parts)
  const receive = createReception(parts, failures)

  async function handle(req: Request, res: Response): Promise<void> {
    const form = readForm(await readFormBody(req))
    const now = parts.clock()
    const client = await receive(req, res, form)
    if (client === undefined) return
    const body = await answer(client, form, { req, res, now, failures })
    if (body === undefined) return
    setNoStore(res)
    sendJson(res, 200, body)
  }

  return jsonEndpoint(parts, {
    name,
    allow: 'POST',
    corsHeaders: `Authorization, Content-Type${name === 'token' ? ', DPoP' : ''}`,
    handle,
  })
}
