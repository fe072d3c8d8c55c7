import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { makeCertificate } from '../../example-app/idp/certificate.js'
import { startOidcProvider } from '../../example-app/idp/oidc-provider.js'
import { startSamlProvider } from '../../example-app/idp/saml-provider.js'
import { addPassport } from './passport-openidconnect.ts'
import { addPassportSaml } from './passport-saml.ts'
import { expectInReadme, startRecipe } from './recipe-app.ts'

let recipe: Awaited<ReturnType<typeof startRecipe>>
let closeProvider: () => Promise<void>
beforeEach(async () => {
  recipe = await startRecipe()
})
afterEach(async () => {
  await recipe.close()
  await closeProvider()
})

/** Tokens that end with the session, and with its end at the provider's word. */
async function expectBound(lifetime: number): Promise<void> {
  const { status, body } = await recipe.getTokens('alice', 'wonderland')
  expect([status, body?.error_description]).toEqual([200, undefined])
  expect(body.refresh_token_expires_in).toBeGreaterThan(lifetime - 30)
  expect(body.refresh_token_expires_in).toBeLessThanOrEqual(lifetime)
  const refreshed = await recipe.refresh(body.refresh_token)
  expect(refreshed.status).toBe(200)
  expect(await recipe.api(refreshed.body.access_token)).toBe(200)
}

test('passport-openidconnect: the recipe of the README', async () => {
  expectInReadme('passport-openidconnect.ts')
  const provider = await startOidcProvider({
    sessionLifetime: 500,
    clients: [
      {
        client_id: 'the-app',
        client_secret: 'the secret of the app',
        redirect_uris: [`${recipe.base}/sign-in/callback`],
      },
    ],
  })
  closeProvider = provider.close
  addPassport(recipe.app, recipe.aat, {
    issuer: provider.issuer,
    authorizationURL: `${provider.issuer}/auth`,
    tokenURL: `${provider.issuer}/token`,
    userInfoURL: `${provider.issuer}/me`,
    clientID: 'the-app',
    clientSecret: 'the secret of the app',
    callbackURL: `${recipe.base}/sign-in/callback`,
    skipUserProfile: true,
  })
  await expectBound(500)
  const [grant] = (await recipe.aat.grants.list({ subject: 'alice' })).grants
  const { issuer = '', sid = '' } = grant?.idpSession ?? {}
  expect(issuer).toBe(provider.issuer)
  await recipe.aat.idpSessions.end({ issuer, sid })
  expect((await recipe.aat.grants.list({ subject: 'alice' })).grants).toEqual([])
})

test('passport-saml: the recipe of the README', async () => {
  expectInReadme('passport-saml.ts')
  const keys = makeCertificate('The app')
  const provider = await startSamlProvider({
    sessionLifetime: 500,
    serviceProvider: {
      entityId: `${recipe.base}/metadata`,
      callbackUrl: `${recipe.base}/sign-in/callback`,
      logoutUrl: `${recipe.base}/sign-in/logout`,
      certificate: keys.certificate,
    },
  })
  closeProvider = provider.close
  addPassportSaml(recipe.app, recipe.aat, {
    issuer: `${recipe.base}/metadata`,
    callbackUrl: `${recipe.base}/sign-in/callback`,
    logoutCallbackUrl: `${recipe.base}/sign-in/logout`,
    entryPoint: provider.signInUrl,
    logoutUrl: provider.logoutUrl,
    idpIssuer: provider.entityId,
    idpCert: provider.certificate,
    privateKey: keys.privateKey,
    wantAuthnResponseSigned: false,
    signatureAlgorithm: 'sha256',
  })
  await expectBound(500)
  const [grant] = (await recipe.aat.grants.list({ subject: 'alice' })).grants
  expect(grant?.idpSession).toMatchObject({ issuer: provider.entityId, subject: 'alice' })
  // Nobody signed this: it must end nothing.
  const [session] = provider.sessions.values()
  if (session === undefined) throw new Error('nobody is signed in at the provider')
  const sent = new URL(String(provider.logoutRequest(session, 'redirect')))
  for (const name of ['Signature', 'SigAlg']) sent.searchParams.delete(name)
  for (const path of ['/sign-in', '/sign-in/logout']) {
    sent.pathname = path
    expect((await recipe.browser.get(sent.href)).status).toBeGreaterThanOrEqual(400)
  }
  expect((await recipe.aat.grants.list({ subject: 'alice' })).grants).toHaveLength(1)
})
