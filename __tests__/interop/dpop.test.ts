import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import type { DpopOptions } from '../../lib/index.ts'
import {
  CONFIDENTIAL,
  claimsOf,
  manualClock,
  PUBLIC,
  REDIRECT_URI,
  RESOURCE_SERVER,
  startWorld,
  type World,
} from '../support/world.ts'
import { visit } from './visit.ts'

const insecure = { [oauth.allowInsecureRequests]: true } as const

/** A clock that runs, since proofs are dated by the machine's. */
const running = () => Object.assign(manualClock(), { now: Math.floor(Date.now() / 1000) })

describe.each<[string, DpopOptions]>([
  ['without nonces', {}],
  ['with nonces', { nonces: 'required' }],
])('DPoP %s', (_name, dpop) => {
  let world: World
  beforeAll(async () => {
    world = await startWorld({ clock: running(), aat: { dpop } })
  })
  afterAll(() => world.close())
  afterEach(() => {
    expect(world.eventsNamed('dpop_proof.refused')).toEqual([])
  })

  test('oauth4webapi: client credentials, the API, introspection, and validation of the request as a resource server', async () => {
    const client: oauth.Client = { client_id: CONFIDENTIAL.id }
    const issuer = new URL(world.issuer)
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
    const as = await oauth.processDiscoveryResponse(issuer, found)
    expect(as.dpop_signing_alg_values_supported).toContain('ES256')
    for (const alg of ['ES256', 'Ed25519', 'PS256'] as const) {
      const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg))
      const options = { ...insecure, DPoP }
      /** As its documentation has it: once more where a nonce is missing. */
      const withNonce = async <T>(send: () => Promise<T>): Promise<T> => {
        try {
          return await send()
        } catch (error) {
          if (!oauth.isDPoPNonceError(error)) throw error
          return send()
        }
      }
      const tokens = await withNonce(async () => {
        const response = await oauth.clientCredentialsGrantRequest(
          as,
          client,
          oauth.ClientSecretBasic(CONFIDENTIAL.secret),
          { scope: 'a' },
          options,
        )
        return oauth.processClientCredentialsResponse(as, client, response)
      })
      expect(tokens.token_type).toBe('dpop')
      expect(claimsOf(tokens.access_token).cnf).toEqual({ jkt: await DPoP.calculateThumbprint() })

      const url = new URL(`${world.base}/api/a?with=query`)
      const answer = await withNonce(() =>
        oauth.protectedResourceRequest(tokens.access_token, 'GET', url, undefined, null, options),
      )
      expect(await answer.json()).toMatchObject({ subject: `client:${CONFIDENTIAL.id}` })

      const server: oauth.Client = { client_id: RESOURCE_SERVER.id }
      const asked = await oauth.introspectionRequest(
        as,
        server,
        oauth.ClientSecretBasic(RESOURCE_SERVER.secret),
        tokens.access_token,
        insecure,
      )
      expect(await oauth.processIntrospectionResponse(as, server, asked)).toMatchObject({
        active: true,
        token_type: 'DPoP',
        cnf: { jkt: await DPoP.calculateThumbprint() },
      })
      // Our token and its own proof, judged by another's resource server.
      let seen: Request | undefined
      await oauth
        .protectedResourceRequest(tokens.access_token, 'GET', url, undefined, null, {
          ...options,
          [oauth.customFetch]: async (input, init) => {
            seen = new Request(input, init as RequestInit)
            return new Response()
          },
        })
        .catch(() => undefined)
      const claims = await oauth.validateJwtAccessToken(as, seen as Request, world.resource, {
        ...insecure,
        requireDPoP: true,
      })
      expect(claims.client_id).toBe(CONFIDENTIAL.id)
    }
  })

  test('openid-client: a public client signs its user in, with dpop_jkt; calls the API, refreshes', async () => {
    const config = await openid.discovery(new URL(world.issuer), PUBLIC.id, {}, openid.None(), {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    })
    const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair())
    const pkceCodeVerifier = openid.randomPKCECodeVerifier()
    const state = openid.randomState()
    const url = openid.buildAuthorizationUrl(config, {
      redirect_uri: REDIRECT_URI,
      code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
      code_challenge_method: 'S256',
      scope: 'a b',
      state,
      dpop_jkt: await DPoP.calculateThumbprint(),
    })
    const { callback } = await visit(world, url)
    const checks = { pkceCodeVerifier, expectedState: state }
    const tokens = await openid.authorizationCodeGrant(config, callback, checks, undefined, { DPoP })
    expect(tokens.token_type).toBe('dpop')
    const api = new URL(`${world.base}/api/ab`)
    const call = (token: string, options: object) =>
      openid.fetchProtectedResource(config, token, api, 'GET', undefined, undefined, options)
    expect(await (await call(tokens.access_token, { DPoP })).json()).toMatchObject({ subject: 'alice' })
    await expect(call(tokens.access_token, {})).rejects.toMatchObject({ status: 401 })

    const refreshed = await openid.refreshTokenGrant(config, tokens.refresh_token ?? '', undefined, { DPoP })
    expect(refreshed.token_type).toBe('dpop')
    const other = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair())
    await expect(
      openid.refreshTokenGrant(config, refreshed.refresh_token ?? '', undefined, { DPoP: other }),
    ).rejects.toMatchObject({ error: 'invalid_grant' })
    await expect(openid.refreshTokenGrant(config, refreshed.refresh_token ?? '')).rejects.toMatchObject({
      error: 'invalid_grant',
    })
    expect((await call(refreshed.access_token, { DPoP })).status).toBe(200)
    const again = await openid.refreshTokenGrant(config, refreshed.refresh_token ?? '', undefined, { DPoP })
    expect(again.token_type).toBe('dpop')
  })
})
