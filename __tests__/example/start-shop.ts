import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createShop, DEMO_BACKEND_SECRET } from '../../example-app/app.js'
import { Browser, basic, pkce, readAnswer, type TokenAnswer } from '../support/world.ts'

interface ShopSettings {
  demo?: boolean
  backendSecret?: string
  /** An identity provider that starts beside the shop, and seconds that its sessions last. */
  idp?: 'oidc' | 'saml'
  sessionLifetime?: number
}

/** The example's shop on a real port of the loopback interface. */
export async function startShop({ idp, sessionLifetime = 600, ...settings }: ShopSettings = {}) {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider =
    idp &&
    (await (await import('../../example-app/idp/single-sign-on.js')).startIdp(idp, base, { sessionLifetime }))
  const { app, aat, orders } = createShop({
    issuer: base,
    ...settings,
    ...(provider && { idp: provider.signIn }),
  })
  server.on('request', app)
  await aat.ready()
  return {
    ...shopAt(base, settings.backendSecret),
    aat,
    orders,
    provider,
    async close() {
      await aat.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await provider?.close()
    },
  }
}
export type Shop = Awaited<ReturnType<typeof startShop>>

/** What users and clients do with a shop that runs somewhere. */
export function shopAt(base: string, backendSecret = DEMO_BACKEND_SECRET) {
  async function post(path: string, form: Record<string, string>, headers: Record<string, string> = {}) {
    return readAnswer(
      await fetch(base + path, {
        method: 'POST',
        body: new URLSearchParams(form),
        headers,
        redirect: 'manual',
      }),
    )
  }

  async function call(
    method: string,
    path: string,
    token?: string,
    json?: unknown,
    headers: Record<string, string> = {},
  ): Promise<TokenAnswer> {
    return readAnswer(
      await fetch(base + path, {
        method,
        headers: {
          ...headers,
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(json !== undefined && { 'Content-Type': 'application/json' }),
          Accept: 'application/json, text/event-stream',
        },
        ...(json !== undefined && { body: JSON.stringify(json) }),
      }),
    )
  }

  async function register(redirectUri: string, name = 'A client of the tests'): Promise<string> {
    const { body } = await call('POST', '/oauth/register', undefined, {
      client_name: name,
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'none',
    })
    return body.client_id
  }

  function authorizeUrl(parameters: Record<string, string>): string {
    const query = new URLSearchParams({
      response_type: 'code',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
      state: 'the-state',
      ...parameters,
    })
    return `${base}/oauth/authorize?${query}`
  }

  /** Signs in by the real form. */
  async function signIn(
    browser: Browser,
    username = 'alice',
    password = 'wonderland',
    returnTo = '/products',
  ): Promise<Response> {
    return browser.send('/sign-in', {
      method: 'POST',
      body: new URLSearchParams({ username, password, return_to: returnTo }),
    })
  }

  /** The tokens of a user's, by registration, sign-in and consent. */
  async function tokensOf(
    username: string,
    password: string,
    scope: string,
    resource = `${base}/api`,
    headers: Record<string, string> = {},
  ) {
    const redirectUri = 'http://127.0.0.1/callback'
    const clientId = await register(redirectUri)
    const { verifier, challenge } = pkce()
    const browser = new Browser(base)
    await signIn(browser, username, password)
    const url = authorizeUrl({
      client_id: clientId,
      redirect_uri: redirectUri,
      scope,
      resource,
      code_challenge: challenge,
    })
    const page = await browser.follow(await browser.get(url))
    const answer = await browser.submitConsent(page, { decision: 'allow' })
    const code = new URL(answer.headers.get('location') ?? '').searchParams.get('code') ?? ''
    const tokens = await post(
      '/oauth/token',
      {
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: redirectUri,
        client_id: clientId,
        resource,
      },
      headers,
    )
    return { ...tokens, clientId, browser }
  }

  const refresh = (clientId: string, token: string, headers: Record<string, string> = {}) =>
    post('/oauth/token', { grant_type: 'refresh_token', refresh_token: token, client_id: clientId }, headers)

  return {
    base,
    post,
    call,
    register,
    authorizeUrl,
    signIn,
    tokensOf,
    refresh,
    /** Just the access token. */
    async tokenOf(...parameters: Parameters<typeof tokensOf>): Promise<string> {
      return (await tokensOf(...parameters)).body.access_token
    },
    backend: basic('shop-backend', backendSecret),
  }
}
