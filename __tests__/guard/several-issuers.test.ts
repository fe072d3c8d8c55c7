import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { getAat, remoteIssuer, requireAat } from '../../lib/index.ts'
import { forge } from '../support/forge.ts'
import { claimsOf, headerOf, manualClock, startWorld, type World } from '../support/world.ts'

const PARTNER = 'https://partner.example'
const clock = manualClock()
const partner = generateKeyPairSync('ec', { namedCurve: 'P-256' })
let world: World
let ownToken: string

/** The partner publishes its key also under the name of one of ours. */
let jwks: object[] = []
const network: typeof fetch = async () => Response.json({ keys: jwks })

const partnerToken = (changes: object = {}, key: KeyObject = partner.privateKey, kid = 'p1') =>
  forge(
    { alg: 'ES256', typ: 'at+jwt', kid },
    {
      iss: PARTNER,
      sub: 'bob',
      aud: world.resource,
      client_id: 'their-app',
      iat: clock.now,
      exp: clock.now + 300,
      jti: 'j1',
      scope: 'a',
      ...changes,
    },
    'ES256',
    key,
  )

beforeAll(async () => {
  world = await startWorld({
    clock,
    after(app, aat) {
      const remote = remoteIssuer(PARTNER, {
        resources: { [`${aat.issuer}/api`]: { scopes: ['a', 'b', 'c'] } },
        jwksUri: `${PARTNER}/keys`,
        fetch: network,
        clock,
      })
      app.get('/api/both', requireAat([aat, remote], { scope: 'a' }), (req, res) => {
        const { subject, claims } = getAat(req)
        res.json({ subject, iss: claims.iss })
      })
    },
  })
  const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
  ownToken = body.access_token
  const jwk = { ...partner.publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }
  jwks = [
    { ...jwk, kid: 'p1' },
    { ...jwk, kid: headerOf(ownToken).kid },
  ]
})
afterAll(() => world.close())

describe('a guard for several issuers', () => {
  test('accepts the tokens of each, again and again', async () => {
    for (let round = 0; round < 3; round++) {
      expect((await world.call('/api/both', ownToken)).body).toEqual({
        subject: 'client:confidential',
        iss: world.issuer,
      })
      expect((await world.call('/api/both', partnerToken())).body).toEqual({ subject: 'bob', iss: PARTNER })
    }
  })

  test('a route of one of them refuses those of the other', async () => {
    expect((await world.call('/api/a', partnerToken())).status).toBe(401)
    expect((await world.call('/api/a', ownToken)).status).toBe(200)
  })

  test('neither can speak for the other, also not under the name of a key of its own', async () => {
    const kid = String(headerOf(ownToken).kid)
    for (const forged of [
      partnerToken({ iss: world.issuer }),
      partnerToken({ iss: world.issuer }, partner.privateKey, kid),
      partnerToken({ ...claimsOf(ownToken) }, partner.privateKey, kid),
      partnerToken({ iss: 'https://nobody.example' }),
      partnerToken({ iss: [PARTNER, world.issuer] }),
      partnerToken({ iss: undefined }),
    ])
      expect((await world.call('/api/both', forged)).status).toBe(401)
    // Its own key under that name is good for its own tokens.
    expect((await world.call('/api/both', partnerToken({}, partner.privateKey, kid))).body.iss).toBe(PARTNER)
  })

  test('a revocation here ends the tokens of here only', async () => {
    const partners = partnerToken({ jti: claimsOf(ownToken).jti })
    expect((await world.call('/api/both', partners)).status).toBe(200)
    await world.aat.revoke({ jti: String(claimsOf(ownToken).jti) })
    expect((await world.call('/api/both', ownToken)).status).toBe(401)
    expect((await world.call('/api/both', partners)).status).toBe(200)
  })

  test('mistakes are told at once', () => {
    const other = (issuer: string) =>
      remoteIssuer(issuer, { resources: { 'https://api.example': { scopes: ['a'] } }, fetch: network })
    expect(() => requireAat([])).toThrow('there must be an issuer')
    expect(() => requireAat([other(PARTNER), other(PARTNER)])).toThrow('different names')
    expect(() => requireAat([other(PARTNER), world.aat])).toThrow(
      `resource is not one of the configured resources of ${world.issuer}`,
    )
    expect(() => requireAat([world.aat, other(PARTNER)], { scope: 'a' })).toThrow(
      `resource is not one of the configured resources of ${PARTNER}`,
    )
    expect(() => requireAat([{} as never])).toThrow('createAat()')
  })
})
