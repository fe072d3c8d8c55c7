/** express-oauth2-jwt-bearer. */

import { guardedRoutes } from './guarded-routes.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const name = 'express-oauth2-jwt-bearer'

/** @param {import('../harness/server.js').Context} context */
export async function mount({ app, options: { issuer, audience } }) {
  const { auth, requiredScopes } = await import(name)
  const guard = auth({ issuer, audience, jwksUri: `${issuer}/jwks`, tokenSigningAlg: 'ES256' })
  guardedRoutes(app, guard, requiredScopes('read'))
  return {}
}
