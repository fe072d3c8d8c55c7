import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { localReplays } from '../../lib/guard/local-replays.ts'
import { partsOf } from '../../lib/http/aat.ts'
import { getAat, type RemoteIssuerOptions, remoteIssuer, requireAat, type Stores } from '../../lib/index.ts'
import type { Sha256 } from '../../lib/protocol/digest.ts'
import { athOf, dpopKey } from '../support/dpop.ts'
import { forge } from '../support/forge.ts'
import { recordingStores } from '../support/recording-stores.ts'
import { makeStores } from '../support/stores.ts'
import { until } from '../support/until.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  headerOf,
  manualClock,
  PUBLIC,
  RESOURCE_SERVER,
  readAnswer,
  startWorld,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const credentials = { clientId: RESOURCE_SERVER.id, clientSecret: RESOURCE_SERVER.secret }
const jtiOf = (token: string) => String(claimsOf(token).jti)

async function start(options: WorldOptions = {}) {
  const world = await startWorld(options)
  closers.push(world.close)
  return world
}

/** An API that is elsewhere, in all but the process. */
async function startApi(
  world: World,
  options: Partial<RemoteIssuerOptions> = {},
  { guards = 1, onRequest = () => {} }: { guards?: number; onRequest?: () => void } = {},
): Promise<(token: string) => Promise<number>> {
  const issuer = remoteIssuer(world.issuer, {
    resources: { [world.resource]: { scopes: ['a', 'b', 'c'] } },
    clock: world.clock,
    introspection: credentials,
    onFault: () => undefined,
    ...options,
  })
  const app = express()
  app.use((_req, _res, next) => {
    onRequest()
    next()
  })
  for (let guard = 0; guard < guards; guard++) app.use(requireAat(issuer, { scope: 'a' }))
  app.get('/a', (req, res) => void res.json(getAat(req).subject))
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return async (token) =>
    (await fetch(`http://127.0.0.1:${port}/a`, { headers: { Authorization: `Bearer ${token}` } })).status
}

const opaque = (base: string) => ({
  resources: {
    [`${base}/api`]: { scopes: ['a', 'b', 'c'], defaultScopes: ['a'], accessTokenFormat: 'opaque' as const },
    [`${base}/other`]: { scopes: ['a', 'x'] },
  },
})

describe('two guards in one way: one for all of an API, one more for a route', () => {
  const twice: WorldOptions = {
    after: (app, aat) =>
      app.get(
        '/api/twice',
        requireAat(aat),
        requireAat(aat, { scope: 'a' }),
        requireAat(aat, { scope: 'b' }),
        (req, res) => void res.json(getAat(req).subject),
      ),
  }

  test('a DPoP proof is for the request, not for one of its guards; used again it is refused', async () => {
    const clock = manualClock()
    const world = await start({ ...twice, clock })
    const key = await dpopKey(clock)
    const { body } = await world.token(
      { grant_type: 'client_credentials', resource: world.resource, scope: 'a b' },
      { ...basic(CONFIDENTIAL.id, CONFIDENTIAL.secret), DPoP: key.proof('POST', world.endpoint('token')) },
    )
    const headers = {
      Authorization: `DPoP ${body.access_token}`,
      DPoP: key.proof('GET', `${world.base}/api/twice`, { ath: athOf(body.access_token) }),
    }
    const call = async () => readAnswer(await fetch(`${world.base}/api/twice`, { headers }))
    expect((await call()).status).toBe(200)
    expect((await call()).body.error).toBe('invalid_dpop_proof')
  })

  test('a request is one use of a token whose uses are limited', async () => {
    const world = await start(twice)
    const { body } = await world.token({
      grant_type: 'client_credentials',
      resource: world.resource,
      scope: 'a b',
    })
    await world.aat.denyList.add({ jti: jtiOf(body.access_token), maxUses: 2 })
    const statuses = []
    for (let use = 0; use < 3; use++)
      statuses.push((await world.call('/api/twice', body.access_token)).status)
    expect(statuses).toEqual([200, 200, 401])
  })

  test('at an API elsewhere, too', async () => {
    const world = await start({ aat: opaque })
    const { body } = await world.signInAndGetTokens()
    const { jti } = (await world.call('/api/a', body.access_token)).body.claims
    await world.aat.denyList.add({ jti, maxUses: 2 })
    const call = await startApi(world, {}, { guards: 3 })
    const statuses = []
    for (let use = 0; use < 3; use++) statuses.push(await call(body.access_token))
    expect(statuses).toEqual([200, 200, 401])
  })
})

test('INT-001: requests at once with a limited token are a use each, also at an API elsewhere', async () => {
  const world = await start({ aat: opaque })
  const { body } = await world.signInAndGetTokens()
  const { jti } = (await world.call('/api/a', body.access_token)).body.claims
  await world.aat.denyList.add({ jti, maxUses: 3 })
  const call = await startApi(world)
  const statuses = await Promise.all(Array.from({ length: 20 }, () => call(body.access_token)))
  expect(statuses.filter((status) => status === 200)).toHaveLength(3)
  expect(statuses.filter((status) => status === 401)).toHaveLength(17)
})

