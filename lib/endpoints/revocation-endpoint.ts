import type { RequestHandler } from 'express'
import { type Aat, partsOf } from '../http/aat.ts'
import { clientAddress } from '../http/client-address.ts'
import type { RateLimitOptions } from '../http/rate-limit.ts'
import { sameHash } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { clientEndpoint } from './client-endpoint.ts'
import { readOwnAccessToken } from './read-token.ts'

export interface RevocationEndpointOptions {
  /** Failed client authentications from one address (default 600 in 60 seconds). */
  rateLimit?: RateLimitOptions | false
}

/**
 * The revocation endpoint (RFC 7009). A refresh token, spent or not, ends its family and the family's access tokens; an
 * access token ends itself. The answer is 200 and `{}` when the revocation is written, and also for a token that is unknown,
 * over, or another client's, of which nothing happens and nothing is told.
 */
export function revocationEndpoint(aat: Aat, options: RevocationEndpointOptions = {}): RequestHandler {
  const parts = partsOf(aat, 'revocationEndpoint')

  /** The hint is not needed: each kind of token tells what it is (§2.1 lets a server ignore it). */
  async function revoke(token: string, clientId: string, from: string): Promise<void> {
    const refreshToken = parts.refreshTokens.read(token)
    if (refreshToken !== undefined) {
      const family = await parts.stores.grants.readFamily(refreshToken.grantId)
      // Of another lineage: nothing that this family issued, whatever it says.
      if (family === undefined || !sameHash(family.lineage, refreshToken.lineage)) return
      if (family.grant.clientId === clientId) await parts.endGrant(refreshToken.grantId, 'revoked', clientId)
      else parts.emit('token.foreign', { clientId, owner: family.grant.clientId, grantId: family.grant.id })
      return
    }
    const claims = await readOwnAccessToken(token, parts, from)
    if (claims?.client_id === clientId) {
      await parts.revocations.revoke('jti', claims.jti, clientId, { until: claims.exp })
      const place = parts.verifier.opaque.read(token)
      if (place !== undefined) await parts.verifier.opaque.delete(place)
    } else if (claims !== undefined) parts.emit('token.foreign', { clientId, owner: claims.client_id })
  }

  return clientEndpoint(parts, 'revocation', options, async (client, form, { req }) => {
    const token = form.one('token')
    if (token === undefined) throw new OAuthError('invalid_request', 'token is missing')
    await revoke(token, client.id, clientAddress(req))
    return {}
  })
}
