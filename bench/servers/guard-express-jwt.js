/** express-jwt, with the issuer's key as a PEM or through jwks-rsa with its cache. */

import { guardedRoutes } from './guarded-routes.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const [name, jwks] = ['express-jwt', 'jwks-rsa']

/** @param {import('../harness/server.js').Context} context */
export async function mount({ app, options: { issuer, audience, publicKey, fetchesKeys } }) {
  const { expressjwt } = await import(name)
  const secret = fetchesKeys
    ? (await import(jwks)).default.expressJwtSecret({ cache: true, jwksUri: `${issuer}/jwks` })
    : publicKey
  const guard = expressjwt({ secret, issuer, audience, algorithms: ['ES256'] })
  guardedRoutes(app, guard, (req, res, next) => {
    const { scope } = /** @type {any} */ (req).auth
    if (`${scope}`.split(' ').includes('read')) next()
    else res.sendStatus(403)
  })
  return {}
}
