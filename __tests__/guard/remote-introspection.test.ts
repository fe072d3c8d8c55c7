import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import {
  type Fetch,
  getAat,
  introspectionEndpoint,
  type RemoteIntrospectionOptions,
  type RemoteIssuerOptions,
  remoteIssuer,
  requireAat,
} from '../../lib/index.ts'
import { athOf, dpopKey } from '../support/dpop.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  RESOURCE_SERVER,
  readAnswer,
  startWorld,
  type World,
} from '../support/world.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const asClient = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const credentials = { clientId: RESOURCE_SERVER.id, clientSecret: RESOURCE_SERVER.secret }

/** Looks like an opaque token. */
const junk = () => `aat_at_${randomBytes(64).toString('base64url')}`

/** The issuer, which counts who asks it, and can be made to answer otherwise. */
async function startIssuer(format: 'jwt' | 'opaque' = 'opaque') {
  const asked: { headers: Record<string, unknown>; port: number }[] = []
  let answer: express.RequestHandler | undefined
  const world = await startWorld({
    before: (app) =>
      app.use('/oauth/introspect', (req, res, next) => {
        asked.push({ headers: req.headers, port: req.socket.remotePort ?? 0 })
        if (answer === undefined) next()
        else answer(req, res, next)
      }),
    aat: (base) => ({
      resources: {
        [`${base}/api`]: { scopes: ['a', 'b', 'c'], defaultScopes: ['a'], accessTokenFormat: format },
        [`${base}/other`]: { scopes: ['a', 'x'], accessTokenFormat: format },
      },
    }),
  })
  closers.push(world.close)
  return {
    ...world,
    asked,
    answerBy(handler: express.RequestHandler | undefined) {
      answer = handler
    },
  }
}

/** An API in another process, in all but the process. */
async function startApi(
  world: World,
  introspection: Partial<RemoteIntrospectionOptions> = {},
  options: Partial<RemoteIssuerOptions> = {},
) {
  const faults: unknown[] = []
  const references: string[] = []
  const issuer = remoteIssuer(world.issuer, {
    resources: { [world.resource]: { scopes: ['a', 'b', 'c'] } },
    clock: world.clock,
    introspection: { ...credentials, ...introspection },
    onFault(error, reference) {
      faults.push(error)
      references.push(reference)
    },
    ...options,
  })
  const app = express()
  app.set('trust proxy', 1)
  app.get('/a', requireAat(issuer, { scope: 'a' }), (req, res) => {
    const { subject, scopes, claims } = getAat(req)
    res.json({ subject, scopes, claims })
  })
  app.get('/b', requireAat(issuer, { scope: 'b' }), (_, res) => void res.json({}))
  const server: Server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const call = async (token: string, path = '/a', address = '192.0.2.1') =>
    readAnswer(
      await fetch(base + path, { headers: { Authorization: `Bearer ${token}`, 'X-Forwarded-For': address } }),
    )
  const send = async (headers: Record<string, string>) => readAnswer(await fetch(`${base}/a`, { headers }))
  return {
    call,
    send,
    status: async (token: string, path?: string) => (await call(token, path)).status,
    faults,
    references,
  }
}

