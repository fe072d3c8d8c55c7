import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose'
import { CLIENT, type Site, type SiteBrowser } from './site.ts'

/** An OpenID provider that does what a test says: for what a real one does not do. */
export async function startStubProvider() {
  const server = createServer((req, res) => void answer(req, res))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const other = await generateKeyPair('ES256')

  const stub = {
    issuer,
    privateKey,
    /** A key that the provider does not publish. */
    otherKey: other.privateKey,
    publicKey,
    metadata: {
      issuer,
      authorization_endpoint: `${issuer}/auth`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      end_session_endpoint: `${issuer}/end`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      authorization_response_iss_parameter_supported: true,
      backchannel_logout_session_supported: true,
    } as Record<string, unknown>,
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256', use: 'sig' }] } as unknown,
    /** What the token endpoint says; the ID token of `claims` by default. */
    token: async (): Promise<{ status?: number; body: unknown }> => ({
      body: { access_token: 'at-secret', token_type: 'Bearer', id_token: await stub.sign(stub.claims) },
    }),
    claims: {} as JWTPayload,
    /** Answers in another way; true where it did. */
    instead: undefined as ((path: string, res: ServerResponse) => boolean) | undefined,
    requests: [] as { path: string; body: string; authorization: string | undefined }[],

    async sign(
      claims: JWTPayload,
      header: Record<string, unknown> = {},
      key: CryptoKey | Uint8Array = privateKey,
    ) {
      return new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'one', ...header })
        .sign(key, header.crit === undefined ? {} : { crit: { 'urn:x': true } })
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of req) body += chunk
    const path = (req.url ?? '').split('?')[0] ?? ''
    stub.requests.push({ path, body, authorization: req.headers.authorization })
    if (stub.instead?.(path, res)) return
    const send = (value: unknown, status = 200) => {
      res.statusCode = status
      res.setHeader('Content-Type', 'application/json')
      res.end(typeof value === 'string' ? value : JSON.stringify(value))
    }
    if (path === '/.well-known/openid-configuration') send(stub.metadata)
    else if (path === '/jwks') send(stub.jwks)
    else if (path === '/token') {
      const { status, body: said } = await stub.token()
      send(said, status)
    } else send({}, 404)
  }

  return stub
}
export type StubProvider = Awaited<ReturnType<typeof startStubProvider>>

/** Begins a sign-in and tells what the app sent to the provider. */
export async function begin(site: Site, browser: SiteBrowser, query = '') {
  const response = await browser.get(`${site.url}${query}`)
  const location = new URL(response.headers.get('location') ?? `error:${response.status}`)
  return Object.fromEntries(location.searchParams) as Record<string, string>
}

/** ID token claims that are as they must be. */
export function idToken(site: Site, stub: StubProvider, sent: Record<string, string>): JWTPayload {
  const now = Math.floor(site.clock())
  return {
    iss: stub.issuer,
    sub: 'alice',
    aud: CLIENT.id,
    iat: now,
    exp: now + 300,
    auth_time: now,
    nonce: sent.nonce ?? '',
    sid: 'session-1',
    session_expiry: now + 3600,
  }
}

/** The answer of the provider, at the callback. */
export const answerUrl = (site: Site, stub: StubProvider, sent: Record<string, string>, more = {}) =>
  `${site.url}/callback?${new URLSearchParams({ code: 'the-code', state: sent.state ?? '', iss: stub.issuer, ...more })}`

/** A whole sign-in, with other claims in the ID token; `undefined` leaves one out. */
export async function signInWith(
  site: Site,
  stub: StubProvider,
  browser: SiteBrowser,
  claims: Record<string, unknown> = {},
  query = '',
): Promise<Response> {
  const sent = await begin(site, browser, query)
  stub.claims = JSON.parse(JSON.stringify({ ...idToken(site, stub, sent), ...claims }))
  return browser.get(answerUrl(site, stub, sent))
}
