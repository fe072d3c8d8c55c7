import { generateKeyPairSync, sign } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import express from 'express'
import { getAat, remoteIssuer, requireAat } from '../../lib/index.ts'
import { startWorld } from '../support/world.ts'

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

test('an onFault that throws does not end the process, and the request is answered', async () => {
  const remote = remoteIssuer('https://as.example', {
    resources: { 'https://api.example': { scopes: ['a'] } },
    jwksUri: 'https://as.example/jwks',
    fetch: async () => {
      throw new Error('down')
    },
    onFault: () => {
      throw new Error('logger is down too')
    },
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
  expect({ status, unhandled: rejections.map(String) }).toEqual({ status: 503, unhandled: [] })
})