describe('an opaque token at an API elsewhere', () => {
  test('is asked about once within the time that answers are believed, and is as any other to the app', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 10 })
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    const answer = await api.call(body.access_token)
    expect([answer.status, answer.body.subject, answer.body.scopes]).toEqual([200, 'alice', ['a']])
    expect(answer.body.claims).toEqual((await world.call('/api/a', body.access_token)).body.claims)
    for (let count = 0; count < 10; count++) expect(await api.status(body.access_token)).toBe(200)
    expect(await api.status(body.access_token, '/b')).toBe(403)
    expect(world.asked).toHaveLength(1)
    world.clock.now += 10
    expect(await api.status(body.access_token)).toBe(200)
    expect(world.asked).toHaveLength(2)
  })

  test('requests at once share one question, over connections that are kept', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 0 })
    const { body } = await world.signInAndGetTokens()
    const statuses = await Promise.all(Array.from({ length: 20 }, () => api.status(body.access_token)))
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(world.asked.length).toBeLessThan(20)
    const before = world.asked.length
    for (let count = 0; count < 5; count++) await api.status(body.access_token)
    expect(world.asked).toHaveLength(before + 5)
    expect(new Set(world.asked.slice(before).map(({ port }) => port)).size).toBe(1)
  })

  test('a revocation is noticed when the answer is no longer believed', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 5 })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    await world.post(world.endpoint('revoke'), { token: body.access_token }, asClient)
    world.clock.now += 4.9
    expect(await api.status(body.access_token)).toBe(200)
    world.clock.now += 0.1
    const refused = await api.call(body.access_token)
    expect(refused.status).toBe(401)
    expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"')
    const before = world.asked.length
    for (let count = 0; count < 5; count++) expect(await api.status(body.access_token)).toBe(401)
    expect(world.asked).toHaveLength(before)
  })

  test('it is not good for longer than it lives', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 3600 })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    world.clock.now += 306
    expect(await api.status(body.access_token)).toBe(401)
  })

  test('INT-005: of a token for another resource the issuer says nothing; it is refused', async () => {
    const world = await startIssuer()
    const api = await startApi(world)
    const { body } = await world.signInAndGetTokens({ scope: 'a', resource: world.otherResource })
    expect(await api.status(body.access_token)).toBe(401)
  })

  test('what has not the form of a token is never asked about', async () => {
    const world = await startIssuer()
    const api = await startApi(world)
    for (const token of ['x', 'aat_at_', `aat_at_${'A'.repeat(85)}`, `aat_rt_${'A'.repeat(112)}`, 'a.b.c'])
      expect(await api.status(token)).toBe(401)
    expect(world.asked).toHaveLength(0)
  })

  test('INT-013: who comes with junk that looks like tokens is asked about ever less; others go on', async () => {
    const world = await startIssuer()
    const api = await startApi(world)
    const answers = []
    for (let count = 0; count < 40; count++) answers.push(await api.call(junk(), '/a', '203.0.113.9'))
    const statuses = answers.map(({ status }) => status)
    expect(statuses.slice(0, 8)).toEqual(Array.from({ length: 8 }, () => 401))
    expect(new Set(statuses.slice(9))).toEqual(new Set([503]))
    expect(world.asked.length).toBeLessThanOrEqual(9)
    // One fault for all of them, with the reference that each is given.
    expect(api.faults).toHaveLength(1)
    for (const { status, text } of answers)
      if (status === 503) expect(text).toContain(`(reference ${api.references[0]})`)
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    // One in a second, for all of that kind.
    world.clock.now += 1
    expect((await api.call(junk(), '/a', '203.0.113.9')).status).toBe(401)
    expect((await api.call(junk(), '/a', '203.0.113.9')).status).toBe(503)
    // What is known costs no question, wherever it comes from.
    expect((await api.call(body.access_token, '/a', '203.0.113.9')).status).toBe(200)
  })

  test('INT-013: junk from very many addresses does not make the issuer refuse the API', async () => {
    const world = await startIssuer()
    const api = await startApi(world)
    for (let host = 1; host <= 85; host++) {
      const present = () => api.call(junk(), '/a', `203.0.113.${host}`)
      const answers = await Promise.all(Array.from({ length: 8 }, present))
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 401))
    }
    expect(world.asked).toHaveLength(680)
    const { body } = await world.signInAndGetTokens()
    expect([await api.status(body.access_token), api.faults]).toEqual([200, []])
  })

  test('INT-013: what was good once goes on from an address that sends junk, and is not held against any', async () => {
    const world = await startIssuer()
    const api = await startApi(world)
    const [gateway, crowd] = ['198.51.100.1', '198.51.100.2']
    const { body } = await world.signInAndGetTokens()
    const tokens: string[] = []
    for (let count = 0; count < 20; count++)
      tokens.push((await world.signInAndGetTokens({}, {}, { as: 'bob' })).body.access_token)
    const ask = async (token: string, address: string) => (await api.call(token, '/a', address)).status
    for (const token of [body.access_token, ...tokens]) expect(await ask(token, '192.0.2.1')).toBe(200)
    world.clock.now += 6
    for (let count = 0; count < 40; count++) await ask(junk(), crowd)
    expect(await ask(junk(), crowd)).toBe(503)
    expect(await ask(body.access_token, crowd)).toBe(200)
    // All of one user's tokens are over; who calls for many users still presents them.
    await world.aat.revoke({ subject: 'bob' })
    for (const token of tokens) expect(await ask(token, gateway)).toBe(401)
    const { body: fresh } = await world.signInAndGetTokens()
    expect(await ask(fresh.access_token, gateway)).toBe(200)
  })

  test('INT-013: junk from very many addresses uses up nothing of what the issuer answers the API', async () => {
    const world = await startWorld({
      aat: (base) => ({
        resources: {
          [`${base}/api`]: { scopes: ['a', 'b', 'c'], accessTokenFormat: 'opaque' as const },
          [`${base}/other`]: { scopes: ['a', 'x'] },
        },
      }),
      after: (app, aat) => {
        // A hundred times no to the API.
        app.use('/few', introspectionEndpoint(aat, { rateLimit: { windowSeconds: 60, limit: 1 } }))
      },
    })
    closers.push(world.close)
    const api = await startApi(world, { endpoint: `${world.base}/few` })
    for (let host = 1; host <= 20; host++)
      for (let count = 0; count < 7; count++)
        expect((await api.call(junk(), '/a', `203.0.113.${host}`)).status).toBe(401)
    const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    expect([await api.status(body.access_token), api.faults]).toEqual([200, []])
  })

  test('INT-013: tokens that were good once are asked about once more when they are over, and are junk a minute later', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 0 })
    const thief = '203.0.113.9'
    const tokens: string[] = []
    for (let count = 0; count < 20; count++)
      tokens.push((await world.signInAndGetTokens({}, {}, { as: 'bob' })).body.access_token)
    const present = async () => {
      const statuses = []
      for (const token of tokens) statuses.push((await api.call(token, '/a', thief)).status)
      return statuses
    }
    const all = (status: number) => tokens.map(() => status)
    expect(await present()).toEqual(all(200))
    await world.aat.revoke({ subject: 'bob' })
    for (let round = 0; round < 5; round++) {
      expect(await present()).toEqual(all(401))
      expect(world.asked).toHaveLength(40)
      world.clock.now += 14
    }
    // Asked about again, they are held against who presents them.
    const statuses = await present()
    expect(new Set(statuses.slice(9))).toEqual(new Set([503]))
  })

  test('a token whose uses are limited is asked about each time, and each is a use', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 60 })
    const { body } = await world.signInAndGetTokens()
    const { jti } = (await world.call('/api/a', body.access_token)).body.claims
    await world.aat.denyList.add({ jti, maxUses: 2 })
    const statuses = []
    for (let count = 0; count < 4; count++) statuses.push(await api.status(body.access_token))
    expect(statuses).toEqual([200, 200, 401, 401])
  })

  test('without introspection opaque tokens are not accepted', async () => {
    const world = await startIssuer()
    const api = await startApi(world, {}, { introspection: undefined })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(401)
    expect(world.asked).toHaveLength(0)
  })
})

