import { generateKeyPairSync, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import express from 'express'
import { authorizeEndpoint, getAat, remoteIssuer, requireAat } from '../../lib/index.ts'
import { basic, CONFIDENTIAL, startWorld } from '../support/world.ts'

const rejections: unknown[] = []
const closers: (() => unknown)[] = []
const onRejection = (error: unknown) => void rejections.push(error)
process.on('unhandledRejection', onRejection)
afterEach(async () => {
  rejections.length = 0
  for (const close of closers.splice(0)) await close()
})

async function listen(app: express.Express): Promise<string> {
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('what readClaims returns does not stand in for the verified acr and auth_time of a step-up', async () => {
  const world = await startWorld({
    aat: { claims: () => ({ profile: { acr: 'mfa', auth_time: 1_800_000_250 } }) },
    after: (app, aat) =>
      app.get(
        '/fresh',
        // The app unwraps its own data; a member of it happens to have the name of a registered claim.
        requireAat(aat, { acr: 'mfa', maxAge: 60, readClaims: ({ profile }) => profile as never }),
        (req, res) => void res.json({ sub: getAat(req).subject }),
      ),
  })
  closers.push(world.close)
  const { body } = await world.signInAndGetTokens()
  world.clock.advance(250)
  expect((await world.call('/fresh', body.access_token)).status).toBe(401)
})

function otherIssuer() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256', use: 'sig' }
  const issue = (claims: object) => {
    const input = `${Buffer.from('{"alg":"ES256","typ":"at+jwt","kid":"k"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
    return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  return { jwks: { keys: [jwk] }, issue }
}

test('RFC 9068 section 2.2: a client_credentials token of another issuer (sub = client_id) is no user', async () => {
  const { jwks, issue } = otherIssuer()
  const remote = remoteIssuer('https://as.example', {
    resources: { 'https://api.example': { scopes: ['a'] } },
    jwksUri: 'https://as.example/jwks',
    fetch: async () => Response.json(jwks),
  })
  const app = express()
  app.get('/me', requireAat(remote, { principal: 'user' }), (req, res) => void res.json(getAat(req).subject))
  const base = await listen(app)
  const now = Math.floor(Date.now() / 1000)
  const token = issue({
    iss: 'https://as.example',
    aud: 'https://api.example',
    sub: 'billing-robot',
    client_id: 'billing-robot',
    iat: now,
    exp: now + 60,
    jti: 'j',
    scope: 'a',
  })
  const response = await fetch(`${base}/me`, { headers: { Authorization: `Bearer ${token}` } })
  expect(response.status).toBe(403)
})

const badToken = () =>
  `${Buffer.from('{"alg":"ES256","typ":"at+jwt","kid":"x"}').toString('base64url')}.e30.AA`

test('a request that the app answered meanwhile (a timeout of its own) does not end the process', async () => {
  let goDown: (() => void) | undefined
  const remote = remoteIssuer('https://as.example', {
    resources: { 'https://api.example': { scopes: ['a'] } },
    jwksUri: 'https://as.example/jwks',
    fetch: () =>
      new Promise((_resolve, reject) => {
        goDown = () => reject(new Error('down'))
      }),
    onFault: () => undefined,
  })
  const app = express()
  app.use((_req, res, next) => {
    next()
    setImmediate(() => res.status(503).end('took too long'))
  })
  app.get('/me', requireAat(remote), (_req, res) => void res.end())
  const base = await listen(app)
  const { status } = await fetch(`${base}/me`, { headers: { Authorization: `Bearer ${badToken()}` } })
  expect(status).toBe(503)
  expect(goDown).toBeDefined()
  goDown?.()
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(rejections.map(String)).toEqual([])
})

test.each([
  [
    'throws',
    () => {
      throw new Error('logger is down too')
    },
  ],
  [
    'rejects',
    async () => {
      throw new Error('logger is down too')
    },
  ],
])('an onFault that %s does not end the process, and the request is answered', async (_, onFault) => {
  const remote = remoteIssuer('https://as.example', {
    resources: { 'https://api.example': { scopes: ['a'] } },
    jwksUri: 'https://as.example/jwks',
    fetch: async () => {
      throw new Error('down')
    },
    onFault,
  })
  const app = express()
  app.get('/me', requireAat(remote), (_req, res) => void res.end())
  const base = await listen(app)
  const status = await fetch(`${base}/me`, {
    headers: { Authorization: `Bearer ${badToken()}` },
    signal: AbortSignal.timeout(1000),
  }).then(
    (response) => response.status,
    () => 'no answer',
  )
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect({ status, unhandled: rejections.map(String) }).toEqual({ status: 503, unhandled: [] })
})

test('a clientCertificate that rejects is a fault of the app at each door, and does not end the process', async () => {
  let isAway = false
  const world = await startWorld({
    aat: {
      clientCertificate: (() =>
        isAway ? Promise.reject(new Error('the proxy is away')) : '0'.repeat(64)) as never,
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
  closers.push(world.close)
  const ask = () =>
    world.token({ grant_type: 'client_credentials' }, basic(CONFIDENTIAL.id, CONFIDENTIAL.secret))
  const { body } = await ask()
  isAway = true
  expect((await ask()).body.error).toBe('server_error')
  expect((await world.call('/api/a', body.access_token)).status).toBe(503)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect(rejections.map(String)).toEqual([])
})

test('an init of a limit’s store that rejects does not end the process: each instance counts for itself', async () => {
  const away = async () => {
    throw new Error('the store is away')
  }
  const store = { init: away, increment: away, decrement: away, resetKey: away } as never
  const world = await startWorld({
    after: (app, aat) =>
      app.use(
        '/few',
        authorizeEndpoint(aat, {
          resolveUser: () => undefined,
          signInUrl: '/',
          rateLimit: { limit: 1, store },
        }),
      ),
  })
  closers.push(world.close)
  const statuses = []
  for (let count = 0; count < 2; count++) statuses.push((await fetch(`${world.base}/few`)).status)
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  expect([statuses[1], rejections.map(String)]).toEqual([429, []])
})
