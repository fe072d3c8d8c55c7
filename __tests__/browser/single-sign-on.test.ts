import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { type Shop, startShop } from '../example/start-shop.ts'
import { until } from '../support/until.ts'
import { pkce } from '../support/world.ts'
import { type Launched, launchChromium } from './launch.ts'
import { screenshot, watch } from './watch.ts'

jest.setTimeout(90_000)

const KINDS = ['oidc', 'saml'] as const

/** A native client: what comes back to it stands in the address bar. */
let client: Server
let redirectUri: string
let browser: Launched
let shop: Shop
beforeEach(async () => {
  client = createServer((_req, res) => {
    res.setHeader('Content-Type', 'text/html; charset=utf-8')
    res.end('<!doctype html><title>Back</title><h1>Back at the client</h1>')
  })
  await new Promise<void>((resolve) => client.listen(0, '127.0.0.1', resolve))
  redirectUri = `http://127.0.0.1:${(client.address() as AddressInfo).port}/callback`
  browser = await launchChromium()
})
afterEach(async () => {
  await browser.close()
  await shop.close()
  client.closeAllConnections()
  client.close()
})

const providerOf = ({ provider }: Shop) => new URL(provider?.url ?? 'none:').origin

/** Signs in at the provider's own page, whichever that is. */
async function signInAtProvider(page: Page, kind: string): Promise<void> {
  await page.waitForURL((url) => url.origin === providerOf(shop))
  await screenshot(page, `single-sign-on-${kind}-provider`)
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('wonderland')
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** The whole way to tokens: the shop, the provider, the consent page, the client. */
async function getTokens(page: Page, kind: string, isSignedIn = false) {
  const clientId = await shop.register(redirectUri, 'A notebook')
  const { verifier, challenge } = pkce()
  await page.goto(
    shop.authorizeUrl({
      client_id: clientId,
      redirect_uri: redirectUri,
      scope: 'orders:read',
      resource: `${shop.base}/api`,
      code_challenge: challenge,
    }),
  )
  if (!isSignedIn) await signInAtProvider(page, kind)
  await page.getByRole('button', { name: 'Allow' }).waitFor()
  await screenshot(page, `single-sign-on-${kind}-consent`)
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.getByText('Back at the client').waitFor()
  const code = new URL(page.url()).searchParams.get('code') ?? ''
  const answer = await shop.post('/oauth/token', {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: redirectUri,
    client_id: clientId,
  })
  expect(answer.status).toBe(200)
  const signedInAt = Date.now() / 1000
  return { clientId, signedInAt, ...answer.body }
}

test.each(KINDS)(
  '%s: sign in at the provider, consent, tokens; signing out there ends all of it',
  async (kind) => {
    shop = await startShop({ idp: kind })
    const seen = watch(browser.context, [shop.base, providerOf(shop), new URL(redirectUri).origin])
    const page = await browser.context.newPage()
    const tokens = await getTokens(page, kind)
    expect(tokens.refresh_token_expires_in).toBeGreaterThan(500)
    expect(tokens.refresh_token_expires_in).toBeLessThanOrEqual(600)
    expect((await shop.call('GET', '/api/orders', tokens.access_token)).status).toBe(200)
    const refreshed = await shop.refresh(tokens.clientId, tokens.refresh_token)
    expect(refreshed.status).toBe(200)
    // The end is the session's, so what is left of it only became less.
    expect(refreshed.body.refresh_token_expires_in).toBeLessThanOrEqual(tokens.refresh_token_expires_in)

    await page.goto(`${providerOf(shop)}/sign-out`)
    await page.getByRole('button', { name: kind === 'oidc' ? 'Sign out' : 'By redirect' }).click()
    await page.getByText('You are signed out').waitFor()
    await screenshot(page, `single-sign-on-${kind}-signed-out`)
    await until('the API refuses', async () => {
      return (await shop.call('GET', '/api/orders', refreshed.body.access_token)).status === 401
    })
    const refused = await shop.refresh(tokens.clientId, refreshed.body.refresh_token)
    expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant'])
    // The pages of the shop know it too.
    await page.goto(`${shop.base}/products`)
    await page.getByRole('navigation').getByText('Sign in').waitFor()
    seen.expectClean()
  },
)

test.each(KINDS)('%s: signing out of the shop signs out at the provider', async (kind) => {
  shop = await startShop({ idp: kind })
  const seen = watch(browser.context, [shop.base, providerOf(shop), new URL(redirectUri).origin])
  const page = await browser.context.newPage()
  const tokens = await getTokens(page, kind)
  await page.goto(`${shop.base}/products`)
  await page.getByRole('button', { name: /Sign out/ }).click()
  await until('back at the shop', async () => {
    const confirm = page.getByRole('button', { name: /^(?:Yes|Sign out)/ })
    if (new URL(page.url()).origin === providerOf(shop) && (await confirm.isVisible())) await confirm.click()
    return new URL(page.url()).href === `${shop.base}/`
  })
  expect((await shop.refresh(tokens.clientId, tokens.refresh_token)).body.error).toBe('invalid_grant')
  expect((await shop.call('GET', '/api/orders', tokens.access_token)).status).toBe(401)
  // The provider asks for the password again.
  await page.goto(`${shop.base}/sign-in?return_to=/products`)
  await signInAtProvider(page, kind)
  await page.getByRole('navigation').getByText('Sign out').waitFor()
  seen.expectClean()
})

test.each(KINDS)('%s: refresh until the session at the provider ends', async (kind) => {
  shop = await startShop({ idp: kind, sessionLifetime: 12 })
  const page = await browser.context.newPage()
  const tokens = await getTokens(page, kind)
  const end = tokens.signedInAt + tokens.refresh_token_expires_in
  let token: string = tokens.refresh_token
  let refreshes = 0
  await until(
    'the session has ended',
    async () => {
      const { status, body } = await shop.refresh(tokens.clientId, token)
      if (status === 200) {
        refreshes++
        token = body.refresh_token
        expect(body.expires_in).toBeLessThanOrEqual(Math.ceil(end + 1 - Date.now() / 1000))
        return false
      }
      expect(body.error).toBe('invalid_grant')
      return true
    },
    { every: 500, timeout: 20_000 },
  )
  expect(refreshes).toBeGreaterThan(2)
  // Not before its end, but for the last second, which is too short for an access token.
  expect(Date.now() / 1000).toBeGreaterThan(end - 2)
  await until('the API refuses', async () => {
    return (await shop.call('GET', '/api/orders', tokens.access_token)).status === 401
  })
})
