/**
 * Ours, open to anybody, over Redis: without quotas, as the others have none, or with such as no load
 * reaches. `kept`: behind a door of the app's, where a client is stored at once.
 */

import { randomBytes } from 'node:crypto'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url, options: { counted, kept } }) {
  const dist = new URL('../../dist/', import.meta.url)
  /** @type {typeof import('express-aat')} */
  const { createAat, dcrEndpoint } = await import(new URL('index.js', dist).href)
  const { redisStores } = await import(new URL('redis.js', dist).href)
  /** @type {{ limit: number, windowSeconds: number } | false} */
  const quota = counted ? { limit: 1_000_000_000, windowSeconds: 3600 } : false
  const aat = createAat({
    issuer: url,
    secrets: [randomBytes(32).toString('hex')],
    stores: redisStores(redis),
    resources: { [`${url}/api`]: { scopes: ['read'] } },
    registration: { quotas: { perSource: quota, perRedirectHost: quota, global: quota } },
    allowInProduction: ['http-issuer'],
  })
  app.use('/oauth/register', dcrEndpoint(aat, { allow: kept ? () => true : 'anyone', rateLimit: false }))
  await aat.ready()
  return { path: '/oauth/register' }
}
