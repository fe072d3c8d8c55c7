/** Ours as an app mounts it, with Redis stores. Families are opened by the real code flow, of a client without consent page. */

import { createHash, randomBytes } from 'node:crypto'
import { CLIENT, headers, opening, REDIRECT_URI, REFRESH_TOKEN_LIFETIME, SCOPE } from './token-shared.js'

const NO_QUOTAS = /** @type {const} */ ({ perSource: false, perRedirectHost: false, global: false })

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url, options: { unlimited = false } }) {
  const resource = `${url}/api`
  const dist = new URL('../../dist/', import.meta.url)
  /** @type {typeof import('express-aat')} */
  const { authorizeEndpoint, createAat, dcrEndpoint, requireAat, tokenEndpoint, wellKnown } = await import(
    new URL('index.js', dist).href
  )
  const { redisStores } = await import(new URL('redis.js', dist).href)

  const aat = createAat({
    issuer: url,
    secrets: [randomBytes(32).toString('hex')],
    stores: redisStores(redis),
    resources: { [resource]: { scopes: [SCOPE] } },
    clients: [
      {
        clientId: CLIENT.id,
        clientSecret: CLIENT.secret,
        redirectUris: [REDIRECT_URI],
        grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
        firstParty: true,
      },
    ],
    refreshTokens: { issuance: 'rotate', lifetime: REFRESH_TOKEN_LIFETIME },
    ...(unlimited && { registration: { quotas: NO_QUOTAS } }),
    allowInProduction: ['http-issuer'],
  })
  app.use(wellKnown(aat))
  app.use(
    '/oauth/authorize',
    authorizeEndpoint(aat, {
      resolveUser: (req) => ({
        subject: `${req.headers['x-user']}`,
        authTime: Math.floor(Date.now() / 1000),
      }),
      signInUrl: '/',
      rateLimit: false,
    }),
  )
  app.use('/oauth/token', tokenEndpoint(aat))
  app.set('trust proxy', 'loopback')
  app.use('/oauth/register', dcrEndpoint(aat, { allow: 'anyone', ...(unlimited && { rateLimit: false }) }))
  app.get('/guarded', requireAat(aat, { scope: SCOPE }), (_req, res) => void res.json({}))
  await aat.ready()

  return {
    path: '/oauth/token',
    asks: opening(async (subject) => {
      const verifier = randomBytes(32).toString('base64url')
      const query = new URLSearchParams({
        client_id: CLIENT.id,
        redirect_uri: REDIRECT_URI,
        response_type: 'code',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
        scope: SCOPE,
      })
      const authorized = await fetch(`${url}/oauth/authorize?${query}`, {
        headers: { 'x-user': subject },
        redirect: 'manual',
      })
      const body = new URLSearchParams({
        grant_type: 'authorization_code',
        code: new URL(authorized.headers.get('location') ?? '').searchParams.get('code') ?? '',
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      })
      const response = await fetch(`${url}/oauth/token`, { method: 'POST', headers, body })
      if (!response.ok) throw new Error(`the token endpoint answered ${response.status}`)
      return /** @type {any} */ (await response.json()).refresh_token
    }),
  }
}