test('an opaque token of this process is shown to nobody else, whatever the order of the issuers', async () => {
  const shown: string[] = []
  const world = await start({
    aat: opaque,
    after(app, aat) {
      const partner = remoteIssuer('https://partner.example', {
        resources: { [`${aat.issuer}/api`]: { scopes: ['a', 'b', 'c'] } },
        introspection: { ...credentials, endpoint: 'https://partner.example/introspect' },
        async fetch(_url, init) {
          shown.push(String(init?.body))
          return Response.json({ active: false })
        },
      })
      app.get('/api/both', requireAat([partner, aat], { scope: 'a' }), (_req, res) => void res.end())
    },
  })
  const { body } = await world.signInAndGetTokens()
  expect((await world.call('/api/both', body.access_token)).status).toBe(200)
  expect(shown).toEqual([])
  const theirs = `aat_at_${randomBytes(64).toString('base64url')}`
  expect((await world.call('/api/both', theirs)).status).toBe(401)
  expect(shown).toHaveLength(1)
})

describe('a stranger with forged tokens', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  /** With the header and claims of a good token, and a signature of a stranger's. */
  const forged = (token: string) => forge(headerOf(token), claimsOf(token), 'ES256', privateKey)

  test('is known by his address at the revocation endpoint, and at introspection by who shows his tokens', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const { verifier } = partsOf(world.aat, 'test')
    const { verify } = verifier
    const blamed: unknown[] = []
    Object.assign(verifier, {
      verify(...[token, from]: Parameters<typeof verify>) {
        blamed.push(from?.())
        return verify(token, from)
      },
    })
    const token = forged(body.access_token)
    // Public clients need no secret there, so their names prove nothing.
    const asked = [
      await world.post(world.endpoint('revoke'), { client_id: PUBLIC.id, token }),
      await world.post(
        world.endpoint('introspect'),
        { token },
        basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret),
      ),
    ]
    expect(asked.map(({ status }) => status)).toEqual([200, 200])
    expect(blamed).toEqual(['127.0.0.1', `client:${RESOURCE_SERVER.id}`])
  })

  test('nested as deep as can be: refused as any other, and no fault of ours', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    const [header, , signature] = body.access_token.split('.')
    const claims = JSON.stringify(claimsOf(body.access_token)).slice(0, -1)
    const deep = Math.floor((8192 - body.access_token.length) * 0.37)
    const payload = `${claims},"x":${'['.repeat(deep)}${']'.repeat(deep)}}`
    const token = `${header}.${Buffer.from(payload).toString('base64url')}.${signature}`
    const answer = await world.call('/api/a', token)
    expect(token.length).toBeLessThanOrEqual(8192)
    expect(answer.status).toBe(401)
    expect(world.eventsNamed('fault')).toEqual([])
  })
})

test('an opaque token that is over asks the store once, however often it comes', async () => {
  const clock = manualClock()
  const { stores, calls } = recordingStores(await makeStores(clock))
  const world = await start({ clock, stores: stores as Stores, aat: opaque })
  const { body } = await world.signInAndGetTokens()
  await world.post(
    world.endpoint('revoke'),
    { token: body.access_token },
    basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
  )
  const another = await start({
    clock,
    stores: stores as Stores,
    aat: opaque(world.issuer),
    issuer: world.issuer,
  })
  const reads = () => calls.filter(({ store, verb }) => store === 'accessTokens' && verb === 'read').length
  const before = reads()
  for (let round = 0; round < 5; round++)
    expect((await another.call('/api/a', body.access_token)).status).toBe(401)
  expect(reads() - before).toBeLessThanOrEqual(1)
})

test.each([{}, Promise.resolve(undefined), { raw: Buffer.from('x') }, 5])(
  'a hook that returns no certificate at all is a fault of the app: 503 and told, never invalid_token',
  async (certificate) => {
    const clock = manualClock()
    let given: unknown = '0'.repeat(64)
    const world = await start({
      clock,
      aat: {
        clientCertificate: () => given as never,
        clients: [
          {
            clientId: CONFIDENTIAL.id,
            clientSecret: CONFIDENTIAL.secret,
            grantTypes: ['client_credentials'],
            tlsClientCertificateBoundAccessTokens: true,
          },
        ],
      },
    })
    const { body } = await world.token({
      grant_type: 'client_credentials',
      resource: world.resource,
      scope: 'a',
    })
    expect((await world.call('/api/a', body.access_token)).status).toBe(200)
    given = certificate
    const answer = await world.call('/api/a', body.access_token)
    expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(world.eventsNamed('fault')).toHaveLength(1)
  },
)

