/** node-oidc-provider on Express, with the Redis adapter of its examples. */

import { generateKeyPairSync } from 'node:crypto'
import { redisAdapter } from './oidc-redis-adapter.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const name = 'oidc-provider'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url }) {
  const { default: Provider } = await import(name)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const provider = new Provider(`${url}/oidc`, {
    adapter: redisAdapter(redis),
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
    cookies: { keys: ['only for the benchmark'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    features: { devInteractions: { enabled: false }, registration: { enabled: true } },
  })
  app.use('/oidc', provider.callback())
  return { path: '/oidc/reg' }
}
