import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { SignJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
import { REDIRECT_URI, startWorld, type World } from '../support/world.ts'
import { visit } from './visit.ts'

const BOARD = 'https://board.example'
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const metadata = {
  redirect_uris: [REDIRECT_URI],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'client_secret_post',
}

let world: World
beforeAll(async () => {
  world = await startWorld({
    dcr: { allow: ['initial-access-token', 'access-token'] },
    aat: (base) => ({
      registration: {
        policies: { partners: { refreshTokens: { lifetime: 1000 } } },
        softwareStatements: [{ issuer: BOARD, jwks: { keys: [publicKey.export({ format: 'jwk' })] } }],
      },
      resources: {
        [`${base}/api`]: { scopes: ['a', 'b'], defaultScopes: ['a'] },
        [`${base}/other`]: { scopes: ['a', 'x', 'clients:register'] },
      },
    }),
  })
})
afterAll(() => world.close())

test('openid-client: registers with an initial access token and a software statement, and signs in', async () => {
  const { token } = await world.aat.initialAccessTokens.create({ policy: 'partners' })
  const statement = await new SignJWT({ client_name: 'Vouched for', software_id: 'one' })
    .setProtectedHeader({ alg: 'ES256', typ: 'JWT' })
    .setIssuer(BOARD)
    .setAudience(world.issuer)
    .setIssuedAt(world.clock.now)
    .sign(privateKey)
  const settings: client.DynamicClientRegistrationRequestOptions = {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests],
    initialAccessToken: token,
  }
  const register = () =>
    client.dynamicClientRegistration(
      new URL(world.issuer),
      { ...metadata, client_name: 'Google', software_statement: statement },
      undefined,
      settings,
    )
  const config = await register()
  const registered = config.clientMetadata()
  expect([registered.client_name, registered.software_id, registered.software_statement]).toEqual([
    'Vouched for',
    'one',
    statement,
  ])
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    scope: 'a',
    state,
  })
  const { callback } = await visit(world, url)
  const tokens = await client.authorizationCodeGrant(config, callback, {
    pkceCodeVerifier: verifier,
    expectedState: state,
  })
  expect(tokens.refresh_token_expires_in).toBe(1000)
  await expect(register()).rejects.toMatchObject({ status: 401 })
})

test('oauth4webapi: reads the challenge, and registers with an access token', async () => {
  const as: oauth.AuthorizationServer = {
    issuer: world.issuer,
    registration_endpoint: world.endpoint('register'),
  }
  const register = async (initialAccessToken?: string) =>
    oauth.processDynamicClientRegistrationResponse(
      await oauth.dynamicClientRegistrationRequest(as, metadata, {
        [oauth.allowInsecureRequests]: true,
        ...(initialAccessToken !== undefined && { initialAccessToken }),
      }),
    )
  const refused = await register().then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(refused).toBeInstanceOf(oauth.WWWAuthenticateChallengeError)
  const [challenge] = (refused as oauth.WWWAuthenticateChallengeError).cause
  expect(challenge).toMatchObject({ scheme: 'bearer', parameters: { scope: 'clients:register' } })
  expect(challenge?.parameters).not.toHaveProperty('error')

  const { body } = await world.token({
    grant_type: 'client_credentials',
    resource: world.otherResource,
    scope: String(challenge?.parameters.scope),
  })
  const registered = await register(body.access_token)
  expect(registered.redirect_uris).toEqual([REDIRECT_URI])
})
