import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import express, { type Express } from 'express'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import {
  ConfigurationError,
  getAat,
  protectedResource,
  type RemoteIssuerOptions,
  remoteIssuer,
  requireAat,
} from '../../lib/index.ts'
import { DPOP_CHALLENGE, PROOF_ALGORITHMS } from '../support/dpop.ts'
import { until } from '../support/until.ts'
import { type ManualClock, manualClock, readAnswer, startWorld } from '../support/world.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

type Handler = (req: IncomingMessage, res: ServerResponse) => void

async function listen(handler: Handler): Promise<string> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Api {
  base: string
  resource: string
  app: Express
  faults: { error: unknown; reference: string }[]
  call: (token?: string, path?: string) => ReturnType<typeof readAnswer>
  /** Mounts the guard; apart from the address, since an issuer may have to know that first. */
  guardBy: (issuer: string, options?: Partial<RemoteIssuerOptions>) => void
}

/** An API in a process of its own: `/things` needs the scope `read`. */
async function startApi(clock: ManualClock): Promise<Api> {
  const app = express()
  const base = await listen(app)
  const resource = `${base}/things`
  const faults: Api['faults'] = []
  return {
    base,
    resource,
    app,
    faults,
    async call(token, path = '/things') {
      const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` }
      return readAnswer(await fetch(base + path, { headers }))
    },
    guardBy(issuer, options) {
      const remote = remoteIssuer(issuer, {
        resources: { [resource]: { scopes: ['read', 'write'] } },
        clock,
        onFault: (error, reference) => faults.push({ error, reference }),
        ...options,
      })
      app.use(protectedResource(remote))
      app.get('/things', requireAat(remote, { scope: 'read' }), (req, res) => {
        const { subject, scopes, clientId, principal, resource: url } = getAat(req)
        res.json({ subject, scopes, clientId, principal, resource: url })
      })
      app.use((_req, res) => {
        res.type('html').send('<!doctype html>')
      })
    },
  }
}

/** An API, and the suite as its issuer; `seen` are the requests for the issuer's documents. */
async function startBoth(options: Partial<RemoteIssuerOptions> = {}, issuerPath = '') {
  const clock = manualClock()
  const api = await startApi(clock)
  const seen: string[] = []
  const world = await startWorld({
    issuerPath,
    clock,
    before: (app) => {
      app.use((req, _res, next) => {
        if (req.path.includes('.well-known')) seen.push(req.path)
        next()
      })
    },
    aat: (base) => ({
      resources: {
        [api.resource]: { scopes: ['read', 'write'], defaultScopes: ['read'] },
        [`${base}/api`]: { scopes: ['a', 'b'] },
        [`${base}/other`]: { scopes: ['x'] },
      },
      defaultResource: api.resource,
    }),
  })
  closing.push(world.close)
  api.guardBy(world.issuer, options)
  const issue = async (scope = 'read', resource = api.resource): Promise<string> => {
    const { body } = await world.token({ grant_type: 'client_credentials', scope, resource })
    return body.access_token
  }
  return { world, api, clock, seen, issue }
}

/** An issuer that says whatever a test lets it say. */
async function startFakeIssuer(clock: ManualClock, audience: string) {
  const routes: Record<string, Handler> = {}
  const seen: string[] = []
  const issuer = await listen((req, res) => {
    seen.push(req.url ?? '')
    const route = routes[req.url ?? '']
    if (route !== undefined) return route(req, res)
    res.writeHead(404).end()
  })
  const keyPairs = new Map<string, CryptoKey>()
  const json = (body: unknown, headers: Record<string, string> = {}): Handler => {
    return (_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body))
    }
  }
  const metadataPath = '/.well-known/oauth-authorization-server'
  routes[metadataPath] = json({ issuer, jwks_uri: `${issuer}/keys` })
  return {
    issuer,
    routes,
    seen,
    json,
    metadataPath,
    async newKey(kid: string, alg = 'ES256') {
      const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
      keyPairs.set(kid, privateKey)
      return { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
    },
    sign: (kid: string, alg = 'ES256', lifetime = 300) =>
      new SignJWT({ client_id: 'c', scope: 'read' })
        .setProtectedHeader({ alg, typ: 'at+jwt', kid })
        .setIssuer(issuer)
        .setSubject('alice')
        .setAudience(audience)
        .setJti(`jti-${kid}`)
        .setIssuedAt(clock.now)
        .setExpirationTime(clock.now + lifetime)
        .sign(keyPairs.get(kid) as CryptoKey),
  }
}

async function startFake(options: Partial<RemoteIssuerOptions> = {}) {
  const clock = manualClock()
  const api = await startApi(clock)
  const fake = await startFakeIssuer(clock, api.resource)
  const key = await fake.newKey('k1')
  fake.routes['/keys'] = fake.json({ keys: [key] })
  api.guardBy(fake.issuer, options)
  return { clock, api, fake, key }
}

describe('an API whose issuer is elsewhere', () => {
  test.each([
    ['at the root', ''],
    ['with a path', '/tenant/one'],
  ])('accepts the tokens of an issuer %s, and refuses what they are not for', async (_name, path) => {
    const { api, issue, world, seen } = await startBoth({}, path)
    const good = await api.call(await issue())
    expect([good.status, good.body]).toEqual([
      200,
      {
        subject: 'client:confidential',
        scopes: ['read'],
        clientId: 'confidential',
        principal: 'client',
        resource: api.resource,
      },
    ])
    expect(seen).toEqual([`/.well-known/oauth-authorization-server${path}`, `${path}/.well-known/jwks.json`])

    const metadata = `${api.base}/.well-known/oauth-protected-resource/things`
    const narrow = await api.call(await issue('write'))
    expect([narrow.status, narrow.headers.get('www-authenticate')]).toEqual([
      403,
      `Bearer error="insufficient_scope", error_description="the access token does not have the scope that this needs", scope="read", resource_metadata="${metadata}"`,
    ])
    const elsewhere = await api.call(await issue('a', `${world.base}/api`))
    expect([elsewhere.status, elsewhere.body.error]).toEqual([401, 'invalid_token'])
    const expired = await issue()
    world.clock.advance(305)
    expect((await api.call(expired)).status).toBe(401)
    expect(api.faults).toEqual([])
  })

  test('its challenge leads to its metadata, and that to the issuer; other spellings are JSON 404s', async () => {
    const { api, world } = await startBoth()
    const none = await api.call()
    const url = `${api.base}/.well-known/oauth-protected-resource/things`
    expect([none.status, none.headers.get('www-authenticate')]).toEqual([
      401,
      `Bearer scope="read", resource_metadata="${url}", ${DPOP_CHALLENGE}`,
    ])
    const metadata = await fetch(url)
    expect(metadata.headers.get('access-control-allow-origin')).toBe(null)
    expect(await metadata.json()).toEqual({
      resource: api.resource,
      authorization_servers: [world.issuer],
      scopes_supported: ['read', 'write'],
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: PROOF_ALGORITHMS,
    })
    const fromPage = await fetch(url, { headers: { Origin: 'https://page.example' } })
    expect(fromPage.headers.get('access-control-allow-origin')).toBe('*')
    for (const path of [
      '/.well-known/oauth-protected-resource',
      '/.well-known/oauth-protected-resource/other',
      '/.well-known/oauth-authorization-server',
      '/.well-known/openid-configuration',
    ]) {
      const answer = await api.call(undefined, path)
      expect([path, answer.status, answer.headers.get('content-type')]).toEqual([
        path,
        404,
        'application/json',
      ])
    }
  })

  test('many requests at once on a cold start make one fetch of each document', async () => {
    const { api, issue, seen } = await startBoth()
    const token = await issue()
    const answers = await Promise.all(Array.from({ length: 50 }, () => api.call(token)))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
    expect(seen).toEqual(['/.well-known/oauth-authorization-server', '/.well-known/jwks.json'])
  })

  test('with jwksUri there is no discovery', async () => {
    const { api, fake } = await startFake()
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    const direct = await startApi(manualClock())
    direct.guardBy(fake.issuer, {
      jwksUri: `${fake.issuer}/keys`,
      resources: { [api.resource]: { scopes: ['read'] } },
    })
    fake.seen.length = 0
    expect((await direct.call(await fake.sign('k1'))).status).toBe(200)
    expect(fake.seen).toEqual(['/keys'])
  })

  test('ALG-007: unknown kids are 401, and cost at most one fetch in 30 seconds, however many there are', async () => {
    const { api, clock, fake } = await startFake()
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    fake.seen.length = 0
    await fake.newKey('forged')
    const forged = await fake.sign('forged')
    const [header = '', ...rest] = forged.split('.')
    const withKid = (kid: string) => {
      const changed = { ...JSON.parse(Buffer.from(header, 'base64url').toString()), kid }
      return [Buffer.from(JSON.stringify(changed)).toString('base64url'), ...rest].join('.')
    }
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, index) => api.call(withKid(`${round}-${index}`))),
      )
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]))
      expect((await api.call(await fake.sign('k1'))).status).toBe(200)
      // The first round is still within 30 seconds of the fetch for k1.
      expect(fake.seen).toEqual(Array.from({ length: round }, () => '/keys'))
      clock.advance(30)
    }
    expect(api.faults).toEqual([])
  })

  test('sees planned and immediate rotations', async () => {
    const { api, world, issue, clock, seen } = await startBoth()
    const first = await issue()
    expect((await api.call(first)).status).toBe(200)
    clock.advance(1)
    await world.aat.keys.rotate({ immediately: true })
    // The successor stood in the set before: no fetch.
    expect((await api.call(await issue())).status).toBe(200)
    expect(seen).toHaveLength(2)
    clock.advance(30)
    await world.aat.keys.rotate({ immediately: true })
    expect((await api.call(await issue())).status).toBe(200)
    expect(seen).toHaveLength(3)
    expect((await api.call(first)).status).toBe(200)
  })

  test('KEY-020: refuses the tokens of a revoked key once the served copy is over, with no fault', async () => {
    const { api, world, issue, clock } = await startBoth({ clockTolerance: 60 })
    clock.advance(100)
    const warm = await issue()
    expect((await api.call(warm)).status).toBe(200)
    clock.advance(250)
    const old = await issue()
    const [active] = world.aat.keys.status().keys.filter(({ state }) => state === 'active')
    await world.aat.keys.revoke(active?.kid ?? '')
    clock.advance(50)
    expect((await api.call(old)).status).toBe(401)
    expect((await api.call(await issue())).status).toBe(200)
    expect(api.faults).toEqual([])
  })

  test('EXP-020: a clock that jumps back prolongs no key: the set is fetched again, and once more where that fails', async () => {
    const { api, fake, clock } = await startFake()
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    const other = await fake.newKey('k2')
    const good = fake.json({ keys: [other] })
    const fetches = () => fake.seen.filter((url) => url === '/keys').length
    fake.routes['/keys'] = (_req, res) => res.writeHead(500).end()
    clock.now -= 400
    const old = await fake.sign('k1')
    expect((await api.call(old)).status).toBe(200)
    await until('the attempt', () => fetches() === 2)
    fake.routes['/keys'] = good
    clock.advance(5)
    expect((await api.call(old)).status).toBe(200)
    await until('the new set', async () => (await api.call(old)).status === 401)
    expect([(await api.call(await fake.sign('k2'))).status, fetches()]).toEqual([200, 3])
  })

  test('EXP-020: nor where they cannot be fetched any more: they go on for an hour after their time, by the new clock', async () => {
    const { api, fake, clock } = await startFake()
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    let failed = 0
    fake.routes['/keys'] = (_req, res) => res.writeHead(500).end(() => failed++)
    const statusAfter = async (seconds: number) => {
      clock.advance(seconds)
      await api.call(await fake.sign('k1'))
      return (await api.call(await fake.sign('k1'))).status
    }
    clock.now -= 2000
    expect(await statusAfter(0)).toBe(200)
    await until('the attempt', () => failed > 0)
    expect(await statusAfter(600 + 3590)).toBe(200)
    expect(await statusAfter(20)).toBe(503)
  })

  test('without any keys it is 503 with Retry-After, never 401, and it recovers by itself', async () => {
    const { api, fake, clock } = await startFake()
    const keys = fake.routes['/keys'] as Handler
    fake.routes['/keys'] = (_req, res) => res.writeHead(500).end('secret detail')
    const token = await fake.sign('k1')
    for (let round = 1; round <= 3; round++) {
      const answers = await Promise.all(Array.from({ length: 5 }, () => api.call(token)))
      for (const { status, headers, body, text } of answers) {
        expect([status, headers.get('retry-after'), headers.get('www-authenticate')]).toEqual([
          503,
          '5',
          null,
        ])
        expect(headers.get('cache-control')).toBe('no-store')
        expect(body.error).toBe('temporarily_unavailable')
        expect(text).not.toMatch(/secret|keys|127\.0\.0\.1/)
        const fault = api.faults.find(({ reference }) => body.error_description.includes(reference))
        expect(fault?.error).toMatchObject({ cause: { message: expect.stringContaining('answered 500') } })
      }
      // Not the client's doing either: no token is still 401, and nothing is fetched for it.
      expect((await api.call()).status).toBe(401)
      expect((await api.call('not-a-jwt')).status).toBe(401)
      expect(fake.seen.filter((url) => url === '/keys')).toHaveLength(round)
      clock.advance(5)
    }
    fake.routes['/keys'] = keys
    expect((await api.call(token)).status).toBe(200)
  })

  test('known keys go on for an hour while the issuer is away; a kid that is not known is 503 then', async () => {
    const { api, fake, clock } = await startFake()
    await fake.newKey('k2')
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    const keys = fake.routes['/keys'] as Handler
    fake.routes['/keys'] = (req) => req.destroy()
    clock.advance(601)
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    expect((await api.call(await fake.sign('k2'))).status).toBe(503)
    fake.seen.length = 0
    for (let second = 0; second < 50; second++) {
      expect((await api.call(await fake.sign('k1'))).status).toBe(200)
      clock.advance(1)
    }
    expect(fake.seen.filter((url) => url === '/keys').length).toBeLessThanOrEqual(10)
    clock.advance(3600)
    expect((await api.call(await fake.sign('k1'))).status).toBe(503)
    fake.routes['/keys'] = keys
    clock.advance(5)
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
  })

  test('an issuer that hangs does not hold up requests with known keys', async () => {
    let answer: (response: Response) => void = () => {}
    let network: typeof fetch = fetch
    const { api, fake, clock, key } = await startFake({ fetch: (...args) => network(...args) })
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    clock.advance(601)
    network = async () => {
      throw new TypeError('fetch failed')
    }
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    clock.advance(5)
    let attempts = 0
    network = () => {
      attempts++
      return new Promise((resolve) => {
        answer = resolve
      })
    }
    // These would never be answered if they waited for the attempt.
    for (let request = 0; request < 3; request++)
      expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    expect(attempts).toBe(1)
    // It recovers with the attempt that they did not wait for: the answer is the metadata, then the set.
    const k2 = await fake.newKey('k2')
    network = async () => new Response(JSON.stringify({ keys: [k2, key] }))
    const waiting = fake.sign('k2').then((token) => api.call(token))
    answer(new Response(JSON.stringify({ issuer: fake.issuer, jwks_uri: `${fake.issuer}/keys` })))
    expect((await waiting).status).toBe(200)
  })

  test('an audience of its own, and a default among several resources', async () => {
    const clock = manualClock()
    const api = await startApi(clock)
    const fake = await startFakeIssuer(clock, 'the-things')
    fake.routes['/keys'] = fake.json({ keys: [await fake.newKey('k1')] })
    api.guardBy(fake.issuer, {
      resources: {
        [`${api.base}/other`]: { scopes: ['read'] },
        [api.resource]: { scopes: ['read'], audience: 'the-things' },
      },
      defaultResource: api.resource,
    })
    const answer = await api.call(await fake.sign('k1'))
    expect([answer.status, answer.body.resource]).toEqual([200, api.resource])
    const metadata = await api.call(undefined, '/.well-known/oauth-protected-resource/other')
    expect(metadata.body.resource).toBe(`${api.base}/other`)
  })

  test('finds a JWK Set that has moved', async () => {
    const { api, fake, clock, key } = await startFake()
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    delete fake.routes['/keys']
    fake.routes[fake.metadataPath] = fake.json({ issuer: fake.issuer, jwks_uri: `${fake.issuer}/moved` })
    fake.routes['/moved'] = fake.json({ keys: [await fake.newKey('k2'), key] })
    clock.advance(601)
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    clock.advance(30)
    expect((await api.call(await fake.sign('k2'))).status).toBe(200)
  })

  test.each([
    ['max-age=60', 60],
    ['public, s-maxage=5, max-age=120', 120],
    ['no-store', 30],
    ['No-Cache, max-age=600', 30],
    ['private', 600],
    ['max-age=0', 30],
    ['max-age=86400', 600],
  ])(
    'the set served with Cache-Control %s is good for %d seconds, and is fetched ahead',
    async (header, seconds) => {
      const { api, fake, clock, key } = await startFake()
      fake.routes['/keys'] = fake.json({ keys: [key] }, { 'Cache-Control': header })
      const ask = async () => (await api.call(await fake.sign('k1'))).status
      const fetches = () => fake.seen.filter((url) => url === '/keys').length
      expect([await ask(), fetches()]).toEqual([200, 1])
      clock.advance(Math.floor(seconds * 0.8) - 1)
      expect([await ask(), fetches()]).toEqual([200, 1])
      clock.advance(Math.ceil(seconds * 0.2) + 1)
      expect(await ask()).toBe(200)
      await until('the second fetch', () => fetches() === 2)
    },
  )

  test.each<[string, Partial<RemoteIssuerOptions>, string, number]>([
    ['an hour between fetches for unknown keys', { cooldown: 3600 }, '', 600],
    ['the same, and a shorter max-age', { cooldown: 3600 }, 'max-age=120', 120],
    ['the same, of a set that must not be kept', { cooldown: 3600 }, 'no-store', 30],
    ['a lifetime shorter than that', { cacheLifetime: 5 }, '', 5],
    ['a max-age that is hardly longer', {}, 'max-age=33', 33],
  ])(
    'KEY-020: with %s a set is fetched ahead, and a key that is taken out of it refused in time',
    async (_name, options, header, seconds) => {
      const { api, fake, clock, key } = await startFake(options)
      const k2 = await fake.newKey('k2')
      const serve = (...keys: object[]) => {
        fake.routes['/keys'] = fake.json({ keys }, header === '' ? {} : { 'Cache-Control': header })
      }
      serve(key)
      const ask = async () => (await api.call(await fake.sign('k1'))).status
      const fetches = () => fake.seen.filter((url) => url === '/keys').length
      expect([await ask(), fetches()]).toEqual([200, 1])
      serve(key, k2)
      clock.advance(Math.floor(seconds * 0.85))
      expect(await ask()).toBe(200)
      await until('the fetch ahead', () => fetches() === 2)
      const warm = await fake.sign('k1', 'ES256', 3600)
      expect([(await api.call(warm)).status, (await api.call(await fake.sign('k2'))).status]).toEqual([
        200, 200,
      ])
      serve(k2)
      clock.advance(seconds)
      expect((await api.call(warm)).status).toBe(401)
      expect([await ask(), (await api.call(await fake.sign('k2'))).status]).toEqual([401, 200])
      expect([fetches(), api.faults]).toEqual([3, []])
    },
  )

  test('what a cache on the way has used of max-age is not left', async () => {
    const { api, fake, clock, key } = await startFake()
    fake.routes['/keys'] = fake.json({ keys: [key] }, { 'Cache-Control': 'max-age=300', Age: '200' })
    const fetches = () => fake.seen.filter((url) => url === '/keys').length
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    clock.advance(101)
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    expect(fetches()).toBe(2)
  })

  test('hydrate() has the keys before the first request, says why it cannot, and may be tried again', async () => {
    const clock = manualClock()
    const api = await startApi(clock)
    const fake = await startFakeIssuer(clock, api.resource)
    fake.routes['/keys'] = fake.json({ keys: [] })
    const remote = remoteIssuer(fake.issuer, { resources: { [api.resource]: { scopes: ['read'] } }, clock })
    await expect(remote.hydrate()).rejects.toThrow(`the JWK Set of ${fake.issuer} cannot be had`)
    await expect(remote.hydrate()).rejects.toMatchObject({
      cause: { message: `${fake.issuer}/keys has no usable key` },
    })
    fake.routes['/keys'] = fake.json({ keys: [await fake.newKey('k1')] })
    await Promise.all([remote.hydrate(), remote.hydrate()])
    const before = fake.seen.length
    await remote.hydrate()
    api.app.get('/things', requireAat(remote, { scope: 'read' }), (_req, res) => void res.json({}))
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    expect(fake.seen).toHaveLength(before)
  })

  test('nobody waits for a set that is fetched ahead, also where the issuer hangs', async () => {
    const { api, fake, clock, key } = await startFake()
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    const waiting: ServerResponse[] = []
    fake.routes['/keys'] = (_req, res) => void waiting.push(res)
    clock.advance(599)
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    await until('the fetch', () => waiting.length === 1)
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    waiting[0]?.end(JSON.stringify({ keys: [key] }))
    clock.advance(2)
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    expect(waiting).toHaveLength(1)
  })

  const other = { issuer: 'https://other.example', jwks_uri: 'https://other.example/keys' }
  const hostile: [string, (fake: Awaited<ReturnType<typeof startFakeIssuer>>) => void][] = [
    [
      'metadata of another issuer',
      ({ routes, metadataPath, json }) => {
        routes[metadataPath] = json(other)
      },
    ],
    [
      'metadata whose issuer has a slash more',
      ({ routes, metadataPath, json, issuer }) => {
        routes[metadataPath] = json({ issuer: `${issuer}/`, jwks_uri: `${issuer}/keys` })
      },
    ],
    [
      'metadata without jwks_uri',
      ({ routes, metadataPath, json, issuer }) => {
        routes[metadataPath] = json({ issuer })
      },
    ],
    ...['http://169.254.169.254/keys', 'file:///etc/passwd', 'data:application/json,{}', 7, null].map(
      (uri): (typeof hostile)[number] => [
        `jwks_uri ${JSON.stringify(uri)}`,
        ({ routes, metadataPath, json, issuer }) => {
          routes[metadataPath] = json({ issuer, jwks_uri: uri })
        },
      ],
    ),
    [
      'metadata that redirects',
      ({ routes, metadataPath }) => {
        routes[metadataPath] = (_req, res) => res.writeHead(302, { Location: '/target' }).end()
      },
    ],
    [
      'a set that redirects',
      ({ routes }) => {
        routes['/keys'] = (_req, res) => res.writeHead(307, { Location: '/target' }).end()
      },
    ],
    [
      'a set that is a page',
      ({ routes }) => {
        routes['/keys'] = (_req, res) =>
          res.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><p>{"keys":[]}')
      },
    ],
    [
      'a set that is an array',
      ({ routes, json }) => {
        routes['/keys'] = json([])
      },
    ],
    [
      'a set without keys',
      ({ routes, json }) => {
        routes['/keys'] = json({ keys: [] })
      },
    ],
    [
      'keys that are no list',
      ({ routes, json }) => {
        routes['/keys'] = json({ keys: { length: 1 } })
      },
    ],
    [
      'a set that never ends',
      ({ routes }) => {
        routes['/keys'] = (_req, res) => {
          const chunk = Buffer.alloc(16_384, 0x20)
          const more = () => {
            while (!res.destroyed && res.write(chunk));
          }
          res.on('drain', more)
          more()
        }
      },
    ],
    [
      'a set that does not come within the timeout',
      ({ routes }) => {
        routes['/keys'] = (_req, res) => {
          res.writeHead(200, { 'Content-Type': 'application/json' }).write('{"keys":')
        }
      },
    ],
  ]
  test.each(hostile)('refuses %s: 503', async (_name, change) => {
    const { api, fake, key } = await startFake({ timeout: 1 })
    fake.routes['/target'] = fake.json({ issuer: fake.issuer, jwks_uri: `${fake.issuer}/keys`, keys: [key] })
    change(fake)
    const answer = await api.call(await fake.sign('k1'))
    expect([answer.status, answer.headers.get('retry-after'), api.faults.length]).toEqual([503, '5', 1])
    expect(fake.seen).not.toContain('/target')
  })

  test('ALG-008: a JWK without alg, or for something else, is not there; the others are', async () => {
    const { api, fake, key } = await startFake()
    const { alg: _without, ...noAlg } = await fake.newKey('no-alg')
    const forEncryption = { ...(await fake.newKey('for-encryption')), use: 'enc' }
    const misfit = { ...(await fake.newKey('misfit')), alg: 'ES384' }
    const foreign = { ...(await fake.newKey('foreign')), alg: 'HS256' }
    const { kid: _kid, ...noKid } = await fake.newKey('no-kid')
    const secret = { kty: 'oct', k: 'AAAA', kid: 'secret', alg: 'HS256' }
    fake.routes['/keys'] = fake.json({
      keys: [null, 'key', secret, noAlg, noKid, forEncryption, misfit, foreign, key],
    })
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    for (const kid of ['no-alg', 'for-encryption', 'misfit', 'foreign', 'no-kid']) {
      const answer = await api.call(await fake.sign(kid))
      expect([kid, answer.status, answer.body.error]).toEqual([kid, 401, 'invalid_token'])
    }
  })

  test('an issuer with a slash at its end is asked where RFC 8414 §3.1 says', async () => {
    const clock = manualClock()
    const api = await startApi(clock)
    const asked: string[] = []
    api.guardBy('https://issuer.example/tenant/', {
      fetch: async (url) => {
        asked.push(String(url))
        return new Response('{}')
      },
    })
    const fake = await startFakeIssuer(clock, api.resource)
    await fake.newKey('k1')
    expect((await api.call(await fake.sign('k1'))).status).toBe(503)
    expect(asked).toEqual(['https://issuer.example/.well-known/oauth-authorization-server/tenant'])
  })

  test('the network and the time are options: a verifier without either', async () => {
    const clock = manualClock()
    const api = await startApi(clock)
    const fake = await startFakeIssuer(clock, api.resource)
    const key = await fake.newKey('k1')
    const asked: { url: string; init: RequestInit | undefined }[] = []
    api.guardBy(fake.issuer, {
      fetch: async (url, init) => {
        asked.push({ url: String(url), init })
        const body =
          asked.length === 1 ? { issuer: fake.issuer, jwks_uri: `${fake.issuer}/keys` } : { keys: [key] }
        return new Response(JSON.stringify(body))
      },
    })
    expect((await api.call(await fake.sign('k1'))).status).toBe(200)
    expect(asked.map(({ url }) => url)).toEqual([fake.issuer + fake.metadataPath, `${fake.issuer}/keys`])
    for (const { init } of asked)
      expect([init?.redirect, init?.signal instanceof AbortSignal]).toEqual(['error', true])
    expect(fake.seen).toEqual([])
  })

  test('wrong options are refused while the app starts', () => {
    const resources = { 'https://api.example/things': { scopes: ['read'] } }
    const wrong: [string, () => unknown][] = [
      ['must be https', () => remoteIssuer('http://issuer.example', { resources })],
      ['cacheLifetime', () => remoteIssuer('https://i.example', { resources, cacheLifetme: 1 } as never)],
      ['resources', () => remoteIssuer('https://i.example', {} as never)],
      ['jwksUri', () => remoteIssuer('https://i.example', { resources, jwksUri: 'http://i.example/keys' })],
      [
        'defaultResource',
        () => remoteIssuer('https://i.example', { resources, defaultResource: 'https://x.example' }),
      ],
      [
        'resource',
        () => requireAat(remoteIssuer('https://i.example', { resources }), { resource: 'https://x.example' }),
      ],
    ]
    for (const [words, make] of wrong) {
      expect(make).toThrow(ConfigurationError)
      expect(make).toThrow(words)
    }
    expect(() => protectedResource({ issuer: 'https://i.example', hydrate: async () => undefined })).toThrow(
      TypeError,
    )
  })
})
