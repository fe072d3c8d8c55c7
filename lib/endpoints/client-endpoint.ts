import type { Request, Response, Router } from 'express'
import type { AatParts, EndpointName } from '../http/aat.ts'
import { readFormBody } from '../http/body.ts'
import { countHeader, sendJson, setNoStore } from '../http/headers.ts'
import { limitFailures, rateLimitOption } from '../http/rate-limit.ts'
import { type Form, readForm } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { readOptions } from '../protocol/options.ts'
import type { Client } from '../stores/ports.ts'
import { jsonEndpoint } from './endpoint-router.ts'

export type FailureLimit = ReturnType<typeof limitFailures>

/**
 * The frame of an endpoint to which clients POST a form and authenticate: token, revocation, introspection.
 * Body, client, answer: each step takes what the one before returned.
 * @param answer what is sent with 200, or `undefined` where it answered by itself
 */
export function clientEndpoint(
  parts: AatParts,
  name: EndpointName,
  options: unknown,
  answer: (
    client: Client,
    form: Form,
    req: Request,
    res: Response,
    failures: FailureLimit,
  ) => Promise<object | undefined>,
): Router {
  const { rateLimit } = readOptions(`${name} endpoint`, options, { rateLimit: rateLimitOption(60, 600) })
  const failures = limitFailures(rateLimit, parts)

  async function authenticate(req: Request, form: Form): Promise<Client> {
    const { authorization } = req.headers
    // Node keeps the first of two and says nothing; a proxy may have read the other.
    if (authorization !== undefined && countHeader(req.rawHeaders, 'authorization') > 1)
      throw new OAuthError('invalid_request', 'Authorization is there more than once')
    try {
      return await parts.authenticateClient(authorization, {
        client_id: form.one('client_id'),
        client_secret: form.one('client_secret'),
        client_assertion: form.one('client_assertion'),
        client_assertion_type: form.one('client_assertion_type'),
      })
    } catch (error) {
      if (error instanceof OAuthError && error.code === 'invalid_client') await failures.count(req)
      throw error
    }
  }

  async function handle(req: Request, res: Response): Promise<void> {
    if (await failures.blocked(req, res)) return
    const form = readForm(await readFormBody(req))
    const client = await authenticate(req, form)
    const body = await answer(client, form, req, res, failures)
    if (body === undefined) return
    setNoStore(res)
    sendJson(res, 200, body)
  }

  return jsonEndpoint(parts, { name, allow: 'POST', corsHeaders: 'Authorization, Content-Type', handle })
}
