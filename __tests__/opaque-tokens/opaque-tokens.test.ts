import { randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { createAat, getAat, requireAat } from '../../lib/index.ts'
import { tokenHash } from '../../lib/protocol/digest.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { keysOf } from '../../lib/stores/redis/keys.ts'
import { bound, IDP, learn, sessionOf, signedIn } from '../idp-sessions/sessions.ts'
import { athOf, type DpopKey, dpopKey } from '../support/dpop.ts'
import { basic, CONFIDENTIAL, claimsOf, REDIRECT_URI, startWorld } from '../support/world.ts'
import { introspect, resourcesAt, start, statusOf } from './world.ts'

const asClient = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const placeOf = (token: string) => ({
  home: Buffer.from(token.slice(7), 'base64url').toString('base64url', 0, 16),
  hash: tokenHash(token),
})
const OPAQUE = /^aat_at_[A-Za-z0-9_-]{86}$/

describe('an opaque access token', () => {
  test('of every grant type says nothing, and does all that a JWT does', async () => {
    const world = await start()
    const { body: first } = await world.signInAndGetTokens({ scope: 'a b' })
    const { body: second } = await world.refresh(first.refresh_token)
    const { body: own } = await world.token({ grant_type: 'client_credentials', scope: 'a b' })
    for (const body of [first, second, own]) {
      expect(body).toMatchObject({
        access_token: expect.stringMatching(OPAQUE),
        token_type: 'Bearer',
        expires_in: 300,
      })
      expect(await statusOf(world, body.access_token, '/api/ab')).toBe(200)
    }
    expect((await world.call('/api/user', first.access_token)).body).toMatchObject({
      subject: 'alice',
      scopes: ['a', 'b'],
      principal: 'user',
      claims: {
        iss: world.issuer,
        aud: world.resource,
        client_id: CONFIDENTIAL.id,
        grant_id: expect.any(String),
      },
    })
    expect((await world.call('/api/user', own.access_token)).status).toBe(403)
    expect(await statusOf(world, first.access_token, '/other/x')).toBe(401)
  })

  test('TOK-016: is no refresh token and no code, and those are none of it, even with its prefix', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const { code, verifier } = await world.authorize()
    const exchange = (text: string) =>
      world.token({
        ...{ grant_type: 'authorization_code', code: text, code_verifier: verifier },
        redirect_uri: REDIRECT_URI,
      })
    for (const text of [body.access_token, body.access_token.replace('aat_at_', 'aat_rt_')])
      expect((await world.refresh(text)).body.error).toBe('invalid_grant')
    for (const text of [body.access_token, body.access_token.replace('aat_at_', 'aat_ac_')])
      expect((await exchange(text)).body.error).toBe('invalid_grant')
    // A code has the size of an opaque token, and a valid tag of its own kind.
    expect(code.length).toBe(body.access_token.length)
    for (const text of [code, body.refresh_token])
      expect(await statusOf(world, text.replace(/^aat_.._/, 'aat_at_'))).toBe(401)
    expect(world.reads()).toBe(0)
    expect((await exchange(code)).status).toBe(200)
  })

  test('carries what the claims hook adds', async () => {
    const world = await start({
      aat: { claims: () => ({ tenant: 't-1' }) },
      after: (app, aat) => {
        app.get('/api/tenant', requireAat(aat), (req, res) => {
          res.json(getAat<{ tenant: string }>(req).claims.tenant)
        })
      },
    })
    const { body } = await world.signInAndGetTokens()
    expect((await world.call('/api/tenant', body.access_token)).body).toBe('t-1')
  })

  test('is kept by its hash: neither the token nor its secret is in the store', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const text = JSON.stringify(world.calls)
    const secret = body.access_token.slice('aat_at_'.length)
    expect(text).not.toContain(secret)
    expect(text).not.toContain(secret.slice(0, 42))
    expect(text).toContain(tokenHash(body.access_token))
    expect(JSON.stringify(world.events)).not.toContain(secret)
  })

  test('lies where its grant lies, so that who could open that can keep it; a client’s own lies anywhere', async () => {
    const world = await start()
    const { body: first } = await world.signInAndGetTokens()
    const { body: second } = await world.refresh(first.refresh_token)
    const { claims } = (await world.call('/api/a', second.access_token)).body
    for (const { access_token } of [first, second]) expect(placeOf(access_token).home).toBe(claims.grant_id)
    const keys = keysOf('aat:')
    const slotOf = (key: string) => /\{(.*)\}/.exec(key)?.[1]
    expect(slotOf(keys.accessToken(placeOf(second.access_token)))).toBe(slotOf(keys.family(claims.grant_id)))
    const homes = new Set<string>()
    for (let count = 0; count < 5; count++) {
      const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
      homes.add(placeOf(body.access_token).home)
    }
    expect(homes.size).toBe(5)
  })

  test('is refused from its end on, and its claims are gone', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    world.clock.now += 299.5
    expect(await statusOf(world, body.access_token)).toBe(200)
    expect((await introspect(world, body.access_token)).active).toBe(true)
    world.clock.now += 0.5
    expect(await introspect(world, body.access_token)).toEqual({ active: false })
    world.clock.now += 5
    expect(await statusOf(world, body.access_token)).toBe(401)
    expect(await world.stores.accessTokens.read(placeOf(body.access_token))).toBeUndefined()
  })
})