describe('a JWT at an API elsewhere', () => {
  test('is verified first, then asked about: revoked, it is refused', async () => {
    const world = await startIssuer('jwt')
    const api = await startApi(world, { cache: 5 })
    const { body } = await world.signInAndGetTokens()
    expect(claimsOf(body.access_token).sub).toBe('alice')
    for (let count = 0; count < 3; count++) expect(await api.status(body.access_token)).toBe(200)
    expect(world.asked).toHaveLength(1)
    await world.aat.revoke({ subject: 'alice' })
    world.clock.now += 5
    expect(await api.status(body.access_token)).toBe(401)
  })

  test('a forged one is never asked about', async () => {
    const world = await startIssuer('jwt')
    const api = await startApi(world)
    const { body } = await world.signInAndGetTokens()
    const [header, payload] = body.access_token.split('.')
    const forged = `${header}.${payload}.${randomBytes(64).toString('base64url')}`
    for (let count = 0; count < 3; count++) expect(await api.status(forged)).toBe(401)
    expect(world.asked).toHaveLength(0)
  })

  test('with tokens: opaque it is not asked about', async () => {
    const world = await startIssuer('jwt')
    const api = await startApi(world, { tokens: 'opaque' })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    expect(world.asked).toHaveLength(0)
  })
})

