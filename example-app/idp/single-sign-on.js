import { randomBytes } from 'node:crypto'
import { oidcSignIn, samlSignIn } from 'express-aat/idp'
import { makeCertificate } from './certificate.js'

/** Seconds that a session at the provider of the example lasts: short, so that its end can be seen. */
const SESSION = 600

/**
 * Starts an identity provider beside the shop, on this machine only, and says how the shop signs its users in there. In
 * production the provider is your company's, and all that is left of this file is the call of `oidcSignIn` or `samlSignIn`.
 * @param {string} kind `oidc` or `saml`
 * @param {string} issuer the shop's origin
 * @param {{ port?: number, sessionLifetime?: number }} [settings] `port` of the provider, default a free one
 * @returns {Promise<{ name: string, url: string, signIn: (aat: import('express-aat').Aat) => import('express-aat/idp').SignIn, close: () => Promise<void> }>}
 */
export async function startIdp(kind, issuer, { port = 0, sessionLifetime = SESSION } = {}) {
  const url = `${issuer}/sign-in`
  if (kind === 'oidc') {
    const clientSecret = randomBytes(32).toString('base64url')
    const { startOidcProvider } = await import('./oidc-provider.js')
    const provider = await startOidcProvider({
      port,
      sessionLifetime,
      clients: [
        {
          client_id: 'teapot-shop',
          client_secret: clientSecret,
          redirect_uris: [`${url}/callback`],
          post_logout_redirect_uris: [`${url}/signed-out`],
          backchannel_logout_uri: `${url}/backchannel-logout`,
          backchannel_logout_session_required: true,
        },
      ],
    })
    return {
      name: 'OpenID Connect',
      url: provider.issuer,
      signIn: (aat) =>
        oidcSignIn(aat, {
          url,
          issuer: provider.issuer,
          clientId: 'teapot-shop',
          clientSecret,
          displayName: ({ sub }) => sub,
        }),
      close: provider.close,
    }
  }
  if (kind === 'saml') {
    const { privateKey, certificate } = makeCertificate('Teapot & Co.')
    const { startSamlProvider } = await import('./saml-provider.js')
    const provider = await startSamlProvider({
      port,
      sessionLifetime,
      serviceProvider: {
        entityId: `${url}/metadata`,
        callbackUrl: `${url}/callback`,
        logoutUrl: `${url}/logout`,
        certificate,
      },
    })
    const { entityId, signInUrl, logoutUrl, certificate: certificates } = provider
    return {
      name: 'SAML 2.0',
      url: new URL(entityId).origin,
      signIn: (aat) =>
        samlSignIn(aat, {
          url,
          idp: { entityId, signInUrl, logoutUrl, certificates },
          privateKey,
          certificate,
          displayName: ({ attributes }) => attributes.displayName?.[0],
        }),
      close: provider.close,
    }
  }
  throw new Error(`IDP must be oidc or saml, not ${JSON.stringify(kind)}`)
}