describe('what it costs', () => {
  test('one look into the store, and none once it is known', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const before = world.calls.length
    for (let round = 0; round < 20; round++) expect(await statusOf(world, body.access_token)).toBe(200)
    expect(await statusOf(world, body.access_token, '/api/user')).toBe(200)
    expect(world.calls.slice(before).filter(({ verb }) => verb !== 'since')).toHaveLength(1)
    expect(world.reads()).toBe(1)
  })

  test('one look for any number of requests at once', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const statuses = await Promise.all(Array.from({ length: 30 }, () => statusOf(world, body.access_token)))
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(world.reads()).toBe(1)
  })

  test('junk costs none, however much it looks like one', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const good: string = body.access_token
    const flipped = good.slice(0, -1) + (good.endsWith('A') ? 'B' : 'A')
    const junk = [
      ...Array.from({ length: 50 }, () => `aat_at_${randomBytes(64).toString('base64url')}`),
      flipped,
      good.slice(0, -1),
      `${good}A`,
      good.toUpperCase(),
      good.replace('aat_at_', 'aat_rt_'),
      `aat_at_${'A'.repeat(86)}`,
      `${good}.${good}.${good}`,
      'aat_at_',
    ]
    for (const token of junk) {
      expect([token, await statusOf(world, token)]).toEqual([token, 401])
      expect(await introspect(world, token)).toEqual({ active: false })
    }
    expect(world.reads()).toBe(0)
  })

  test('a token that is over costs one look each time, and is refused', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    world.clock.now += 1000
    expect(await statusOf(world, body.access_token)).toBe(401)
    expect(world.reads()).toBe(1)
  })
})

