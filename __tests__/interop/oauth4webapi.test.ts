import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import * as oauth from 'oauth4webapi'
import { DPOP_CHALLENGE } from '../support/dpop.ts'
import {
  CONFIDENTIAL,
  PUBLIC,
  REDIRECT_URI,
  RESOURCE_SERVER,
  startWorld,
  type World,
} from '../support/world.ts'
import { expectNoNull, visit } from './visit.ts'

const insecure = { [oauth.allowInsecureRequests]: true } as const
const confidential: oauth.Client = { client_id: CONFIDENTIAL.id }
const basic = oauth.ClientSecretBasic(CONFIDENTIAL.secret)

/** A copy of the body for our own eyes; oauth4webapi reads the original. */
async function looked<T>(response: Response, process: (response: Response) => Promise<T>): Promise<T> {
  const text = await response.clone().text()
  expectNoNull(JSON.parse(text))
  expect(response.headers.get('content-type')).toBe('application/json')
  return process(response)
}

async function rejection(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  return promise.then(
    () => {
      throw new Error('it was not refused')
    },
    (error) => error,
  )
}

describe.each([
  ['an issuer at the root', ''],
  ['an issuer with a path', '/tenant/one'],
])('oauth4webapi judges %s', (_name, issuerPath) => {
  let world: World
  let as: oauth.AuthorizationServer

  async function discover(): Promise<oauth.AuthorizationServer> {
    const issuer = new URL(world.issuer)
    const response = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    return looked(response, (it) => oauth.processDiscoveryResponse(issuer, it))
  }

  beforeAll(async () => {
    world = await startWorld({ issuerPath })
    as = await discover()
  })
  afterAll(() => world.close())

  /** As far as the callback. */
  async function authorize(client: oauth.Client, parameters: Record<string, string> = {}) {
    const verifier = oauth.generateRandomCodeVerifier()
    const state = oauth.generateRandomState()
    const url = new URL(as.authorization_endpoint ?? '')
    const query = {
      client_id: client.client_id,
      redirect_uri: REDIRECT_URI,
      response_type: 'code',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      ...parameters,
    }
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    const { callback } = await visit(world, url)
    return { callback, verifier, state }
  }

  async function signIn(
    client: oauth.Client,
    authentication: oauth.ClientAuth,
    parameters: Record<string, string> = {},
  ) {
    const { callback, verifier, state } = await authorize(client, parameters)
    const answer = oauth.validateAuthResponse(as, client, callback, state)
    const response = await oauth.authorizationCodeGrantRequest(
      as,
      client,
      authentication,
      answer,
      REDIRECT_URI,
      verifier,
      insecure,
    )
    return looked(response, (it) => oauth.processAuthorizationCodeResponse(as, client, it))
  }

  const clientCredentials = async (parameters: Record<string, string> = {}) => {
    const response = await oauth.clientCredentialsGrantRequest(as, confidential, basic, parameters, insecure)
    return looked(response, (it) => oauth.processClientCredentialsResponse(as, confidential, it))
  }

  const resourceCall = (token: string, path: string) =>
    oauth.protectedResourceRequest(token, 'GET', new URL(world.base + path), undefined, null, insecure)

  test('authorization server metadata: one issuer, every endpoint, nothing that does not exist', () => {
    expect(as).toMatchObject({
      issuer: world.issuer,
      authorization_endpoint: world.endpoint('authorize'),
      token_endpoint: world.endpoint('token'),
      revocation_endpoint: world.endpoint('revoke'),
      introspection_endpoint: world.endpoint('introspect'),
      registration_endpoint: world.endpoint('register'),
      response_types_supported: ['code'],
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
    })
    for (const absent of [
      'userinfo_endpoint',
      'pushed_authorization_request_endpoint',
      'id_token_signing_alg_values_supported',
    ])
      expect(as).not.toHaveProperty(absent)
  })

  test('protected resource metadata of each resource names this server (RFC 9728)', async () => {
    for (const resource of [world.resource, world.otherResource]) {
      const response = await oauth.resourceDiscoveryRequest(new URL(resource), insecure)
      const metadata = await looked(response, (it) =>
        oauth.processResourceDiscoveryResponse(new URL(resource), it),
      )
      expect(metadata.resource).toBe(resource)
      expect(metadata.authorization_servers).toEqual([as.issuer])
      expect(metadata.scopes_supported).not.toContain('offline_access')
    }
    const unknown = await oauth.resourceDiscoveryRequest(new URL(`${world.base}/unknown`), insecure)
    expect(unknown.status).toBe(404)
  })

  test('registration: 201 with numbers for times, echoes, and no null', async () => {
    const response = await oauth.dynamicClientRegistrationRequest(
      as,
      { client_name: 'Judged', redirect_uris: [REDIRECT_URI], scope: 'a offline_access' },
      insecure,
    )
    expect(response.status).toBe(201)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const client = await looked(response, oauth.processDynamicClientRegistrationResponse)
    expect(client).toMatchObject({
      redirect_uris: [REDIRECT_URI],
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['authorization_code'],
      client_secret_expires_at: 0,
      client_id_issued_at: world.clock.now,
    })
    // By RFC 7591 it asked for no refresh tokens, and gets none; its registered scope is no ceiling.
    const tokens = await signIn(client, oauth.ClientSecretBasic(String(client.client_secret)), {
      scope: 'a b',
    })
    expect(tokens).not.toHaveProperty('refresh_token')
    expect(tokens.scope).toBe('a b')
  })

  test('a refused registration parses as an OAuth error', async () => {
    for (const [metadata, error] of [
      [{ redirect_uris: ['http://client.example/cb'] }, 'invalid_redirect_uri'],
      [
        { redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'tls_client_auth' },
        'invalid_client_metadata',
      ],
      [{ redirect_uris: [REDIRECT_URI], grant_types: ['password'] }, 'invalid_client_metadata'],
    ] as const) {
      const response = await oauth.dynamicClientRegistrationRequest(
        as,
        metadata as unknown as Partial<oauth.Client>,
        insecure,
      )
      expect(await rejection(oauth.processDynamicClientRegistrationResponse(response))).toMatchObject({
        name: 'ResponseBodyError',
        error,
        status: 400,
      })
    }
  })

  test('authorization responses carry iss and state, on success and on errors', async () => {
    const good = await authorize(confidential, { scope: 'a' })
    expect(oauth.validateAuthResponse(as, confidential, good.callback, good.state).get('code')).toBeTruthy()
    const bad = await authorize(confidential, { scope: 'nope' })
    expect(() => oauth.validateAuthResponse(as, confidential, bad.callback, bad.state)).toThrow(
      expect.objectContaining({ name: 'AuthorizationResponseError', error: 'invalid_scope' }),
    )
    for (const change of [
      (url: URL) => url.searchParams.delete('iss'),
      (url: URL) => url.searchParams.set('iss', `${world.issuer}/`),
    ]) {
      const url = new URL(good.callback)
      change(url)
      expect(() => oauth.validateAuthResponse(as, confidential, url, good.state)).toThrow(/"iss"/)
    }
  })

  test('code, API call, refresh and revocation', async () => {
    const tokens = await signIn(confidential, basic, { scope: 'a b', resource: world.resource })
    expect(tokens).toMatchObject({ token_type: 'bearer', expires_in: 300, scope: 'a b' })
    expect(tokens.refresh_token_expires_in).toBe(2_592_000)
    expect((await resourceCall(tokens.access_token, '/api/ab')).status).toBe(200)

    const refreshed = await looked(
      await oauth.refreshTokenGrantRequest(as, confidential, basic, tokens.refresh_token ?? '', insecure),
      (it) => oauth.processRefreshTokenResponse(as, confidential, it),
    )
    expect(refreshed.refresh_token).not.toBe(tokens.refresh_token)

    const revoked = await oauth.revocationRequest(
      as,
      confidential,
      basic,
      refreshed.refresh_token ?? '',
      insecure,
    )
    await looked(revoked.clone(), (it) => it.json())
    await oauth.processRevocationResponse(revoked)
    expect(await rejection(resourceCall(refreshed.access_token, '/api/ab'))).toMatchObject({ status: 401 })
    const dead = await oauth.refreshTokenGrantRequest(
      as,
      confidential,
      basic,
      refreshed.refresh_token ?? '',
      insecure,
    )
    expect(await rejection(oauth.processRefreshTokenResponse(as, confidential, dead))).toMatchObject({
      name: 'ResponseBodyError',
      error: 'invalid_grant',
      status: 400,
    })
  })

  test('a public client without a secret', async () => {
    const tokens = await signIn({ client_id: PUBLIC.id }, oauth.None())
    // Without scope and resource it gets the defaults.
    expect(tokens.scope).toBe('a')
    expect(tokens.refresh_token).toMatch(/^[A-Za-z0-9_-]+$/)
  })

  test('access tokens are RFC 9068 tokens by the published JWK Set', async () => {
    const { access_token: token } = await signIn(confidential, basic, { scope: 'a' })
    const request = new Request(`${world.base}/api/a`, { headers: { authorization: `Bearer ${token}` } })
    const options = {
      ...insecure,
      [oauth.clockSkew]: world.clock.now - Math.floor(Date.now() / 1000),
    }
    const claims = await oauth.validateJwtAccessToken(as, request, world.resource, options)
    expect(claims).toMatchObject({
      iss: as.issuer,
      sub: 'alice',
      aud: world.resource,
      client_id: CONFIDENTIAL.id,
      scope: 'a',
    })
    expect(
      await rejection(oauth.validateJwtAccessToken(as, request, world.otherResource, options)),
    ).toMatchObject({ code: 'OAUTH_JWT_CLAIM_COMPARISON_FAILED' })
    const own = (await clientCredentials({ scope: 'a' })).access_token
    const ownRequest = new Request(request.url, { headers: { authorization: `Bearer ${own}` } })
    expect((await oauth.validateJwtAccessToken(as, ownRequest, world.resource, options)).sub).toBe(
      `client:${CONFIDENTIAL.id}`,
    )
  })

  test('introspection, of what is active and what is not', async () => {
    const { access_token: token } = await clientCredentials({ scope: 'a' })
    const server: oauth.Client = { client_id: RESOURCE_SERVER.id }
    const introspect = async (text: string) =>
      looked(
        await oauth.introspectionRequest(
          as,
          server,
          oauth.ClientSecretBasic(RESOURCE_SERVER.secret),
          text,
          insecure,
        ),
        (it) => oauth.processIntrospectionResponse(as, server, it),
      )
    expect(await introspect(token)).toMatchObject({
      active: true,
      token_type: 'Bearer',
      client_id: CONFIDENTIAL.id,
    })
    expect(await introspect('never-issued')).toEqual({ active: false })
  })

  test('introspection as a JWT (RFC 9701), with its signature checked', async () => {
    const { access_token: token } = await clientCredentials({ scope: 'a' })
    const server: oauth.Client = {
      client_id: RESOURCE_SERVER.id,
      introspection_signed_response_alg: 'ES256',
      [oauth.clockSkew]: world.clock() - Math.floor(Date.now() / 1000),
    }
    for (const [text, active] of [
      [token, true],
      ['never-issued', false],
    ] as const) {
      const response = await oauth.introspectionRequest(
        as,
        server,
        oauth.ClientSecretBasic(RESOURCE_SERVER.secret),
        text,
        { ...insecure, requestJwtResponse: true },
      )
      expect(response.headers.get('content-type')).toBe('application/token-introspection+jwt')
      const answer = await oauth.processIntrospectionResponse(as, server, response)
      expect(answer.active).toBe(active)
      await oauth.validateApplicationLevelSignature(as, response, insecure)
    }
    await expect(
      oauth.processIntrospectionResponse(
        as,
        { ...server, client_id: 'somebody-else' },
        await oauth.introspectionRequest(as, server, oauth.ClientSecretBasic(RESOURCE_SERVER.secret), token, {
          ...insecure,
          requestJwtResponse: true,
        }),
      ),
    ).rejects.toThrow('aud')
  })

  test('errors of the token endpoint parse as OAuth errors', async () => {
    for (const [grantType, parameters, error] of [
      ['authorization_code', { code: 'never-issued', code_verifier: 'v'.repeat(43) }, 'invalid_grant'],
      ['authorization_code', {}, 'invalid_request'],
      ['refresh_token', { refresh_token: 'never-issued' }, 'invalid_grant'],
      ['client_credentials', { scope: 'nope' }, 'invalid_scope'],
      ['client_credentials', { resource: 'https://elsewhere.example' }, 'invalid_target'],
      ['password', { username: 'alice', password: 'wonderland' }, 'unsupported_grant_type'],
    ] as [string, Record<string, string>, string][]) {
      const response = await oauth.genericTokenEndpointRequest(
        as,
        confidential,
        basic,
        grantType,
        parameters,
        insecure,
      )
      const refusal = await rejection(oauth.processGenericTokenEndpointResponse(as, confidential, response))
      expect([grantType, refusal.name, refusal.error, refusal.status]).toEqual([
        grantType,
        'ResponseBodyError',
        error,
        400,
      ])
      expect(refusal.error_description).toMatch(/^[\x20\x21\x23-\x5b\x5d-\x7e]+$/)
    }
  })

  test('a failed client authentication is 401 with a challenge that parses, at every endpoint of clients', async () => {
    const wrong = oauth.ClientSecretBasic('not-the-secret-0123456789')
    const refusals = [
      oauth
        .clientCredentialsGrantRequest(as, confidential, wrong, {}, insecure)
        .then((it) => oauth.processClientCredentialsResponse(as, confidential, it)),
      oauth
        .revocationRequest(as, confidential, wrong, 'x', insecure)
        .then((it) => oauth.processRevocationResponse(it)),
      oauth
        .introspectionRequest(as, confidential, wrong, 'x', insecure)
        .then((it) => oauth.processIntrospectionResponse(as, confidential, it)),
      oauth
        .clientCredentialsGrantRequest(
          as,
          { client_id: 'nobody' },
          oauth.ClientSecretPost('not-the-secret-0123456789'),
          {},
          insecure,
        )
        .then((it) => oauth.processClientCredentialsResponse(as, { client_id: 'nobody' }, it)),
    ]
    for (const refusal of await Promise.all(refusals.map(rejection))) {
      expect(refusal).toMatchObject({
        name: 'WWWAuthenticateChallengeError',
        status: 401,
        cause: [{ scheme: 'basic', parameters: { realm: 'oauth', charset: 'UTF-8' } }],
      })
      expect(await (refusal.response as Response).json()).toMatchObject({ error: 'invalid_client' })
    }
  })

  test('challenges of the guard parse, and lead to the metadata', async () => {
    const metadataOf = (path: string) => `${world.base}/.well-known/oauth-protected-resource${path}`
    const none = await fetch(`${world.base}/api/a`)
    expect(none.status).toBe(401)
    expect(none.headers.get('www-authenticate')).toBe(
      `Bearer scope="a", resource_metadata="${metadataOf('/api')}", ${DPOP_CHALLENGE}`,
    )
    const challengeOf = async (token: string, path: string) => {
      const refusal = await rejection(resourceCall(token, path))
      const [challenge, ...more] = refusal.cause as { scheme: string; parameters: Record<string, string> }[]
      expect([refusal.name, challenge?.scheme]).toEqual(['WWWAuthenticateChallengeError', 'bearer'])
      // A token without the scope is no matter of how it is presented.
      expect(more.map(({ scheme }) => scheme)).toEqual(refusal.status === 401 ? ['dpop'] : [])
      return { status: refusal.status, ...challenge?.parameters }
    }
    expect(await challengeOf('garbled', '/api/a')).toMatchObject({
      status: 401,
      error: 'invalid_token',
      scope: 'a',
      resource_metadata: metadataOf('/api'),
    })
    const { access_token: token } = await clientCredentials({ scope: 'a' })
    expect(await challengeOf(token, '/api/ab')).toMatchObject({
      status: 403,
      error: 'insufficient_scope',
      scope: 'a b',
      resource_metadata: metadataOf('/api'),
    })
    expect(await challengeOf(token, '/other/x')).toMatchObject({
      status: 401,
      error: 'invalid_token',
      resource_metadata: metadataOf('/other'),
    })
  })
})

