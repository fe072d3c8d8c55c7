/** The MCP SDK's `requireBearerAuth`, with jose as its documentation suggests for JWTs. */

import { createRemoteJWKSet, jwtVerify } from 'jose'
import { guardedRoutes } from './guarded-routes.js'

// Its types say what `req.auth` is in the whole program, so it is not imported statically.
const name = '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'

/** @param {import('../harness/server.js').Context} context */
export async function mount({ app, options: { issuer, audience } }) {
  const { requireBearerAuth } = await import(name)
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
  const verifier = {
    /** @param {string} token */
    async verifyAccessToken(token) {
      const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt' })
      const scopes = `${payload.scope}`.split(' ')
      return { token, clientId: `${payload.client_id}`, scopes, expiresAt: payload.exp ?? 0, extra: payload }
    },
  }
  guardedRoutes(app, requireBearerAuth({ verifier, requiredScopes: ['read'] }))
  return {}
}
