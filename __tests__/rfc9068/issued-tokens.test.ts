import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { createAat, memoryStores } from '../../lib/index.ts'
import { systemRandom } from '../../lib/protocol/random.ts'
import { createMint } from '../../lib/tokens/mint.ts'
import { forgerOf } from '../support/forge.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  headerOf,
  manualClock,
  PUBLIC,
  startWorld,
  type World,
} from '../support/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const clientToken = async (parameters: Record<string, string> = {}) =>
  world.token({ grant_type: 'client_credentials', scope: 'a', ...parameters })

test('TOK-001: the header is exactly alg, typ and kid', async () => {
  for (const { body } of [await world.signInAndGetTokens({ scope: 'a' }), await clientToken()]) {
    const header = headerOf(body.access_token)
    expect(Object.keys(header)).toEqual(['alg', 'typ', 'kid'])
    expect(header).toMatchObject({ typ: 'at+jwt', alg: 'ES256' })
    const { keys } = (await (await fetch(`${world.base}/.well-known/jwks.json`)).json()) as {
      keys: { kid: string }[]
    }
    expect(keys.map(({ kid }) => kid)).toContain(header.kid)
  }
})

test('TOK-002: every claim has its JSON type, also where the clock has fractions', async () => {
  world.clock.now += 0.75
  world.users.alice = { ...world.users.alice, acr: 'silver', amr: ['pwd', 'otp'] }
  const { body } = await world.signInAndGetTokens({ scope: 'a b' })
  const claims = claimsOf(body.access_token)
  const now = Math.floor(world.clock())
  expect(claims).toEqual({
    iss: world.issuer,
    sub: 'alice',
    aud: world.resource,
    client_id: CONFIDENTIAL.id,
    iat: now,
    exp: now + 300,
    jti: expect.stringMatching(/^[\w-]{22}$/),
    scope: 'a b',
    auth_time: now,
    acr: 'silver',
    amr: ['pwd', 'otp'],
    grant_id: expect.stringMatching(/^[\w-]{22}$/),
    grant_iat: now + 0.75,
  })
  expect(body.expires_in).toBe(300)
  const own = claimsOf((await clientToken()).body.access_token)
  expect(Object.keys(own).sort()).toEqual(['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'scope', 'sub'])
  world.clock.now = Math.ceil(world.clock.now)
})

test('TOK-004: jti is unique and random: 600 tokens over HTTP from three instances, and 4,000 from the mint (scaled down from 100,000)', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const first = await startWorld({ stores, clock })
  const { issuer } = first
  const worlds = [
    first,
    await startWorld({ stores, clock, issuer }),
    await startWorld({ stores, clock, issuer }),
  ]
  try {
    const jtis: string[] = []
    for (let round = 0; round < 10; round++)
      await Promise.all(
        worlds.flatMap((one) =>
          Array.from({ length: 20 }, async () => {
            const { body } = await one.token({ grant_type: 'client_credentials', scope: 'a' })
            jtis.push(String(claimsOf(body.access_token).jti))
          }),
        ),
      )
    const forger = await forgerOf(first, stores)
    const mint = createMint(first.issuer, clock, systemRandom, {
      noteMinted: () => undefined,
      opaque: { issue: async () => '' },
    })
    const order = {
      clientId: 'c',
      subject: 's',
      audience: 'x',
      scope: ['a'],
      lifetime: 60,
      format: 'jwt' as const,
    }
    const signer = { kid: forger.record.kid, alg: forger.record.alg, privateKey: forger.privateKey }
    for (let count = 0; count < 4000; count++) jtis.push((await mint(order, signer)).claims.jti)
    expect(jtis).toHaveLength(4600)
    expect(new Set(jtis).size).toBe(4600)
    for (const jti of jtis) expect(Buffer.from(jti, 'base64url').length).toBeGreaterThanOrEqual(16)
    // No counter and no time in it: every byte takes most of its 256 values, at every place.
    for (let place = 0; place < 16; place++)
      expect(new Set(jtis.map((jti) => Buffer.from(jti, 'base64url')[place])).size).toBeGreaterThan(250)
  } finally {
    for (const one of worlds) await one.close()
  }
})

test('TOK-005: aud is the resource that was asked for, and nothing else', async () => {
  const { body } = await world.signInAndGetTokens(
    { scope: 'x', resource: world.otherResource },
    { resource: world.otherResource },
  )
  expect(claimsOf(body.access_token).aud).toBe(world.otherResource)
  expect((await world.call('/other/x', body.access_token)).status).toBe(200)
  expect((await world.call('/api/a', body.access_token)).status).toBe(401)
  expect(claimsOf((await clientToken()).body.access_token).aud).toBe(world.resource)
})

describe('TOK-007: a client cannot pass for a user', () => {
  test("TOK-007: a client whose id is a user's name gets another subject, and no user route", async () => {
    const secret = 'a-secret-of-a-client-called-alice-0123'
    const one = await startWorld({
      aat: { clients: [{ clientId: 'alice', clientSecret: secret, grantTypes: ['client_credentials'] }] },
    })
    try {
      const { body } = await one.token(
        { grant_type: 'client_credentials', scope: 'a' },
        basic('alice', secret),
      )
      expect(claimsOf(body.access_token).sub).toBe('client:alice')
      const allowed = await one.call('/api/a', body.access_token)
      expect(allowed.body).toMatchObject({ subject: 'client:alice', principal: 'client' })
      const refused = await one.call('/api/user', body.access_token)
      expect([refused.status, refused.body.error]).toEqual([403, 'insufficient_scope'])
    } finally {
      await one.close()
    }
  })

  test("TOK-007: a user whose id looks like a client's is refused", async () => {
    const one = await startWorld({
      authorize: { resolveUser: () => ({ subject: 'client:confidential', authTime: 1_800_000_000 }) },
    })
    try {
      const answer = await fetch(one.authorizeUrl({ scope: 'a' }), { redirect: 'manual' })
      const location = answer.headers.get('location') ?? ''
      expect(answer.status >= 500 || new URL(location).searchParams.get('error') === 'server_error').toBe(
        true,
      )
      expect(one.eventsNamed('fault')).toHaveLength(1)
    } finally {
      await one.close()
    }
  })
})

test('TOK-008: the scope claim is what was granted, and the answer says it where it differs from the request', async () => {
  const { body } = await world.signInAndGetTokens({ scope: 'a b c' }, {}, { scopes: ['a', 'b'] })
  expect(claimsOf(body.access_token).scope).toBe('a b')
  expect(body.scope).toBe('a b')
  expect((await world.call('/api/ab', body.access_token)).body.scopes).toEqual(['a', 'b'])
})

test('TOK-010: expires_in is never 0: where less than a second is left it is invalid_grant', async () => {
  const one = await startWorld({
    aat: { refreshTokens: { issuance: 'rotate-and-reset', lifetime: 600, absoluteLifetime: 1000 } },
  })
  try {
    let refreshToken = (await one.signInAndGetTokens({ scope: 'a' })).body.refresh_token
    const opened = one.clock()
    one.clock.now = opened + 500
    refreshToken = (await one.refresh(refreshToken)).body.refresh_token
    one.clock.now = opened + 998.9
    const last = await one.refresh(refreshToken)
    expect(last.status).toBe(200)
    expect(last.body.expires_in).toBe(1)
    expect(claimsOf(last.body.access_token).exp).toBeLessThanOrEqual(opened + 1000)
    one.clock.now = opened + 999.6
    const refused = await one.refresh(last.body.refresh_token)
    expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant'])
  } finally {
    await one.close()
  }
})

test('TOK-011: nothing that the app knows of the user gets into the token, unless it is configured by name', async () => {
  const personal = {
    email: 'alice@example.com',
    phone: '+49 30 1234',
    displayName: 'Alice Liddell',
    session: 'sess-4711',
  }
  const one = await startWorld({
    authorize: {
      resolveUser: () =>
        ({ subject: 'u1', authTime: 1_800_000_000, ...personal, claims: { role: 'admin' } }) as never,
    },
    aat: { claims: () => ({ tenant: 'north' }) },
  })
  try {
    const { body } = await one.signInAndGetTokens({ scope: 'a' })
    const text = ['header', 'claims']
      .map((part) => JSON.stringify((part === 'header' ? headerOf : claimsOf)(body.access_token)))
      .join()
    for (const needle of [...Object.values(personal), 'admin', CONFIDENTIAL.secret, 'test-secret'])
      expect(text).not.toContain(needle)
    expect(claimsOf(body.access_token).tenant).toBe('north')
    expect(JSON.stringify(one.events)).not.toContain(personal.email)
  } finally {
    await one.close()
  }
})

test.each([2048])('TOK-013: RS256 with %i bits', async (rsaBits) => {
  const one = await startWorld({ aat: { keys: { alg: 'RS256', rsaBits } } })
  try {
    const { body } = await one.token({ grant_type: 'client_credentials', scope: 'a' })
    expect(headerOf(body.access_token).alg).toBe('RS256')
    expect((await one.call('/api/a', body.access_token)).status).toBe(200)
    const { keys } = (await (await fetch(`${one.base}/.well-known/jwks.json`)).json()) as {
      keys: JsonWebKey[]
    }
    for (const jwk of keys)
      expect(createPublicKey({ key: jwk, format: 'jwk' }).asymmetricKeyDetails?.modulusLength).toBe(rsaBits)
  } finally {
    await one.close()
  }
})

test('TOK-013: a modulus under 2048 bits is refused at start', () => {
  expect(() =>
    createAat({
      issuer: 'https://a.example',
      resources: { 'https://a.example/api': { scopes: ['a'] } },
      keys: { alg: 'RS256', rsaBits: 1024 },
    }),
  ).toThrow(/rsaBits must be 2048, 3072 or 4096/)
})

test('TOK-014: a key has one algorithm in the JWK Set', async () => {
  const { keys } = (await (await fetch(`${world.base}/.well-known/jwks.json`)).json()) as {
    keys: JsonWebKey[]
  }
  expect(keys).toHaveLength(2)
  for (const jwk of keys)
    expect(Object.keys(jwk).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
})

test('TOK-016: a refresh token is no access token, and showing it to an API changes nothing', async () => {
  const { body } = await world.signInAndGetTokens({ scope: 'a' })
  for (const path of ['/api/a', '/api/user']) {
    const answer = await world.call(path, body.refresh_token)
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
    expect(answer.text).not.toContain(body.refresh_token)
  }
  const refreshed = await world.refresh(body.refresh_token)
  expect(refreshed.status).toBe(200)
  expect(
    refreshed.body.refresh_token.split('.').length === 3 && refreshed.body.refresh_token.startsWith('ey'),
  ).toBe(false)
})

test('TOK-017: an authorization code is no access token, and stays redeemable', async () => {
  const { code, verifier } = await world.authorize({ scope: 'a' })
  const answer = await world.call('/api/a', code)
  expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
  const redeemed = await world.token({
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: 'https://client.example/cb',
  })
  expect(redeemed.status).toBe(200)
})

describe('TOK-019: tokens fit into a header', () => {
  const scopesOf = (characters: number) => {
    const scopes: string[] = []
    for (let index = 0; [...scopes, `scope:${index}`].join(' ').length <= characters; index++)
      scopes.push(`scope:${index}`)
    return scopes
  }

  test('TOK-019: a scope set that would be too long is refused at start', () => {
    const start = (scopes: string[]) => () =>
      createAat({ issuer: 'https://a.example', resources: { 'https://a.example/api': { scopes } } })
    expect(start(Array.from({ length: 100 }, (_, index) => `a-rather-long-scope:${index}`))).toThrow(
      /at most 1000 fit into a token/,
    )
  })

  test('TOK-019: the largest scope set, the longest subject and the most custom claims stay within 4,096 characters', async () => {
    // What is left beside two bindings to keys and an id of 128 characters.
    const scopes = scopesOf(320)
    expect(scopes.length).toBeGreaterThan(30)
    const one = await startWorld({
      aat: (base) => ({
        resources: {
          [`${base}/api`]: { scopes: [...scopes, 'a', 'b'] },
          [`${base}/other`]: { scopes: ['x'] },
        },
        keys: { alg: 'RS256', rsaBits: 2048 },
        claims: () => ({ note: 'n'.repeat(980) }),
      }),
      authorize: {
        resolveUser: () => ({
          subject: 's'.repeat(255),
          authTime: 1_800_000_000,
          acr: 'a'.repeat(100),
          amr: ['pwd', 'otp'],
        }),
      },
    })
    try {
      const scope = [...scopes, 'a'].slice(-64).join(' ')
      const { status, body } = await one.signInAndGetTokens({ scope })
      expect(status).toBe(200)
      expect(body.access_token.length).toBeLessThanOrEqual(4096)
      expect((await one.call('/api/a', body.access_token)).status).toBe(200)
    } finally {
      await one.close()
    }
  })
})

test('TOK-020: token_type is Bearer, for every grant and client', async () => {
  const code = await world.signInAndGetTokens({ scope: 'a' })
  const byPublic = await world.signInAndGetTokens(
    { scope: 'a', client_id: PUBLIC.id },
    { client_id: PUBLIC.id },
  )
  const refreshed = await world.refresh(code.body.refresh_token)
  for (const { body } of [code, byPublic, refreshed, await clientToken()])
    expect(body.token_type).toBe('Bearer')
})