describe('oauth4webapi in a page of another origin', () => {
  const origin = 'https://spa.example'
  let world: World
  beforeAll(async () => {
    world = await startWorld({ aat: { corsOrigins: [origin] } })
  })
  afterAll(() => world.close())

  /** What a browser does with a request of a page: asks first, and shows the page only what it may read. */
  const asPageOf =
    (page: string) =>
    async (
      url: string,
      init: { method: string; headers: Record<string, string>; body?: unknown },
    ): Promise<Response> => {
      const safe = ['accept', 'user-agent']
      const needed = Object.keys(init.headers).filter(
        (name) => !safe.includes(name) && (name !== 'content-type' || init.method !== 'GET'),
      )
      if (needed.length > 0) {
        const preflight = await fetch(url, {
          method: 'OPTIONS',
          headers: { Origin: page, 'Access-Control-Request-Method': init.method },
        })
        const allowed = (preflight.headers.get('access-control-allow-headers') ?? '')
          .toLowerCase()
          .split(', ')
        if (!preflight.ok || needed.some((name) => !allowed.includes(name)))
          throw new TypeError('CORS: the preflight does not allow it')
      }
      const response = await fetch(url, {
        ...init,
        headers: { ...init.headers, Origin: page },
      } as RequestInit)
      const readable = response.headers.get('access-control-allow-origin')
      if (readable !== '*' && readable !== page) throw new TypeError('CORS: the answer may not be read')
      return response
    }

  const options = (page: string) => ({ ...insecure, [oauth.customFetch]: asPageOf(page) })

  test('metadata, registration, token and revocation are for the allowed origin to read, refusals and challenges too', async () => {
    const issuer = new URL(world.issuer)
    const as = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options(origin) }),
    )
    const registered = await oauth.processDynamicClientRegistrationResponse(
      await oauth.dynamicClientRegistrationRequest(as, { redirect_uris: [REDIRECT_URI] }, options(origin)),
    )
    const authentication = oauth.ClientSecretBasic(String(registered.client_secret))
    const refused = await oauth.refreshTokenGrantRequest(as, registered, authentication, 'x', options(origin))
    expect(await rejection(oauth.processRefreshTokenResponse(as, registered, refused))).toMatchObject({
      error: 'unauthorized_client',
    })
    const unknown = await oauth.refreshTokenGrantRequest(
      as,
      { client_id: 'nobody' },
      oauth.None(),
      'x',
      options(origin),
    )
    expect(unknown.status).toBe(401)
    expect(unknown.headers.get('access-control-expose-headers')).toContain('WWW-Authenticate')
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, registered, authentication, 'x', options(origin)),
    )
  })

  test('another origin, and the opaque one, may read the public documents only', async () => {
    const issuer = new URL(world.issuer)
    for (const page of ['https://evil.example', 'null', 'https://spa.example.evil.example']) {
      const as = await oauth
        .discoveryRequest(issuer, { algorithm: 'oauth2', ...options(page) })
        .then((it) => oauth.processDiscoveryResponse(issuer, it))
        .catch((error: unknown) => error as TypeError)
      // `null` is allowed nowhere.
      if (page === 'null') expect(as).toBeInstanceOf(TypeError)
      else expect(as).toMatchObject({ issuer: world.issuer })
      const known = { issuer: world.issuer, token_endpoint: world.endpoint('token') }
      await expect(
        oauth.refreshTokenGrantRequest(known, { client_id: PUBLIC.id }, oauth.None(), 'x', options(page)),
      ).rejects.toThrow('CORS')
    }
  })

  test('the authorization endpoint is never for a page to read', async () => {
    const url = world.authorizeUrl({ scope: 'a' })
    for (const method of ['GET', 'OPTIONS']) {
      const response = await fetch(url, { method, headers: { Origin: origin }, redirect: 'manual' })
      expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
    }
  })
})