describe('revocation', () => {
  test('REV-002: at the revocation endpoint: refused here and elsewhere, deleted, and the family lives', async () => {
    const world = await start()
    const other = await start({ stores: world.stores, clock: world.clock, issuer: world.issuer })
    const { body } = await world.signInAndGetTokens()
    for (const one of [world, other]) expect(await statusOf(one, body.access_token)).toBe(200)
    const answer = await world.post(world.endpoint('revoke'), { token: body.access_token }, asClient)
    expect([answer.status, answer.text]).toEqual([200, '{}'])
    expect(await world.stores.accessTokens.read(placeOf(body.access_token))).toBeUndefined()
    // A hit in the other's memory: the log tells, as for any token.
    await other.aat.denyList.list()
    for (const one of [world, other]) expect(await statusOf(one, body.access_token)).toBe(401)
    expect(await introspect(world, body.access_token)).toEqual({ active: false })
    expect((await world.refresh(body.refresh_token)).status).toBe(200)
  })

  test('REV-005: another client’s attempt changes nothing', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const answer = await world.post(world.endpoint('revoke'), {
      token: body.access_token,
      client_id: 'public',
    })
    expect(answer.status).toBe(200)
    expect(await statusOf(world, body.access_token)).toBe(200)
    expect(world.eventsNamed('token.foreign')).toHaveLength(1)
  })

  test('it ends with its grant, its client, its user, by its jti, and with a reused refresh token', async () => {
    const world = await start({ aat: { refreshTokens: { grace: 0 } } })
    const ways: [
      string,
      (tokens: { refresh_token: string }, claims: Record<string, string>) => Promise<unknown>,
    ][] = [
      ['jti', (_, { jti }) => world.aat.revoke({ jti: String(jti) })],
      ['grant', (_, claims) => world.aat.revoke({ grantId: String(claims.grant_id) })],
      [
        'refresh token',
        ({ refresh_token }) => world.post(world.endpoint('revoke'), { token: refresh_token }, asClient),
      ],
      [
        'reuse',
        async ({ refresh_token }) => {
          await world.refresh(refresh_token)
          await world.refresh(refresh_token)
        },
      ],
      ['client', () => world.aat.revoke({ clientId: CONFIDENTIAL.id })],
      ['user', () => world.aat.revoke({ subject: 'alice' })],
      ['everybody', () => world.aat.revoke({ before: world.clock() })],
    ]
    for (const [name, end] of ways) {
      world.clock.now += 2
      const { body } = await world.signInAndGetTokens()
      const { claims } = (await world.call('/api/a', body.access_token)).body
      const { body: spare } = await world.signInAndGetTokens({}, {}, { as: 'bob' })
      expect([name, await statusOf(world, body.access_token)]).toEqual([name, 200])
      await end(body, claims)
      expect([name, await statusOf(world, body.access_token)]).toEqual([name, 401])
      const isSpared = name !== 'client' && name !== 'everybody'
      expect([name, await statusOf(world, spare.access_token)]).toEqual([name, isSpared ? 200 : 401])
    }
  })
})

describe('a session at an identity provider', () => {
  test('EXP-011: an opaque token does not outlive the session that bounds it', async () => {
    const world = await start({ aat: bound() })
    signedIn(world, sessionOf(world, 's1', 40))
    const { body } = await world.signInAndGetTokens()
    expect(body).toMatchObject({ access_token: expect.stringMatching(OPAQUE), expires_in: 40 })
    world.clock.now += 45
    expect(await statusOf(world, body.access_token)).toBe(401)
  })

  test('EXP-010: it ends with the session, at instances that remember it too', async () => {
    const world = await start({ aat: bound() })
    const other = await start({
      ...{ stores: world.stores, clock: world.clock, issuer: world.issuer },
      aat: bound(),
    })
    signedIn(world, sessionOf(world, 's1', 1000))
    const { body } = await world.signInAndGetTokens()
    for (const one of [world, other]) expect(await statusOf(one, body.access_token)).toBe(200)
    await world.aat.idpSessions.end({ issuer: IDP, sid: 's1' })
    await learn(other)
    for (const one of [world, other]) expect(await statusOf(one, body.access_token)).toBe(401)
    expect(await introspect(world, body.access_token)).toEqual({ active: false })
  })
})

describe('introspection', () => {
  test('INT-001: tells its claims to the server of its resource, as of a JWT', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens({ scope: 'a b' })
    const answer = await introspect(world, body.access_token)
    const { claims } = (await world.call('/api/a', body.access_token)).body
    expect(answer).toEqual({ active: true, token_type: 'Bearer', ...claims })
    expect(answer).toMatchObject({ sub: 'alice', aud: world.resource, iss: world.issuer, scope: 'a b' })
  })

  test('INT-001: to its client it tells what that knows, and nothing of what is hidden in it', async () => {
    const world = await start({ aat: { claims: () => ({ tenant: 'hidden' }) } })
    const { body } = await world.signInAndGetTokens({ scope: 'a b' })
    const { claims } = (await world.call('/api/a', body.access_token)).body
    expect(claims.tenant).toBe('hidden')
    const { iss, aud, client_id, iat, exp, jti, scope } = claims
    expect(await introspect(world, body.access_token, asClient)).toEqual({
      ...{ active: true, token_type: 'Bearer' },
      ...{ iss, aud, client_id, iat, exp, jti, scope },
    })
  })

  test('INT-005: the server of another resource learns nothing of it', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens({ scope: 'x', resource: world.otherResource })
    expect(await introspect(world, body.access_token)).toEqual({ active: false })
    expect((await introspect(world, body.access_token, asClient)).active).toBe(true)
  })
})

