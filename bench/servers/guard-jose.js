/** What one writes by hand with jose. */

import { createRemoteJWKSet, jwtVerify } from 'jose'
import { guardedRoutes } from './guarded-routes.js'

/** @param {import('../harness/server.js').Context} context */
export function mount({ app, options: { issuer, audience } }) {
  const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`))
  guardedRoutes(app, async (req, res, next) => {
    const token = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '')?.[1]
    try {
      const { payload } = await jwtVerify(token ?? '', keys, { issuer, audience, typ: 'at+jwt' })
      if (!`${payload.scope}`.split(' ').includes('read')) throw new Error('scope')
      Object.assign(req, { auth: payload })
      next()
    } catch {
      res.sendStatus(401)
    }
  })
  return {}
}
