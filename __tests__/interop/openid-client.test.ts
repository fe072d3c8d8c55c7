import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { exportJWK, importPKCS8 } from 'jose'
import * as client from 'openid-client'
import {
  Browser,
  CONFIDENTIAL,
  claimsOf,
  PUBLIC,
  REDIRECT_URI,
  RESOURCE_SERVER,
  startWorld,
  type World,
} from '../support/world.ts'
import { visit } from './visit.ts'

const overHttp: client.DiscoveryRequestOptions = {
  algorithm: 'oauth2',
  execute: [client.allowInsecureRequests],
}
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** A start of an authorization as openid-client's README has it. */
async function begin(config: client.Configuration, parameters: Record<string, string> = {}) {
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    ...parameters,
  })
  return { url, checks: { pkceCodeVerifier: verifier, expectedState: state } }
}

describe.each([
  ['an issuer at the root', ''],
  ['an issuer with a path', '/auth'],
])('openid-client against %s', (_name, issuerPath) => {
  let world: World
  let assertionKey: client.CryptoKey

  beforeAll(async () => {
    const jwk = await exportJWK(publicKey)
    assertionKey = await importPKCS8(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 'ES256')
    world = await startWorld({
      issuerPath,
      aat: (base) => ({
        clients: [
          {
            clientId: CONFIDENTIAL.id,
            clientSecret: CONFIDENTIAL.secret,
            redirectUris: [REDIRECT_URI],
            grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
          },
          { clientId: PUBLIC.id, redirectUris: [REDIRECT_URI] },
          {
            clientId: RESOURCE_SERVER.id,
            clientSecret: RESOURCE_SERVER.secret,
            introspects: [`${base}/api`],
          },
          {
            clientId: 'asserting',
            jwks: { keys: [{ ...jwk, kid: 'k1', alg: 'ES256' }] },
            redirectUris: [REDIRECT_URI],
            grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
          },
          {
            // Characters that every HTTP Basic encoder treats in its own way.
            clientId: 'odd id:+%/',
            clientSecret: 'p@ss:w+rd %41 &=é-_.!~*',
            grantTypes: ['client_credentials'],
          },
          {
            clientId: 'posting',
            clientSecret: 'the-secret-that-is-posted-0123456789',
            tokenEndpointAuthMethod: 'client_secret_post',
            grantTypes: ['client_credentials'],
          },
        ],
      }),
    })
  })
  afterAll(() => world.close())

  const discover = (id: string, secret?: string, authentication?: client.ClientAuth) =>
    client.discovery(
      new URL(world.issuer),
      id,
      {
        ...(secret !== undefined && { client_secret: secret }),
        // Assertions carry the client's time, which is the machine's.
        [client.clockSkew]: world.clock.now - Math.floor(Date.now() / 1000),
      },
      authentication,
      overHttp,
    )
  const confidential = () =>
    discover(CONFIDENTIAL.id, CONFIDENTIAL.secret, client.ClientSecretBasic(CONFIDENTIAL.secret))

  test('discovers (RFC 8414), and finds one issuer everywhere', async () => {
    const metadata = (await confidential()).serverMetadata()
    expect(metadata.issuer).toBe(world.issuer)
    expect(metadata.supportsPKCE()).toBe(true)
    expect(metadata.token_endpoint).toBe(world.endpoint('token'))
    expect(metadata.authorization_response_iss_parameter_supported).toBe(true)
  })

  test('signs a user in with PKCE, state and iss, calls the API, refreshes, and revokes', async () => {
    const config = await confidential()
    const { url, checks } = await begin(config, { scope: 'a b', resource: world.resource })
    const { callback, asked } = await visit(world, url, { browser: new Browser(world.base) })
    expect(asked).toBe(true)
    expect(callback.searchParams.get('iss')).toBe(world.issuer)

    const tokens = await client.authorizationCodeGrant(config, callback, checks, { resource: world.resource })
    expect(tokens.token_type).toBe('bearer')
    expect(tokens.expires_in).toBe(300)
    expect(tokens.scope).toBe('a b')
    const api = new URL(`${world.base}/api/ab`)
    const answer = await client.fetchProtectedResource(config, tokens.access_token, api, 'GET')
    expect(await answer.json()).toMatchObject({ subject: 'alice', scopes: ['a', 'b'] })

    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token ?? '', {
      resource: world.resource,
    })
    expect(refreshed.refresh_token).not.toBe(tokens.refresh_token)
    expect(refreshed.access_token).not.toBe(tokens.access_token)
    const narrow = await client.refreshTokenGrant(config, refreshed.refresh_token ?? '', { scope: 'a' })
    expect(narrow.scope).toBe('a')

    await expect(client.tokenRevocation(config, narrow.refresh_token ?? '')).resolves.toBeUndefined()
    await expect(client.refreshTokenGrant(config, narrow.refresh_token ?? '')).rejects.toMatchObject({
      name: 'ResponseBodyError',
      error: 'invalid_grant',
      status: 400,
    })
    // The access tokens of the family went with it.
    await expect(
      client.fetchProtectedResource(config, refreshed.access_token, api, 'GET'),
    ).rejects.toMatchObject({
      status: 401,
      cause: [{ scheme: 'bearer', parameters: { error: 'invalid_token' } }, { scheme: 'dpop' }],
    })
    await expect(client.tokenRevocation(config, 'never-issued')).resolves.toBeUndefined()
  })

  test('is told of a denial with state and iss, as an authorization error', async () => {
    const config = await confidential()
    const { url, checks } = await begin(config, { scope: 'a', prompt: 'consent' })
    const { callback } = await visit(world, url, { decision: 'deny' })
    await expect(client.authorizationCodeGrant(config, callback, checks)).rejects.toMatchObject({
      name: 'AuthorizationResponseError',
      error: 'access_denied',
    })
  })

  test('is told of a refused request with state and iss, as an authorization error', async () => {
    const config = await confidential()
    for (const [parameters, error] of [
      [{ scope: 'never-heard-of' }, 'invalid_scope'],
      [{ resource: 'https://elsewhere.example/api' }, 'invalid_target'],
      [{ prompt: 'none' }, 'login_required'],
      [{ code_challenge_method: 'plain' }, 'invalid_request'],
    ] as const) {
      const { url, checks } = await begin(config, parameters)
      const { callback, asked } = await visit(world, url)
      expect(asked).toBe(false)
      await expect(client.authorizationCodeGrant(config, callback, checks)).rejects.toMatchObject({
        name: 'AuthorizationResponseError',
        error,
      })
    }
  })

  test('refuses a response with another iss or state; ours have the right ones', async () => {
    const config = await confidential()
    const { url, checks } = await begin(config, { scope: 'a' })
    const { callback } = await visit(world, url)
    const mixedUp = new URL(callback)
    mixedUp.searchParams.set('iss', 'https://evil.example')
    await expect(client.authorizationCodeGrant(config, mixedUp, checks)).rejects.toMatchObject({
      cause: { message: expect.stringContaining('"iss"') },
    })
    const withoutIss = new URL(callback)
    withoutIss.searchParams.delete('iss')
    await expect(client.authorizationCodeGrant(config, withoutIss, checks)).rejects.toMatchObject({
      cause: { message: expect.stringContaining('"iss"') },
    })
    // None of these reached the server: the code is still good.
    await expect(client.authorizationCodeGrant(config, callback, checks)).resolves.toMatchObject({
      scope: 'a',
    })
  })

  test('a wrong redirect URI or a failed client authentication does not burn the code; a wrong verifier does', async () => {
    const config = await confidential()
    const wrongSecret = await discover(
      CONFIDENTIAL.id,
      'wrong',
      client.ClientSecretBasic('not-the-secret-0123456789'),
    )
    const { url, checks } = await begin(config, { scope: 'a' })
    const { callback } = await visit(world, url)
    const elsewhere = new URL(callback)
    elsewhere.pathname = '/other'
    await expect(client.authorizationCodeGrant(config, elsewhere, checks)).rejects.toMatchObject({
      error: 'invalid_grant',
    })
    await expect(client.authorizationCodeGrant(wrongSecret, callback, checks)).rejects.toMatchObject({
      status: 401,
    })
    const burning = await begin(config, { scope: 'a' })
    const burnt = await visit(world, burning.url)
    await expect(client.authorizationCodeGrant(config, callback, checks)).resolves.toMatchObject({
      scope: 'a',
    })
    const wrongVerifier = { ...burning.checks, pkceCodeVerifier: client.randomPKCECodeVerifier() }
    for (const attempt of [wrongVerifier, burning.checks])
      await expect(client.authorizationCodeGrant(config, burnt.callback, attempt)).rejects.toMatchObject({
        error: 'invalid_grant',
      })
  })

  test.each([
    ['client_secret_basic', (secret: string) => client.ClientSecretBasic(secret)],
    ['client_secret_post', (secret: string) => client.ClientSecretPost(secret)],
    ['none', () => client.None()],
  ])('registers itself as %s and signs in, with ids and secrets as they are issued', async (method, how) => {
    const registered = await client.dynamicClientRegistration(
      new URL(world.issuer),
      {
        client_name: 'A registered client',
        redirect_uris: [REDIRECT_URI],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: method,
      },
      undefined,
      overHttp,
    )
    const metadata = registered.clientMetadata()
    expect(metadata.client_id).toMatch(/^[A-Za-z0-9_-]+$/)
    expect(metadata.redirect_uris).toEqual([REDIRECT_URI])
    expect(metadata.token_endpoint_auth_method).toBe(method)
    expect(typeof metadata.client_id_issued_at).toBe('number')
    const secret = metadata.client_secret ?? ''
    if (method === 'none') expect(metadata).not.toHaveProperty('client_secret')
    else expect(secret).toMatch(/^[A-Za-z0-9_-]{40,}$/)

    const config = await discover(metadata.client_id, secret || undefined, how(secret))
    const { url, checks } = await begin(config, { scope: 'a' })
    const { callback } = await visit(world, url)
    const tokens = await client.authorizationCodeGrant(config, callback, checks)
    expect(tokens.access_token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/)
    expect(tokens.refresh_token).toMatch(/^[\w-]+$/)
    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token ?? '')
    expect(refreshed.refresh_token).not.toBe(tokens.refresh_token)
    // Spent: the whole family goes.
    world.clock.advance(61)
    await expect(client.refreshTokenGrant(config, tokens.refresh_token ?? '')).rejects.toMatchObject({
      error: 'invalid_grant',
    })
    await expect(client.refreshTokenGrant(config, refreshed.refresh_token ?? '')).rejects.toMatchObject({
      error: 'invalid_grant',
    })
  })

  test('a refused registration is an OAuth error', async () => {
    await expect(
      client.dynamicClientRegistration(
        new URL(world.issuer),
        { redirect_uris: ['http://not-loopback.example/cb'] },
        undefined,
        overHttp,
      ),
    ).rejects.toMatchObject({ name: 'ResponseBodyError', error: 'invalid_redirect_uri', status: 400 })
  })

  test('client credentials by client_secret_basic, client_secret_post and private_key_jwt', async () => {
    const posting = 'the-secret-that-is-posted-0123456789'
    const configurations: [string, client.Configuration][] = [
      [CONFIDENTIAL.id, await confidential()],
      // What openid-client does by itself with a secret.
      ['posting', await discover('posting', posting)],
      [
        'asserting',
        await discover('asserting', undefined, client.PrivateKeyJwt({ key: assertionKey, kid: 'k1' })),
      ],
    ]
    for (const [id, config] of configurations) {
      const tokens = await client.clientCredentialsGrant(config, { scope: 'a b', resource: world.resource })
      expect(tokens).not.toHaveProperty('refresh_token')
      expect(claimsOf(tokens.access_token)).toMatchObject({
        sub: `client:${id}`,
        client_id: id,
        aud: world.resource,
        scope: 'a b',
      })
    }
  })

  test('client_secret_basic with an id and a secret of odd characters', async () => {
    const secret = 'p@ss:w+rd %41 &=é-_.!~*'
    const config = await discover('odd id:+%/', secret, client.ClientSecretBasic(secret))
    const tokens = await client.clientCredentialsGrant(config)
    expect(claimsOf(tokens.access_token).client_id).toBe('odd id:+%/')
  })

  test('private_key_jwt through code, refresh and revocation; an assertion works once', async () => {
    const assertions: string[] = []
    const config = await discover(
      'asserting',
      undefined,
      client.PrivateKeyJwt({ key: assertionKey, kid: 'k1' }),
    )
    config[client.customFetch] = (url, options) => {
      const body = options.body as URLSearchParams
      assertions.push(body.get('client_assertion') ?? '')
      return fetch(url, options as RequestInit)
    }
    const { url, checks } = await begin(config, { scope: 'a' })
    const { callback } = await visit(world, url)
    const tokens = await client.authorizationCodeGrant(config, callback, checks)
    const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token ?? '')
    await client.tokenRevocation(config, refreshed.access_token)
    expect(assertions).toHaveLength(3)
    expect((await world.call('/api/a', refreshed.access_token)).status).toBe(401)

    const replay = await world.token({
      grant_type: 'client_credentials',
      client_assertion: assertions[0] ?? '',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    })
    expect([replay.status, replay.body.error]).toEqual([401, 'invalid_client'])
  })

  test("introspects as the resource's server; another client learns nothing", async () => {
    const { access_token: token } = await client.clientCredentialsGrant(await confidential(), { scope: 'a' })
    const server = await discover(
      RESOURCE_SERVER.id,
      RESOURCE_SERVER.secret,
      client.ClientSecretBasic(RESOURCE_SERVER.secret),
    )
    const answer = await client.tokenIntrospection(server, token)
    expect(answer).toMatchObject({
      active: true,
      client_id: CONFIDENTIAL.id,
      iss: world.issuer,
      scope: 'a',
      aud: world.resource,
    })
    const other = await discover('posting', 'the-secret-that-is-posted-0123456789')
    expect(await client.tokenIntrospection(other, token)).toEqual({ active: false })
    await client.tokenRevocation(await confidential(), token)
    expect(await client.tokenIntrospection(server, token)).toEqual({ active: false })
  })
})