describe('an issuer in trouble', () => {
  const answers: [string, express.RequestHandler][] = [
    ['500', (_, res) => void res.status(500).json({ error: 'server_error' })],
    ['503', (_, res) => void res.status(503).json({ error: 'temporarily_unavailable' })],
    ['429', (_, res) => void res.status(429).json({})],
    ['401 for our credentials', (_, res) => void res.status(401).json({ error: 'invalid_client' })],
    ['a page', (_, res) => void res.send('<html>')],
    ['no boolean', (_, res) => void res.json({ active: 'true' })],
    ['an array', (_, res) => void res.json([{ active: true }])],
    ['a redirect', (_, res) => res.redirect(307, '/elsewhere')],
    ['too much', (_, res) => void res.json({ active: true, x: 'x'.repeat(100_000) })],
    ['a cut', (req) => void req.socket.destroy()],
  ]
  test.each(answers)('%s: 503 with Retry-After, never 401, and the app is told why', async (_, handler) => {
    const world = await startIssuer()
    const api = await startApi(world)
    const { body } = await world.signInAndGetTokens()
    world.answerBy(handler)
    const answer = await api.call(body.access_token)
    expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(answer.headers.get('retry-after')).not.toBeNull()
    expect(answer.headers.get('www-authenticate')).toBeNull()
    expect(String(api.faults[0])).toContain('the issuer cannot be asked about tokens')
    const words = JSON.stringify(api.faults.map((fault) => [String(fault), String((fault as Error).cause)]))
    expect(words).not.toContain(RESOURCE_SERVER.secret)
    expect(words).not.toContain(body.access_token)
    // It recovers by itself.
    world.answerBy(undefined)
    world.clock.now += 1
    expect(await api.status(body.access_token)).toBe(200)
  })

  test('that hangs is given up after the timeout', async () => {
    const world = await startIssuer()
    const api = await startApi(world, {}, { timeout: 1 })
    const { body } = await world.signInAndGetTokens()
    world.answerBy(() => undefined)
    expect(await api.status(body.access_token)).toBe(503)
  })

  test('is not asked again for a second: requests fail at once', async () => {
    const world = await startIssuer()
    const api = await startApi(world)
    const tokens = []
    for (let count = 0; count < 5; count++) tokens.push((await world.signInAndGetTokens()).body.access_token)
    world.answerBy((_, res) => void res.status(500).end())
    for (const token of tokens) expect(await api.status(token)).toBe(503)
    expect(world.asked).toHaveLength(1)
    world.clock.now += 1
    expect(await api.status(tokens[0])).toBe(503)
    expect(world.asked).toHaveLength(2)
  })

  test.each([
    ['20', 20],
    ['86400', 60],
    ['0', 1],
    ['-5', 1],
    ['1e9', 1],
    ['Wed, 21 Oct 2065 07:28:00 GMT', 1],
  ])('that says Retry-After: %s is left alone for %d s, by either way to it', async (header, seconds) => {
    for (const options of [{}, { fetch: (...args: Parameters<Fetch>) => fetch(...args) }]) {
      const world = await startIssuer()
      const api = await startApi(world, {}, options)
      const { body } = await world.signInAndGetTokens()
      world.answerBy((_, res) => void res.status(429).set('Retry-After', header).json({}))
      expect(await api.status(body.access_token)).toBe(503)
      world.answerBy(undefined)
      world.clock.now += seconds - 0.1
      expect([await api.status(body.access_token), world.asked.length]).toEqual([503, 1])
      world.clock.now += 0.1
      expect([await api.status(body.access_token), world.asked.length]).toEqual([200, 2])
    }
  })

  test('by default an answer is not believed for longer; with staleWhileError it is, and no longer than that', async () => {
    const world = await startIssuer()
    const strict = await startApi(world, { cache: 5 })
    const lenient = await startApi(world, { cache: 5, staleWhileError: 60 })
    const { body } = await world.signInAndGetTokens()
    for (const api of [strict, lenient]) expect(await api.status(body.access_token)).toBe(200)
    world.answerBy((_, res) => void res.status(503).end())
    world.clock.now += 5
    expect(await strict.status(body.access_token)).toBe(503)
    expect(await lenient.status(body.access_token)).toBe(200)
    world.clock.now += 59.9
    expect(await lenient.status(body.access_token)).toBe(200)
    world.clock.now += 0.1
    expect(await lenient.status(body.access_token)).toBe(503)
  })

  test('that asks to be left alone stops no token that may be believed for longer', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 5, staleWhileError: 60 })
    const { body } = await world.signInAndGetTokens()
    const { body: other } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    world.clock.now += 5
    world.answerBy((_, res) => void res.status(429).set('Retry-After', '30').json({}))
    expect(await api.status(other.access_token)).toBe(503)
    world.clock.now += 29
    expect([await api.status(body.access_token), await api.status(other.access_token)]).toEqual([200, 503])
    expect(world.asked).toHaveLength(2)
  })

  test('that comes back says no: staleness is over at once', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { cache: 5, staleWhileError: 60 })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    await world.aat.revoke({ subject: 'alice' })
    world.clock.now += 5
    expect(await api.status(body.access_token)).toBe(401)
    world.answerBy((_, res) => void res.status(503).end())
    world.clock.now += 5
    expect(await api.status(body.access_token)).toBe(401)
    world.clock.now += 55
    expect(await api.status(body.access_token)).toBe(503)
  })
})