describe('formats side by side', () => {
  test('a resource goes from JWT to opaque and back: tokens of before go on, at every instance', async () => {
    const before = await start({ format: 'jwt' })
    const after = await start({
      format: 'opaque',
      stores: before.stores,
      clock: before.clock,
      issuer: before.issuer,
    })
    const { body: jwt } = await before.signInAndGetTokens()
    expect(claimsOf(jwt.access_token).sub).toBe('alice')
    const { body: opaque } = await after.refresh(jwt.refresh_token)
    expect(opaque.access_token).toMatch(OPAQUE)
    const { body: jwtAgain } = await before.refresh(opaque.refresh_token)
    expect(jwtAgain.access_token.split('.')).toHaveLength(3)
    for (const world of [before, after])
      for (const { access_token } of [jwt, opaque, jwtAgain])
        expect(await statusOf(world, access_token)).toBe(200)
  })

  test('a client’s own format comes before its resource’s', async () => {
    const clients = [
      {
        clientId: CONFIDENTIAL.id,
        clientSecret: CONFIDENTIAL.secret,
        redirectUris: [REDIRECT_URI],
        grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'] as const,
      },
    ]
    for (const [format, own] of [
      ['jwt', 'opaque'],
      ['opaque', 'jwt'],
    ] as const) {
      const world = await start({
        format,
        aat: {
          clients: clients.map((client) => ({
            ...client,
            grantTypes: [...client.grantTypes],
            accessTokenFormat: own,
          })),
        },
      })
      const { body } = await world.signInAndGetTokens()
      expect(OPAQUE.test(body.access_token)).toBe(own === 'opaque')
      expect(await statusOf(world, body.access_token)).toBe(200)
      const { body: machine } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
      expect(OPAQUE.test(machine.access_token)).toBe(own === 'opaque')
    }
  })

  test('a wrong format is told while the app starts', () => {
    const resources = { 'https://a.example/api': { scopes: ['a'], accessTokenFormat: 'JWT' as 'jwt' } }
    expect(() => createAat({ issuer: 'https://a.example', resources })).toThrow(
      /accessTokenFormat must be "jwt" or "opaque"/,
    )
    const clients = [{ clientId: 'c', clientSecret: 'x'.repeat(16), accessTokenFormat: 'secret' as 'jwt' }]
    expect(() =>
      createAat({ issuer: 'https://a.example', resources: resourcesAt('https://a.example'), clients }),
    ).toThrow(/clients\[0\]\.accessTokenFormat/)
  })
})

