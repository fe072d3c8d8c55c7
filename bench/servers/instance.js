/** One of several instances of one authorization server, with a guarded route. */

import { CLIENT, SCOPE } from './token-shared.js'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, options: { issuer, secret } }) {
  const dist = new URL('../../dist/', import.meta.url)
  /** @type {typeof import('express-aat')} */
  const { createAat, requireAat, revocationEndpoint, tokenEndpoint } = await import(
    new URL('index.js', dist).href
  )
  const { redisStores } = await import(new URL('redis.js', dist).href)
  const aat = createAat({
    issuer,
    secrets: [secret],
    stores: redisStores(redis),
    resources: { [`${issuer}/api`]: { scopes: [SCOPE] } },
    clients: [{ clientId: CLIENT.id, clientSecret: CLIENT.secret, grantTypes: ['client_credentials'] }],
    allowInProduction: ['http-issuer'],
  })
  app.use('/oauth/token', tokenEndpoint(aat, { rateLimit: false }))
  app.use('/oauth/revoke', revocationEndpoint(aat, { rateLimit: false }))
  app.get('/guarded', requireAat(aat, { scope: SCOPE }), (_req, res) => void res.json({}))
  await aat.ready()
  return { path: '/oauth/token' }
}