describe('what an answer must say', () => {
  test.each([
    ['another issuer', { iss: 'https://other.example' }],
    ['another audience', { aud: 'https://other.example' }],
    ['several audiences', { aud: ['https://a.example', 'https://b.example'] }],
    ['no subject', { sub: undefined }],
    ['no end', { exp: undefined }],
    ['an end that is past', { exp: 1_000_000_000 }],
    ['a scope that is none', { scope: ['a'] }],
  ])('%s: the token is refused', async (_, changes) => {
    const world = await startIssuer()
    const api = await startApi(world)
    const { body } = await world.signInAndGetTokens()
    const { claims } = (await world.call('/api/a', body.access_token)).body
    world.answerBy((_, res) => void res.json({ active: true, ...claims, ...changes }))
    expect(await api.status(body.access_token)).toBe(401)
  })

  test('a token that is bound to a key is no bearer token here either', async () => {
    const world = await startIssuer()
    const api = await startApi(world)
    const { body } = await world.signInAndGetTokens()
    const { claims } = (await world.call('/api/a', body.access_token)).body
    const cnf = { jkt: randomBytes(32).toString('base64url') }
    world.answerBy((_, res) => void res.json({ active: true, ...claims, cnf }))
    expect(await api.status(body.access_token)).toBe(401)
  })
})

describe('answers that are signed (RFC 9701)', () => {
  const JWT = 'application/token-introspection+jwt'

  test('INT-010: are asked for and verified; opaque tokens and JWTs', async () => {
    for (const format of ['opaque', 'jwt'] as const) {
      const world = await startIssuer(format)
      const api = await startApi(world, { signed: true })
      const { body } = await world.signInAndGetTokens()
      const answer = await api.call(body.access_token)
      expect([answer.status, answer.body.subject]).toEqual([200, 'alice'])
      expect(world.asked.map(({ headers }) => headers.accept)).toEqual([JWT])
      await world.aat.revoke({ subject: 'alice' })
      world.clock.now += 5
      expect(await api.status(body.access_token)).toBe(401)
    }
  })

  test('INT-010: anything else in their place is 503: plain JSON, an access token, an answer for another, an old one', async () => {
    const world = await startIssuer()
    const api = await startApi(world, { signed: true })
    const { body } = await world.signInAndGetTokens()
    const ask = async (headers: Record<string, string>) =>
      (
        await world.post(
          world.endpoint('introspect'),
          { token: body.access_token },
          { ...headers, Accept: JWT },
        )
      ).text
    const ours = await ask(basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret))
    const others = await ask(asClient)
    const [header = '', payload = '', signature = ''] = ours.split('.')
    const claims = { ...claimsOf(ours), token_introspection: { active: true, scope: 'c' } }
    const changed = Buffer.from(JSON.stringify(claims)).toString('base64url')
    const jwtWorld = await startIssuer('jwt')
    const accessToken = (await jwtWorld.signInAndGetTokens()).body.access_token
    const answers: Record<string, string> = {
      'plain JSON': JSON.stringify({ active: true, ...(claimsOf(ours).token_introspection as object) }),
      'an answer for another caller': others,
      'an access token': accessToken,
      'changed claims': `${header}.${changed}.${signature}`,
      'a changed signature': `${header}.${payload}.${randomBytes(64).toString('base64url')}`,
      'no signature': `${Buffer.from('{"alg":"none","typ":"token-introspection+jwt","kid":"x"}').toString('base64url')}.${payload}.`,
      nothing: '',
    }
    for (const [name, text] of Object.entries(answers)) {
      world.answerBy((_, res) => void res.type(JWT).send(text))
      world.clock.now += 1
      expect([name, await api.status(body.access_token)]).toEqual([name, 503])
    }
    world.answerBy((_, res) => void res.type(JWT).send(ours))
    world.clock.now += 1
    expect(await api.status(body.access_token)).toBe(200)
    world.clock.now += 61
    expect(await api.status(body.access_token)).toBe(503)
  })
})

