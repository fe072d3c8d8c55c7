import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import express, { type Express } from 'express'
import session from 'express-session'
import { type Aat, createAat, requireAat, tokenEndpoint, wellKnown } from '../../lib/index.ts'
import { SiteBrowser } from '../idp/oidc/site.ts'
import { pkce, readAnswer, type TokenAnswer } from '../support/world.ts'

/** The README shows a recipe as the file has it that the tests run. */
export function expectInReadme(file: string): void {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
  expect(readme.includes(readFileSync(join(import.meta.dirname, file), 'utf8'))).toBe(true)
}

export const REDIRECT_URI = 'https://client.example/cb'

/** An app with sessions and one public client, to which a recipe adds the sign-in and the authorization endpoint. */
export async function startRecipe() {
  const app: Express = express()
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const aat: Aat = createAat({
    issuer: base,
    resources: { [`${base}/api`]: { scopes: ['read'], defaultScopes: ['read'] } },
    clients: [{ clientId: 'notebook', name: 'Notebook', redirectUris: [REDIRECT_URI] }],
    refreshTokens: { boundToIdpSession: true },
  })
  app.use(session({ secret: 'a secret of the tests', resave: false, saveUninitialized: false }))
  app.use(wellKnown(aat))
  app.use('/oauth/token', tokenEndpoint(aat))
  app.get('/api', requireAat(aat, { scope: 'read' }), (_req, res) => void res.json({}))
  const browser = new SiteBrowser(base)

  async function token(parameters: Record<string, string>): Promise<TokenAnswer> {
    return readAnswer(
      await fetch(`${base}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({ client_id: 'notebook', ...parameters }),
      }),
    )
  }

  /** Authorization request, sign-in at the provider, consent, tokens. */
  async function getTokens(user: string, password: string): Promise<TokenAnswer> {
    const { verifier, challenge } = pkce()
    const query = new URLSearchParams({
      client_id: 'notebook',
      redirect_uri: REDIRECT_URI,
      response_type: 'code',
      code_challenge: challenge,
      code_challenge_method: 'S256',
    })
    const inside = (url: string) => !url.startsWith(REDIRECT_URI)
    let page = await browser.follow(await browser.get(`${base}/oauth/authorize?${query}`), inside)
    for (let pages = 0; pages < 4 && page.status === 200; pages++) {
      const text = await page.clone().text()
      const submitted = text.includes('name="decision"')
        ? await browser.submitConsent(page, { decision: 'allow' })
        : await browser.submit(page, text.includes('name="password"') ? { username: user, password } : {})
      page = await browser.follow(submitted, inside)
    }
    const location = new URL(page.headers.get('location') ?? `error:${page.status}`)
    return token({
      grant_type: 'authorization_code',
      code: location.searchParams.get('code') ?? '',
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
  }

  return {
    app,
    aat,
    base,
    browser,
    getTokens,
    refresh: (refreshToken: string) => token({ grant_type: 'refresh_token', refresh_token: refreshToken }),
    api: async (accessToken: string) =>
      (await fetch(`${base}/api`, { headers: { Authorization: `Bearer ${accessToken}` } })).status,
    async close() {
      await aat.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
