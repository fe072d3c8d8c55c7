import { describe, expect, test } from '@jest/globals'
import type { AatOptions, DcrEndpointOptions } from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { dpopKey } from '../support/dpop.ts'
import { recordingStores, verbsOfRequests } from '../support/recording-stores.ts'
import { makeStores } from '../support/stores.ts'
import {
  basic,
  CONFIDENTIAL,
  manualClock,
  readAnswer,
  startWorld,
  type TokenAnswer,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const uri = 'https://app.example/cb'
const app = { redirect_uris: [uri], token_endpoint_auth_method: 'none' }
const partners = { grantTypes: ['client_credentials' as const], scopes: ['b'] }

async function withWorld(
  allow: DcrEndpointOptions['allow'],
  run: (world: World) => Promise<unknown>,
  more: WorldOptions = {},
): Promise<void> {
  const world = await startWorld({
    dcr: { allow },
    ...more,
    aat: (base) => ({
      registration: { policies: { partners, narrow: { scopes: ['a'] } } },
      corsOrigins: ['https://portal.example'],
      resources: {
        [`${base}/api`]: { scopes: ['a', 'b', 'clients:register'], defaultScopes: ['a'] },
        [`${base}/other`]: { scopes: ['a', 'x'] },
      },
      ...(typeof more.aat === 'function' ? more.aat(base) : more.aat),
    }),
  })
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

async function register(
  world: World,
  bearer: string | undefined,
  metadata: object = app,
  headers: Record<string, string> = {},
): Promise<TokenAnswer> {
  return readAnswer(
    await fetch(world.endpoint('register'), {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        ...(bearer !== undefined && { Authorization: `Bearer ${bearer}` }),
        ...headers,
      },
      body: JSON.stringify(metadata),
    }),
  )
}

const challengeOf = ({ headers }: TokenAnswer) => headers.get('www-authenticate')

function expectInvalidToken(answer: TokenAnswer): void {
  expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
  expect(challengeOf(answer)).toMatch(/^Bearer realm="registration", error="invalid_token"/)
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

describe('initial access tokens', () => {
  test('one use registers one client, by the policy of the token', () =>
    withWorld('initial-access-token', async (world) => {
      const made = await world.aat.initialAccessTokens.create({ policy: 'partners', label: 'Acme' })
      expect(made).toEqual({
        id: expect.stringMatching(/^[\w-]{22}$/),
        token: expect.stringMatching(/^aat_iat_[\w-]{64}$/),
        policy: 'partners',
        label: 'Acme',
        uses: 1,
        used: 0,
        createdAt: world.clock.now,
        expiresAt: world.clock.now + 86_400,
      })
      const machine = { grant_types: ['client_credentials'], scope: 'b' }
      const { status, body } = await register(world, made.token, machine)
      expect([status, body.grant_types]).toEqual([201, ['client_credentials']])
      const ask = (scope: string) =>
        world.token({ grant_type: 'client_credentials', scope }, basic(body.client_id, body.client_secret))
      expect([(await ask('b')).status, (await ask('a')).body.error]).toEqual([200, 'invalid_scope'])
      expectInvalidToken(await register(world, made.token, machine))
      expect((await world.aat.initialAccessTokens.list()).tokens).toEqual([
        expect.objectContaining({ id: made.id, used: 1, label: 'Acme' }),
      ])
      expect(world.eventsNamed('client.registered')).toEqual([
        expect.objectContaining({
          policy: 'partners',
          by: 'initial-access-token',
          initialAccessToken: made.id,
        }),
      ])
      expect(JSON.stringify(world.events)).not.toContain(made.token)
    }))

  test('DCR-046: of 100 registrations at once with a single-use token exactly one is 201, with three uses three', () =>
    withWorld('initial-access-token', async (world) => {
      for (const uses of [1, 3]) {
        const { token } = await world.aat.initialAccessTokens.create({ uses })
        const answers = await Promise.all(Array.from({ length: 100 }, () => register(world, token)))
        const statuses = answers.map(({ status }) => status).sort()
        expect(statuses).toEqual([...Array(uses).fill(201), ...Array(100 - uses).fill(401)])
      }
    }))

  test('what is refused uses nothing up', () =>
    withWorld('initial-access-token', async (world) => {
      const { token } = await world.aat.initialAccessTokens.create()
      for (const wrong of [{}, { redirect_uris: ['javascript:alert(1)'] }, { ...app, scope: 5 }, []])
        expect((await register(world, token, wrong)).status).toBe(400)
      expect((await register(world, token, app, { 'Content-Type': 'text/plain' })).status).toBe(400)
      expect((await register(world, token)).status).toBe(201)
    }))

  test('a store that cannot keep the client gives the use back', async () => {
    const clock = manualClock()
    const stores = await makeStores(clock)
    let away = true
    const create: typeof stores.clients.create = async (...parameters) => {
      if (away) throw new StoreUnavailable('away')
      return stores.clients.create(...parameters)
    }
    await withWorld(
      'initial-access-token',
      async (world) => {
        const { token } = await world.aat.initialAccessTokens.create()
        const { status, headers } = await register(world, token)
        expect([status, headers.get('retry-after')]).toEqual([503, '1'])
        away = false
        expect((await register(world, token)).status).toBe(201)
      },
      { clock, stores: { ...stores, clients: { ...stores.clients, create } } },
    )
  })

  test('revoked, expired, forged, cut and foreign ones are 401, and junk asks no store', async () => {
    const clock = manualClock()
    const { stores, calls } = recordingStores(await makeStores(clock))
    await withWorld(
      'initial-access-token',
      async (world) => {
        const { create, revoke } = world.aat.initialAccessTokens
        const revoked = await create()
        expect([await revoke(revoked.id), await revoke(revoked.id)]).toEqual(['revoked', 'unknown'])
        const expired = await create({ lifetime: 10 })
        world.clock.advance(10)
        const { token, id } = await create({ uses: 5 })
        const forged = `aat_iat_${Buffer.concat([Buffer.from(id, 'base64url'), Buffer.alloc(32)]).toString('base64url')}`
        for (const wrong of [revoked.token, expired.token, forged])
          expectInvalidToken(await register(world, wrong))
        calls.length = 0
        const last = token.at(-1) === 'A' ? 'B' : 'A'
        for (const junk of [
          token.slice(0, -1),
          `${token}A`,
          `aat_iat_`,
          'x',
          token.slice(8),
          token.toUpperCase(),
        ])
          expectInvalidToken(await register(world, junk))
        expect(verbsOfRequests(calls).filter((verb) => !verb.startsWith('counters.'))).toEqual([])
        expectInvalidToken(await register(world, token.slice(0, -1) + last))
        expect((await register(world, token)).status).toBe(201)
      },
      { clock, stores },
    )
  })

  test('at rest it is a hash, in answers of lists nothing of it', async () => {
    const clock = manualClock()
    const { stores, calls } = recordingStores(await makeStores(clock))
    await withWorld(
      'initial-access-token',
      async (world) => {
        const { token } = await world.aat.initialAccessTokens.create()
        await register(world, token)
        expect(JSON.stringify(calls)).not.toContain(token.slice(30))
        const { tokens } = await world.aat.initialAccessTokens.list()
        expect(Object.keys(tokens[0] ?? {})).not.toContain('hash')
      },
      { clock, stores },
    )
  })

  test('wrong options are told at once', () =>
    withWorld('initial-access-token', async (world) => {
      const { create, list } = world.aat.initialAccessTokens
      for (const [wrong, what] of [
        [{ policy: 'partner' }, 'did you mean partners?'],
        [{ uses: 0 }, 'uses'],
        [{ uses: 10_001 }, 'uses'],
        [{ lifetime: 0 }, 'lifetime'],
        [{ label: 5 }, 'label'],
        [{ use: 1 }, 'did you mean uses?'],
      ] as [never, string][])
        await expect(create(wrong)).rejects.toThrow(what)
      await expect(list({ cursor: 'x' })).rejects.toThrow(TypeError)
    }))
})

describe('access tokens', () => {
  const machineToken = async (world: World, scope: string, resource = world.resource) =>
    (await world.token({ grant_type: 'client_credentials', scope, resource })).body.access_token as string

  test('with clients:register open the door; others do not', () =>
    withWorld({ to: 'access-token', policy: 'narrow' }, async (world) => {
      const good = await machineToken(world, 'a clients:register')
      const { status, body } = await register(world, good, { ...app, scope: 'a b' })
      expect([status, body.scope]).toEqual([201, 'a'])
      expect(world.eventsNamed('client.registered')).toEqual([
        expect.objectContaining({ policy: 'narrow', by: 'access-token' }),
      ])

      const poor = await register(world, await machineToken(world, 'a'))
      expect([poor.status, poor.body.error]).toEqual([403, 'insufficient_scope'])
      expect(challengeOf(poor)).toBe(
        `Bearer realm="registration", error="insufficient_scope", scope="clients:register", resource_metadata="${world.base}/.well-known/oauth-protected-resource/api"`,
      )
      expectInvalidToken(await register(world, await machineToken(world, 'a', world.otherResource)))
      expectInvalidToken(await register(world, `${good.slice(0, -4)}AAAA`))
      expectInvalidToken(await register(world, 'x'))
      const { jti } = JSON.parse(Buffer.from(good.split('.')[1] ?? '', 'base64url').toString())
      await world.aat.revoke({ jti })
      expectInvalidToken(await register(world, good))
      const old = await machineToken(world, 'clients:register')
      world.clock.advance(306)
      expectInvalidToken(await register(world, old))
    }))

  test('one that is bound to a key does not: nothing here looks at proofs of it', () =>
    withWorld('access-token', async (world) => {
      const key = await dpopKey(world.clock)
      const { body } = await world.token(
        { grant_type: 'client_credentials', scope: 'clients:register' },
        {
          ...basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
          DPoP: key.proof('POST', world.endpoint('token')),
        },
      )
      expect(body.token_type).toBe('DPoP')
      expectInvalidToken(await register(world, body.access_token))
    }))

  test('opaque ones too, and of one whose uses are limited each registration is one, but none that is refused', () =>
    withWorld(
      'access-token',
      async (world) => {
        const token = await machineToken(world, 'clients:register')
        expect(token).not.toContain('.')
        const { events } = world
        const issued = events.find((event) => event.name === 'token.issued')
        await world.aat.denyList.add({ jti: (issued as { jti: string }).jti, maxUses: 2 })
        expect((await register(world, token, {})).status).toBe(400)
        expect((await register(world, token)).status).toBe(201)
        expect((await register(world, token)).status).toBe(201)
        expectInvalidToken(await register(world, token))
      },
      {
        aat: (base: string) => ({
          resources: {
            [`${base}/api`]: { scopes: ['a', 'b', 'clients:register'], accessTokenFormat: 'opaque' },
          },
        }),
        routes: false,
      },
    ))

  test('without credentials: 401 with where to get a token, and no error in the challenge', () =>
    withWorld('access-token', async (world) => {
      for (const headers of [{}, basic(CONFIDENTIAL.id, CONFIDENTIAL.secret), { Authorization: 'Bearer' }]) {
        const answer = await register(world, undefined, app, headers)
        expect(answer.status).toBe(401)
        expect(challengeOf(answer)).toBe(
          `Bearer realm="registration", scope="clients:register", resource_metadata="${world.base}/.well-known/oauth-protected-resource/api"`,
        )
      }
    }))
})

describe('several doors at one endpoint', () => {
  const allow: DcrEndpointOptions['allow'] = [
    { to: (req) => req.headers['x-portal'] === 'yes', policy: 'narrow' },
    'initial-access-token',
    'access-token',
    { to: 'anyone', policy: 'narrow' },
  ]

  test('each has its policy, and a bad token does not fall through to an open door', () =>
    withWorld(allow, async (world) => {
      const { token } = await world.aat.initialAccessTokens.create({ policy: 'partners' })
      const { body } = await world.token({ grant_type: 'client_credentials', scope: 'clients:register' })
      const machine = { grant_types: ['client_credentials'] }
      expect((await register(world, token, machine)).status).toBe(201)
      expect((await register(world, body.access_token)).status).toBe(201)
      expect((await register(world, undefined)).status).toBe(201)
      expect((await register(world, undefined, app, { 'X-Portal': 'yes' })).status).toBe(201)
      const events = world.events.filter((event) => event.name === 'client.registered')
      expect(events.map(({ by, policy }) => [by, policy])).toEqual([
        ['initial-access-token', 'partners'],
        ['access-token', 'default'],
        ['anyone', 'narrow'],
        ['app', 'narrow'],
      ])
      expectInvalidToken(await register(world, token, machine))
      expectInvalidToken(await register(world, 'x.y.z'))
    }))

  test('two Authorization headers are 400: a proxy may have read the other', () =>
    withWorld(allow, async (world) => {
      const { request } = await import('node:http')
      const status = await new Promise((resolve) => {
        const { hostname, port, pathname } = new URL(world.endpoint('register'))
        const req = request(
          {
            hostname,
            port,
            path: pathname,
            method: 'POST',
            headers: [
              'Host',
              hostname,
              'Content-Type',
              'application/json',
              'Authorization',
              'Bearer a',
              'Authorization',
              'Bearer b',
            ],
          },
          (res) => resolve(res.resume().statusCode),
        )
        req.end('{}')
      })
      expect(status).toBe(400)
    }))

  test('nobody: 403, whatever is presented', () =>
    withWorld('nobody', async (world) => {
      const { token } = await world.aat.initialAccessTokens.create()
      for (const bearer of [undefined, token]) {
        const { status, body } = await register(world, bearer)
        expect([status, body.error]).toEqual([403, 'access_denied'])
      }
      const metadata = await fetch(`${world.base}/.well-known/oauth-authorization-server`)
      expect(await metadata.json()).not.toHaveProperty('registration_endpoint')
    }))

  test('a browser of an allowed origin may ask, and reads the challenge', () =>
    withWorld('initial-access-token', async (world) => {
      const origin = 'https://portal.example'
      const preflight = await fetch(world.endpoint('register'), {
        method: 'OPTIONS',
        headers: { Origin: origin, 'Access-Control-Request-Method': 'POST' },
      })
      expect(preflight.headers.get('access-control-allow-headers')).toContain('Authorization')
      const { headers } = await register(world, 'x', app, { Origin: origin })
      expect(headers.get('access-control-allow-origin')).toBe(origin)
      expect(headers.get('access-control-expose-headers')).toContain('WWW-Authenticate')
      const foreign = await register(world, 'x', app, { Origin: 'https://evil.example' })
      expect(foreign.headers.get('access-control-allow-origin')).toBeNull()
    }))
})

test('a configuration that contradicts itself is told at once', async () => {
  const start = (allow: unknown, more: Partial<AatOptions> = {}) =>
    withWorld(allow as never, async () => undefined, { aat: more })
  for (const [allow, what] of [
    [['anyone', 'initial-access-token'], 'must come last'],
    [['initial-access-token', 'initial-access-token'], 'twice'],
    [{ to: 'anyone', policy: 'partner' }, 'not one of registration.policies'],
    [{ to: 'access-token', scope: 'nope' }, 'needs a resource that has the scope nope'],
    [{ to: 'access-token', scope: 'a' }, 'several resources have the scope a'],
    [{ to: 'access-token', resource: 'https://a.example' }, 'https://a.example is none'],
    [{ to: 'anyone', scope: 'a' }, 'scope and resource are for'],
    [['access-token', 'anyone'], 'could have clients:register and register others'],
    [{ to: 'nobody' }, 'allow.to'],
    [['nobody'], 'allow[0]'],
    [[], 'allow'],
    ['everyone', 'allow must be "nobody" or "anyone" or "initial-access-token" or "access-token"'],
    [{ too: 'anyone' }, 'did you mean to?'],
  ] as [unknown, string][])
    await expect(start(allow)).rejects.toThrow(what)
  await expect(start('access-token', { dpop: { required: true } })).rejects.toThrow('bound to a key')
})
