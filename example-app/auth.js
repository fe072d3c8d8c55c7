import {
  authorizeEndpoint,
  createAat,
  dcrEndpoint,
  introspectionEndpoint,
  revocationEndpoint,
  tokenEndpoint,
  wellKnown,
} from 'express-aat'
import { redisStores } from 'express-aat/redis'

/**
 * Everything that turns the shop into an OAuth authorization server. Copy it, and change the scopes and `resolveUser`.
 * @param {import('express').Express} app with its session middleware in place
 * @param {{
 *   issuer: string,
 *   secret: string | undefined,
 *   backendSecret: string,
 *   redis: import('ioredis').Redis | import('ioredis').Cluster | undefined,
 *   idp: ((aat: import('express-aat').Aat) => import('express-aat/idp').SignIn) | undefined,
 * }} settings `idp` where users sign in at an identity provider, and not to the shop itself
 */
export function addAuth(app, { issuer, secret, backendSecret, redis, idp }) {
  const scopes = { 'orders:read': 'See your orders', 'orders:write': 'Place orders in your name' }
  const defaultScopes = ['orders:read']

  const aat = createAat({
    issuer,
    secrets: secret === undefined ? [] : [secret], // none: made up at each start, which production refuses
    stores: redis && redisStores(redis), // without: in memory, for one process
    resources: {
      [`${issuer}/api`]: { name: 'Teapot & Co.', scopes, defaultScopes },
      [`${issuer}/mcp`]: { name: 'Teapot & Co. (MCP)', scopes, defaultScopes },
    },
    defaultResource: `${issuer}/api`,
    clients: [
      {
        clientId: 'shop-backend',
        clientSecret: backendSecret,
        grantTypes: ['client_credentials'],
        scopes: ['orders:read'],
        introspects: [`${issuer}/api`, `${issuer}/mcp`],
      },
    ],
    refreshTokens: { boundToIdpSession: idp !== undefined }, // tokens end with the session at the provider
    clientMetadataDocuments: true, // MCP clients that publish what they are need not register
    localhostAnyPort: true, // MCP clients listen on http://localhost with a port of the moment
    corsOrigins: '*', // clients that live in other people's web pages
  })

  const sso = idp?.(aat)
  if (sso) app.use('/sign-in', sso.router)

  app.use(wellKnown(aat))
  app.use(
    '/oauth/authorize',
    authorizeEndpoint(aat, {
      signInUrl: sso?.signInUrl ?? '/sign-in',
      resolveUser: (req) =>
        sso
          ? sso.resolveUser(req)
          : req.session.user && {
              subject: req.session.user.id,
              authTime: req.session.user.signedInAt,
              displayName: req.session.user.name,
            },
    }),
  )
  app.use('/oauth/token', tokenEndpoint(aat))
  app.use('/oauth/revoke', revocationEndpoint(aat))
  app.use('/oauth/introspect', introspectionEndpoint(aat))
  app.use(
    '/oauth/register',
    dcrEndpoint(aat, { allow: 'anyone', rateLimit: { windowSeconds: 60, limit: 300 } }),
  )
  return { aat, sso }
}
