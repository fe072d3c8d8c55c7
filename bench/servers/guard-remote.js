/** `requireAat` for tokens of an issuer elsewhere. */

import { guardedRoutes } from './guarded-routes.js'

/** @param {import('../harness/server.js').Context} context */
export async function mount({ app, options: { issuer, audience, verifiedTokens } }) {
  /** @type {typeof import('express-aat')} */
  const { remoteIssuer, requireAat } = await import(new URL('../../dist/index.js', import.meta.url).href)
  const source = remoteIssuer(issuer, {
    resources: { [audience]: { scopes: ['read'] } },
    verifiedTokens,
  })
  guardedRoutes(app, requireAat(source, { scope: 'read' }))
  return {}
}
