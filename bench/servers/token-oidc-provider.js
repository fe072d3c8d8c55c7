/**
 * node-oidc-provider on Express, with the Redis adapter of its examples (`example/adapters/redis.js`). Refresh tokens rotate; access tokens are ES256
 * JWTs, which it does not store. No `openid` scope, so it signs no ID token either: one signature a grant, as for all.
 */

import { generateKeyPairSync } from 'node:crypto'
import { redisAdapter } from './oidc-redis-adapter.js'
import {
  ACCESS_TOKEN_LIFETIME,
  CLIENT,
  opening,
  REDIRECT_URI,
  REFRESH_TOKEN_LIFETIME,
  SCOPE,
} from './token-shared.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const name = 'oidc-provider'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url }) {
  const resource = `${url}/api`
  const { default: Provider } = await import(name)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const resourceServer = {
    scope: SCOPE,
    accessTokenFormat: 'jwt',
    accessTokenTTL: ACCESS_TOKEN_LIFETIME,
    jwt: { sign: { alg: 'ES256' } },
  }
  const provider = new Provider(`${url}/oidc`, {
    adapter: redisAdapter(redis),
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
    cookies: { keys: ['only for the benchmark'] },
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
        redirect_uris: [REDIRECT_URI],
      },
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    scopes: ['openid', 'offline_access'],
    rotateRefreshToken: true,
    ttl: {
      AccessToken: ACCESS_TOKEN_LIFETIME,
      ClientCredentials: ACCESS_TOKEN_LIFETIME,
      Grant: REFRESH_TOKEN_LIFETIME,
      RefreshToken: REFRESH_TOKEN_LIFETIME,
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: () => resourceServer,
      },
    },
    /** @param {unknown} _ctx @param {string} accountId */
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  })
  app.use('/oidc', provider.callback())

  return {
    path: '/oidc/token',
    // What its authorization endpoint and code grant leave behind once the code has expired.
    asks: opening(async (subject) => {
      const client = await provider.Client.find(CLIENT.id)
      const grant = new provider.Grant({ accountId: subject, clientId: CLIENT.id })
      grant.addResourceScope(resource, SCOPE)
      const token = new provider.RefreshToken({
        accountId: subject,
        authTime: Math.floor(Date.now() / 1000),
        client,
        expiresWithSession: false,
        grantId: await grant.save(),
        gty: 'authorization_code',
        resource,
        scope: SCOPE,
      })
      return token.save()
    }),
  }
}
