/** Ours, open to anybody, over Redis. */

import { randomBytes } from 'node:crypto'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url }) {
  const dist = new URL('../../dist/', import.meta.url)
  /** @type {typeof import('express-aat')} */
  const { createAat, dcrEndpoint } = await import(new URL('index.js', dist).href)
  const { redisStores } = await import(new URL('redis.js', dist).href)
  const aat = createAat({
    issuer: url,
    secrets: [randomBytes(32).toString('hex')],
    stores: redisStores(redis),
    resources: { [`${url}/api`]: { scopes: ['read'] } },
    allowInProduction: ['http-issuer'],
  })
  app.use('/oauth/register', dcrEndpoint(aat, { allow: 'anyone', rateLimit: false }))
  await aat.ready()
  return { path: '/oauth/register' }
}