test('a long answer about an opaque token weighs what it takes: the memory stays bounded', async () => {
  const world = await start({ aat: opaque })
  const issuer = 'https://as.example'
  let asked = 0
  const call = await startApi({ ...world, issuer } as World, {
    verifiedTokens: { entries: 1000, bytes: 1_000_000 },
    introspection: { ...credentials, endpoint: `${issuer}/introspect`, cache: 3600 },
    async fetch() {
      asked++
      return Response.json({
        active: true,
        iss: issuer,
        sub: `user-${asked}`,
        aud: world.resource,
        client_id: 'app',
        iat: world.clock.now,
        exp: world.clock.now + 3600,
        jti: `j${asked}`,
        scope: 'a',
        groups: 'x'.repeat(60_000),
      })
    },
  })
  const tokens = Array.from({ length: 20 }, () => `aat_at_${randomBytes(64).toString('base64url')}`)
  for (const token of tokens) expect(await call(token)).toBe(200)
  const before = asked
  for (const token of tokens) expect(await call(token)).toBe(200)
  expect(asked - before).toBeGreaterThan(10)
})

describe('an API elsewhere that asks its issuer', () => {
  const issuer = 'https://as.example'
  const junk = () => `aat_at_${randomBytes(64).toString('base64url')}`
  const answerOf = (world: World, form: unknown) => ({
    active: true,
    iss: issuer,
    sub: 'bob',
    aud: world.resource,
    client_id: 'app',
    iat: world.clock.now,
    exp: world.clock.now + 3600,
    jti: String(form),
    scope: 'a',
  })

  test('asks about few tokens of one who comes with many at once that are none', async () => {
    const world = await start()
    let [asked, arrived] = [0, 0]
    let answer = () => {}
    const answered = new Promise<void>((resolve) => {
      answer = resolve
    })
    const options: Partial<RemoteIssuerOptions> = {
      introspection: { ...credentials, endpoint: `${issuer}/introspect` },
      async fetch() {
        asked++
        await answered
        return Response.json({ active: false })
      },
    }
    const call = await startApi({ ...world, issuer } as World, options, { onRequest: () => arrived++ })
    const calls = Array.from({ length: 200 }, () => call(junk()))
    await until('all are there', () => arrived === 200)
    answer()
    const statuses = await Promise.all(calls)
    expect(asked).toBeLessThanOrEqual(48)
    expect(statuses.filter((status) => status === 503).length).toBeGreaterThanOrEqual(150)
  })

  test('does not wait for an issuer that fails, where an answer of before may be used', async () => {
    const world = await start()
    const pending: ((error: Error) => void)[] = []
    let isAway = false
    const call = await startApi({ ...world, issuer } as World, {
      introspection: {
        ...credentials,
        endpoint: `${issuer}/introspect`,
        cache: 1,
        staleWhileError: 3600,
      },
      async fetch(_url, init) {
        if (!isAway) return Response.json(answerOf(world, init?.body))
        return new Promise((_resolve, reject) => {
          pending.push(reject)
        })
      },
    })
    const [one, two] = [junk(), junk()]
    expect([await call(one), await call(two)]).toEqual([200, 200])
    isAway = true
    world.clock.advance(2)
    const first = call(one)
    await until('it is asked', () => pending.length === 1)
    pending[0]?.(new Error('no answer in time'))
    expect(await first).toBe(200)
    world.clock.advance(2)
    const next = call(one)
    await until('it is asked again', () => pending.length === 2)
    // Meanwhile.
    expect(await call(two)).toBe(200)
    isAway = false
    pending[1]?.(new Error('no answer in time'))
    expect(await next).toBe(200)
    world.clock.advance(2)
    expect([await call(junk()), await call(one), await call(two)]).toEqual([200, 200, 200])
  })
})

test('local replays have room for what one instance serves in the minutes that a proof with a nonce takes', async () => {
  const clock = manualClock()
  const replays = localReplays(clock)
  for (let request = 0; request < 400_000; request++) {
    clock.advance(1 / 1500)
    const key = `${request}` as Sha256
    if ((await replays.claim(key, clock() + 300)) !== 'fresh') throw new Error('seen')
  }
  expect(await replays.claim('399999' as Sha256, clock() + 300)).toBe('seen')
})

test('of several issuers, the one that issues bound tokens only has no others taken either', async () => {
  const clock = manualClock()
  const stores = await makeStores(clock)
  const before = await start({ clock, stores })
  const { body } = await before.token({ grant_type: 'client_credentials', scope: 'a' })
  const world = await start({
    clock,
    stores,
    issuer: before.issuer,
    aat: { dpop: { required: true } },
    after(app, aat) {
      const partner = remoteIssuer('https://partner.example', {
        resources: { [`${aat.issuer}/api`]: { scopes: ['a'] } },
        fetch: async () => Response.json({ keys: [] }),
      })
      app.get('/api/both', requireAat([aat, partner]), (_req, res) => void res.end())
      app.get('/api/any', requireAat([aat, partner], { dpop: 'accept' }), (_req, res) => void res.end())
    },
  })
  const refused = await world.call('/api/both', body.access_token)
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
    401,
    expect.stringContaining('Bearer error="invalid_token"'),
  ])
  expect((await world.call('/api/any', body.access_token)).status).toBe(200)
})
