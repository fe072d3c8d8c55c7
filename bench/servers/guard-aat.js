/** `requireAat` in the process of its issuer. */

import { randomBytes } from 'node:crypto'
import { guardedRoutes } from './guarded-routes.js'
import { CLIENT, clientCredentials, headers } from './token-shared.js'

const AT_ONCE = 16

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, url, options: { keys, maxEntries } }) {
  /** @type {typeof import('express-aat')} */
  const { createAat, memoryStores, requireAat, tokenEndpoint, wellKnown } = await import(
    new URL('../../dist/index.js', import.meta.url).href
  )
  const aat = createAat({
    issuer: url,
    secrets: [randomBytes(32).toString('hex')],
    resources: { [`${url}/api`]: { scopes: ['read'], accessTokenLifetime: 3600 } },
    clients: [{ clientId: CLIENT.id, clientSecret: CLIENT.secret, grantTypes: ['client_credentials'] }],
    keys,
    stores: memoryStores({ maxEntries }),
    allowInProduction: ['http-issuer', 'memory-stores'],
  })
  app.use(wellKnown(aat))
  app.use('/oauth/token', tokenEndpoint(aat, { rateLimit: false }))
  guardedRoutes(app, requireAat(aat, { scope: 'read' }))
  await aat.ready()

  async function mintOne() {
    const response = await fetch(`${url}/oauth/token`, { method: 'POST', headers, body: clientCredentials })
    if (!response.ok) throw new Error(`the token endpoint answered ${response.status}`)
    return /** @type {{ access_token: string }} */ (await response.json()).access_token
  }

  return {
    asks: {
      /** @param {number} count */
      async mint(count) {
        /** @type {string[]} */
        const tokens = []
        while (tokens.length < count) {
          const length = Math.min(AT_ONCE, count - tokens.length)
          tokens.push(...(await Promise.all(Array.from({ length }, mintOne))))
        }
        return tokens
      },
    },
  }
}