describe('secrets and stores', () => {
  test('a token of an older secret goes on while that is listed', async () => {
    const [older, newer] = ['o'.repeat(40), 'n'.repeat(40)]
    const one = await start({ aat: { secrets: [older] } })
    const { body } = await one.signInAndGetTokens()
    const shared = { stores: one.stores, clock: one.clock, issuer: one.issuer }
    const both = await start({ ...shared, aat: { secrets: [newer, older] } })
    expect(await statusOf(both, body.access_token)).toBe(200)
  })

  test('a store that cannot answer is 503 with Retry-After, never 401; what is known goes on', async () => {
    const world = await start()
    const { body: known } = await world.signInAndGetTokens()
    const { body: unknown } = await world.signInAndGetTokens()
    expect(await statusOf(world, known.access_token)).toBe(200)
    world.stores.accessTokens.read = () => Promise.reject(new StoreUnavailable('away'))
    const other = await start({ stores: world.stores, clock: world.clock, issuer: world.issuer })
    expect(await statusOf(world, known.access_token)).toBe(200)
    for (const token of [known.access_token, unknown.access_token]) {
      const answer = await other.call('/api/a', token)
      expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable'])
      expect(answer.headers.get('retry-after')).not.toBeNull()
      expect((await other.post(other.endpoint('introspect'), { token }, asClient)).status).toBe(503)
    }
  })

  test('a token that could not be kept is not issued: 503, and a refresh can be repeated', async () => {
    const world = await start()
    const { body: first } = await world.signInAndGetTokens()
    const { save } = world.stores.accessTokens
    const failing = await start({
      stores: {
        ...world.stores,
        accessTokens: {
          ...world.stores.accessTokens,
          save: () => Promise.reject(new StoreUnavailable('away')),
        },
      },
      clock: world.clock,
      issuer: world.issuer,
    })
    expect(typeof save).toBe('function')
    expect((await failing.token({ grant_type: 'client_credentials', scope: 'a' })).body.error).toBe(
      'temporarily_unavailable',
    )
    expect((await failing.refresh(first.refresh_token)).status).toBe(503)
    const { status, body } = await world.refresh(first.refresh_token)
    expect(status).toBe(200)
    expect(await statusOf(world, body.access_token)).toBe(200)
  })

  test('a record of another issuer, or one that somebody wrote, is not believed', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const place = placeOf(body.access_token)
    const text = (await world.stores.accessTokens.read(place)) as string
    const claims = JSON.parse(text)
    for (const changed of [
      { ...claims, iss: 'https://other.example' },
      { ...claims, aud: 'https://other.example' },
      { ...claims, exp: claims.iat + 10_000_000 },
      { ...claims, iat: claims.iat + 3600, exp: claims.exp + 3600 },
      { ...claims, sub: '' },
      [],
    ]) {
      await world.stores.accessTokens.save(place, JSON.stringify(changed), world.clock() + 300)
      expect(await statusOf(world, body.access_token)).toBe(401)
    }
    await world.stores.accessTokens.save(place, 'not JSON', world.clock() + 300)
    expect(await statusOf(world, body.access_token)).toBe(401)
    await world.stores.accessTokens.save(place, text, world.clock() + 300)
    expect(await statusOf(world, body.access_token)).toBe(200)
  })

  test('of two issuers at one guard, the one whose token it is', async () => {
    const one = await start()
    const two = await startWorld({
      clock: one.clock,
      aat: () => ({
        resources: resourcesAt(one.base),
        secrets: ['another-secret-of-the-second-issuer-0123'],
      }),
      routes: false,
    })
    one.app.get('/api/both', requireAat([two.aat, one.aat], { resource: one.resource }), (req, res) => {
      res.json(getAat(req).claims.iss)
    })
    try {
      for (const world of [one, two]) {
        const { body } = await world.token({
          grant_type: 'client_credentials',
          scope: 'a',
          resource: one.resource,
        })
        expect((await one.call('/api/both', body.access_token)).body).toBe(world.issuer)
      }
      const junk = `aat_at_${randomBytes(64).toString('base64url')}`
      expect(await statusOf(one, junk, '/api/both')).toBe(401)
    } finally {
      await two.close()
    }
  })
})

describe('bound to a key', () => {
  test('an opaque token carries cnf: good with a proof of that key, and no bearer token', async () => {
    const world = await start()
    const key = await dpopKey(world.clock)
    const url = world.endpoint('token')
    const { body } = await world.token(
      { grant_type: 'client_credentials', scope: 'a' },
      { ...asClient, DPoP: key.proof('POST', url) },
    )
    expect(body).toMatchObject({ token_type: 'DPoP', access_token: expect.stringMatching(OPAQUE) })
    expect(await introspect(world, body.access_token)).toMatchObject({
      ...{ active: true, token_type: 'DPoP' },
      cnf: { jkt: key.jkt },
    })
    const present = (by: DpopKey, scheme = 'DPoP') =>
      world.call('/api/a', undefined, {
        Authorization: `${scheme} ${body.access_token}`,
        DPoP: by.proof('GET', `${world.base}/api/a`, { ath: athOf(body.access_token) }),
      })
    for (let count = 0; count < 3; count++) expect((await present(key)).status).toBe(200)
    expect(world.reads()).toBe(1)
    expect((await present(await dpopKey(world.clock))).status).toBe(401)
    expect((await present(key, 'Bearer')).status).toBe(401)
    expect(await statusOf(world, body.access_token)).toBe(401)
  })
})