test('an answer about another token is no answer about this one', async () => {
  const world = await startIssuer('jwt')
  const api = await startApi(world)
  const { body } = await world.signInAndGetTokens()
  const { body: other } = await world.signInAndGetTokens()
  world.answerBy((_, res) => void res.json({ active: true, ...claimsOf(other.access_token) }))
  expect(await api.status(body.access_token)).toBe(503)
})

describe('how the API says who it is', () => {
  test('private_key_jwt: a fresh assertion for each question', async () => {
    const { publicKey, privateKey } = await generateKeyPair('ES256')
    const world = await startIssuer()
    const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }
    const other = await startWorld({
      clock: world.clock,
      aat: (base) => ({
        resources: { [`${base}/api`]: { scopes: ['a', 'b', 'c'], accessTokenFormat: 'opaque' as const } },
        clients: [
          { clientId: CONFIDENTIAL.id, clientSecret: CONFIDENTIAL.secret },
          { clientId: 'api', jwks: { keys: [jwk] }, introspects: [`${base}/api`] },
        ],
      }),
      routes: false,
    })
    closers.push(other.close)
    let made = 0
    const api = await startApi(other, {
      clientId: 'api',
      clientSecret: undefined,
      cache: 0,
      clientAssertion: () =>
        new SignJWT({ jti: `assertion-${++made}` })
          .setProtectedHeader({ alg: 'ES256', kid: 'k' })
          .setIssuer('api')
          .setSubject('api')
          .setAudience(other.issuer)
          .setIssuedAt(other.clock())
          .setExpirationTime(other.clock() + 60)
          .sign(privateKey),
    })
    const { body } = await other.token({
      grant_type: 'client_credentials',
      scope: 'a',
      resource: `${other.base}/api`,
    })
    expect([await api.status(body.access_token), await api.status(body.access_token)]).toEqual([200, 200])
    expect(made).toBe(2)
  })

  test('a question that fails takes nothing from another that makes its assertion meanwhile', async () => {
    const world = await startIssuer()
    let finish = (_assertion: string) => {}
    const first = new Promise<string>((resolve) => {
      finish = resolve
    })
    let begin = () => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    let made = 0
    const clientAssertion = () => {
      begin()
      return ++made === 1 ? first : 'x'
    }
    const api = await startApi(world, { clientSecret: undefined, clientAssertion })
    const { body: one } = await world.signInAndGetTokens()
    const { body: other } = await world.signInAndGetTokens()
    const slow = api.status(one.access_token)
    await begun
    world.answerBy((_, res) => void res.status(500).end())
    expect(await api.status(other.access_token)).toBe(503)
    world.answerBy((_, res) => void res.json({ active: false }))
    finish('x')
    expect(await slow).toBe(401)
  })

  test('a secret and an id of any characters are encoded as RFC 6749 section 2.3.1 says', async () => {
    const world = await startIssuer()
    const secret = 'a secret: with % + & = ü'
    const api = await startApi(world, { clientId: 'a b:c', clientSecret: secret })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(503)
    expect(world.asked[0]?.headers.authorization).toBe(basic('a b:c', secret).Authorization)
  })

  test('the app’s own fetch is used where there is one', async () => {
    const world = await startIssuer()
    const urls: string[] = []
    const own: Fetch = (url, init) => {
      urls.push(`${init?.method ?? 'GET'} ${new URL(String(url)).pathname}`)
      return fetch(url, init)
    }
    const api = await startApi(world, {}, { fetch: own })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    expect(urls).toEqual(['GET /.well-known/oauth-authorization-server', 'POST /oauth/introspect'])
  })

  test('an issuer that publishes no introspection endpoint: what to do about it', async () => {
    const world = await startIssuer()
    const unmounted: Fetch = async (url, init) => {
      const { introspection_endpoint: _, ...rest } = (await (await fetch(url, init)).json()) as Record<
        string,
        unknown
      >
      return Response.json(rest)
    }
    const api = await startApi(world, {}, { fetch: unmounted })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(503)
    const told: string[] = []
    for (let error = api.faults[0] as Error | undefined; error; error = error.cause as Error | undefined)
      told.push(error.message)
    expect(told.join(': ')).toContain(
      `the issuer publishes no introspection_endpoint in ${world.base}/.well-known/oauth-authorization-server: mount introspectionEndpoint(aat) there, or set introspection.endpoint`,
    )
  })

  test('an endpoint of the configuration is asked without metadata', async () => {
    const world = await startIssuer()
    const urls: string[] = []
    const own: Fetch = (url, init) => {
      urls.push(new URL(String(url)).pathname)
      return fetch(url, init)
    }
    const api = await startApi(world, { endpoint: world.endpoint('introspect') }, { fetch: own })
    const { body } = await world.signInAndGetTokens()
    expect(await api.status(body.access_token)).toBe(200)
    expect(urls).toEqual(['/oauth/introspect'])
  })

  test.each([
    [{ clientId: 'x' }, /introspection needs either clientSecret or clientAssertion/],
    [{ ...credentials, clientAssertion: () => '' }, /either/],
    [{ ...credentials, cache: -1 }, /introspection\.cache/],
    [{ ...credentials, cache: 3601 }, /introspection\.cache/],
    [{ ...credentials, tokens: 'jwt' }, /introspection\.tokens must be "all" or "opaque"/],
    [{ ...credentials, endpoint: 'http://issuer.example/introspect' }, /introspection\.endpoint/],
    [{ ...credentials, secret: 'x' }, /introspection\.secret is not an option/],
    ['yes', /introspection must be an object/],
  ])('wrong options are told while the app starts', (introspection, words) => {
    const options = {
      resources: { 'https://a.example/api': { scopes: ['a'] } },
      introspection: introspection as never,
    }
    expect(() => remoteIssuer('https://a.example', options)).toThrow(words as RegExp)
  })
})

