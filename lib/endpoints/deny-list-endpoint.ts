import type { Request, RequestHandler, Response } from 'express'
import { type Aat, type AatParts, partsOf } from '../http/aat.ts'
import type { Denied, DenyTarget } from '../http/aat-deny-list.ts'
import { readFormBody, readQuery } from '../http/body.ts'
import { limitFailures } from '../http/failure-limit.ts'
import { sendJson, setNoStore } from '../http/headers.ts'
import { type RateLimitOptions, rateLimitOption } from '../http/rate-limit.ts'
import { type Form, readForm } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { callback, optional, readOptions } from '../protocol/options.ts'
import { createReception } from './client-endpoint.ts'
import { jsonEndpoint } from './json-endpoint.ts'
import { readOwnAccessToken } from './read-token.ts'

export interface DenyListEndpointOptions {
  /**
   * The app's own check instead of client authentication: who an operator is, by his session or by the user of the token that a
   * `requireAat` in front let through. A scope alone is not enough: any user can consent to it.
   * Requests that a browser makes for another site are refused before it is asked.
   */
  authorize?: ((req: Request) => boolean | Promise<boolean>) | undefined
  /** Failed client authentications from one address (default 600 in 60 seconds). */
  rateLimit?: RateLimitOptions | false | undefined
}

/**
 * The deny list: GET tells what is denied, in pages; POST denies a token, a grant, a client or a subject, or says how
 * often a token may still be used. For clients whose
 * configuration says `mayDeny`, or whom the app's `authorize` lets in. It answers 200 when the denial is written.
 */
export function denyListEndpoint(aat: Aat, options: DenyListEndpointOptions = {}): RequestHandler {
  const parts = partsOf(aat, 'denyListEndpoint')
  const { authorize, rateLimit } = readOptions('denyListEndpoint', options, {
    authorize: optional(callback<NonNullable<DenyListEndpointOptions['authorize']>>()),
    rateLimit: rateLimitOption(60, 600),
  })
  const receive = createReception(parts, limitFailures('denyList', rateLimit, parts))

  /** Who asks, for events; `undefined` where the request is answered already. */
  async function admit(req: Request, res: Response, form: Form): Promise<string | undefined> {
    if (authorize !== undefined) {
      if (isFromAnotherSite(req, parts) || (await authorize(req)) !== true)
        throw new OAuthError('access_denied', 'this needs the right to deny tokens')
      return 'the deny list endpoint'
    }
    const client = await receive(req, res, form)
    if (client !== undefined && (client.mayDeny !== true || client.authenticationMethod === 'none'))
      throw new OAuthError('access_denied', 'the client may not deny tokens')
    return client?.id
  }

  /** What a form names: `token`, or `type` and `id`. */
  async function readNamed(form: Form, by: string): Promise<Named> {
    const [token, type, id] = [form.one('token'), form.one('type'), form.one('id')]
    if (token === undefined ? type === undefined || id === undefined : type !== undefined || id !== undefined)
      throw new OAuthError('invalid_request', 'name either token, or type and id')
    if (token !== undefined) return namedBy(token, by)
    if (type === undefined || !Object.hasOwn(targets, type))
      throw new OAuthError('invalid_request', 'type must be token, grant, client or subject')
    if (id === undefined || id.length > 255)
      throw new OAuthError('invalid_request', 'id must have 1 to 255 characters')
    return { type: type as Named['type'], id }
  }

  async function namedBy(token: string, by: string): Promise<Named> {
    const refreshToken = parts.refreshTokens.read(token)
    if (refreshToken !== undefined) return { type: 'grant', id: refreshToken.grantId }
    const claims = await readOwnAccessToken(token, parts, by)
    if (claims !== undefined) return { type: 'token', id: claims.jti }
    throw new OAuthError('invalid_request', 'token is none of this server that is good now')
  }

  async function deny(form: Form, by: string): Promise<object> {
    const named = await readNamed(form, by)
    const uses = form.one('max_uses')
    if (uses === undefined) {
      await parts.denyList.add(targets[named.type](named.id), by)
      return { denied: named }
    }
    const maxUses = /^\d{1,7}$/.test(uses) ? Number(uses) : Number.NaN
    if (named.type !== 'token' || !(maxUses <= 1_000_000))
      throw new OAuthError(
        'invalid_request',
        'max_uses is for an access token, and a number from 0 to 1000000',
      )
    await parts.denyList.add({ jti: named.id, maxUses }, by)
    return { denied: { ...named, max_uses: maxUses } }
  }

  async function list(form: Form): Promise<object> {
    const limit = form.one('limit')
    try {
      const page = await parts.denyList.list({
        cursor: form.one('cursor'),
        ...(limit !== undefined && { limit: /^\d{1,4}$/.test(limit) ? Number(limit) : Number.NaN }),
      })
      return { denied: page.denied.map(onWire), ...(page.cursor !== undefined && { cursor: page.cursor }) }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      throw new OAuthError('invalid_request', 'cursor must be one that a page gave, limit from 1 to 1000')
    }
  }

  async function handle(req: Request, res: Response): Promise<void> {
    const isPost = req.method === 'POST'
    const form = readForm(isPost ? await readFormBody(req) : readQuery(req))
    // A secret in a URL would lie in logs: with GET, clients authenticate by header.
    const credentials = isPost ? form : readForm(new Map())
    const by = await admit(req, res, credentials)
    if (by === undefined) return
    const body = isPost ? await deny(form, by) : await list(form)
    setNoStore(res)
    sendJson(res, 200, body)
  }

  return jsonEndpoint(parts, {
    name: 'denyList',
    allow: 'GET, POST',
    corsHeaders: 'Authorization, Content-Type',
    handle,
  })
}

/** What a POST may name. */
const targets = {
  token: (id: string): DenyTarget => ({ jti: id }),
  grant: (id: string): DenyTarget => ({ grantId: id }),
  client: (id: string): DenyTarget => ({ clientId: id }),
  subject: (id: string): DenyTarget => ({ subject: id }),
}

interface Named {
  readonly type: keyof typeof targets
  readonly id: string
}

const onWire = ({ type, id, notAfter, maxUses, expiresAt }: Denied) => ({
  type,
  id,
  ...(notAfter !== undefined && { not_after: notAfter }),
  ...(maxUses !== undefined && { max_uses: maxUses }),
  expires_at: expiresAt,
})

/** A page elsewhere that makes an operator's browser send his cookies along. Other clients send neither header. */
function isFromAnotherSite(req: Request, { issuer, corsOrigins }: AatParts): boolean {
  const { origin, 'sec-fetch-site': site } = req.headers
  if (origin === undefined) return site !== undefined && site !== 'same-origin' && site !== 'none'
  return origin !== new URL(issuer).origin && (corsOrigins === '*' || !corsOrigins.includes(origin))
}
