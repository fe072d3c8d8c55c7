import type { RequestHandler } from 'express'
import { type Aat, partsOf } from '../http/aat.ts'
import type { RateLimitOptions } from '../http/rate-limit.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { clientEndpoint } from './client-endpoint.ts'
import { createSenders } from './token-sender.ts'

export interface TokenEndpointOptions {
  /** Failed client authentications from one address (default 600 in 60 seconds); good requests are not counted. */
  rateLimit?: RateLimitOptions | false
}

/**
 * The token endpoint (RFC 6749 §3.2): `authorization_code`, `refresh_token`, `client_credentials`.
 * Mount it where `endpoints.token` says: `app.use('/oauth/token', tokenEndpoint(aat))`.
 * @throws TypeError while the app starts, for wrong arguments
 */
export function tokenEndpoint(aat: Aat, options: TokenEndpointOptions = {}): RequestHandler {
  const parts = partsOf(aat, 'tokenEndpoint')
  const senderOf = createSenders(parts)
  return clientEndpoint(parts, 'token', options, async (client, form, { req, res, now }) => {
    const name = form.one('grant_type')
    if (name === undefined) throw new OAuthError('invalid_request', 'grant_type is missing')
    const grantType = parts.grantTypes.get(name)
    if (grantType === undefined)
      throw new OAuthError(
        'unsupported_grant_type',
        `grant_type must be one of ${[...parts.grantTypes.keys()].join(', ')}`,
      )
    if (!client.grantTypes.includes(name))
      throw new OAuthError('unauthorized_client', 'the client may not use this grant_type')
    const answer = await grantType({ client, form, now, sender: senderOf(req, res, client) })
    parts.registry.keepBehind(client.id)
    if (client.jwksUri !== undefined) void parts.keepClientKeys(client).catch(() => undefined)
    return answer
  })
}