test('an opaque token that is bound to a key: its proof is checked here, and what it is bound to must be told', async () => {
  const world = await startIssuer()
  const api = await startApi(world, { cache: 0 })
  const key = await dpopKey(world.clock)
  const { body } = await world.token(
    { grant_type: 'client_credentials', scope: 'a' },
    { ...asClient, DPoP: key.proof('POST', world.endpoint('token')) },
  )
  const token: string = body.access_token
  expect(token).toMatch(/^aat_at_/)
  const present = (by = key) =>
    api.send({
      Authorization: `DPoP ${token}`,
      DPoP: by.proof('GET', `${world.base}/a`, { ath: athOf(token) }),
    })
  expect((await present()).body.claims?.cnf).toEqual({ jkt: key.jkt })
  expect((await present(await dpopKey(world.clock))).body.error).toBe('invalid_token')
  expect(await api.status(token)).toBe(401)
  const told = await world.post(
    world.endpoint('introspect'),
    { token },
    basic(credentials.clientId, credentials.clientSecret),
  )
  const { cnf, ...rest } = told.body
  expect([cnf, rest.token_type]).toEqual([{ jkt: key.jkt }, 'DPoP'])
  for (const token_type of ['DPoP', 'dpop']) {
    world.answerBy((_, res) => void res.json({ ...rest, token_type }))
    expect([await api.status(token), (await present()).status]).toEqual([401, 401])
  }
})
