import { X509Certificate } from 'node:crypto'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterEach, expect, test } from '@jest/globals'
import express from 'express'
import { makeCertificate } from '../../example-app/idp/certificate.js'
import { createAat, memoryStores, requireAat, tokenEndpoint } from '../../lib/index.ts'
import { sha256 } from '../../lib/protocol/digest.ts'
import { basic, claimsOf } from '../support/world.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const { privateKey: key, certificate: cert } = makeCertificate('127.0.0.1')
const robot = { id: 'robot', secret: 'a-secret-of-the-robot-0123456789' }

/** A site that ends TLS itself, and asks clients for a certificate of their own making. */
async function startSite(): Promise<string> {
  const app = express()
  const server = createServer({ key, cert, requestCert: true, rejectUnauthorized: false }, app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const aat = createAat({
    issuer: base,
    secrets: ['test-secret-0123456789-0123456789-0123456789'],
    stores: memoryStores(),
    resources: { [`${base}/api`]: { scopes: ['a'], defaultScopes: ['a'] } },
    clients: [
      { clientId: robot.id, clientSecret: robot.secret, tlsClientCertificateBoundAccessTokens: true },
    ],
    clientCertificate: (req) => (req.socket as TLSSocket).getPeerX509Certificate(),
  })
  app.use('/oauth/token', tokenEndpoint(aat))
  app.get('/api', requireAat(aat), (_req, res) => void res.json({ ok: true }))
  closing.push(async () => {
    await aat.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  await aat.ready()
  return base
}

type Identity = ReturnType<typeof makeCertificate> | undefined
function send(url: string, identity: Identity, headers: Record<string, string>, body?: string) {
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  return new Promise<{ status: number | undefined; body: any }>((resolve, reject) => {
    const mine = identity && { key: identity.privateKey, cert: identity.certificate }
    const options = { ...mine, method: body === undefined ? 'GET' : 'POST', headers, ca: cert, agent: false }
    const sent = request(url, { ...options, checkServerIdentity: () => undefined }, (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      res.on('end', () => resolve({ status: res.statusCode, body: JSON.parse(text) }))
    })
    sent.on('error', reject).end(body)
  })
}

test('RFC 8705 section 3: over a real TLS connection, the certificate of the handshake is what counts', async () => {
  const base = await startSite()
  const [mine, another] = [makeCertificate('mine'), makeCertificate('another')]
  const form = { ...basic(robot.id, robot.secret), 'Content-Type': 'application/x-www-form-urlencoded' }
  const ask = (identity: Identity) =>
    send(`${base}/oauth/token`, identity, form, 'grant_type=client_credentials')
  expect((await ask(undefined)).body.error).toBe('invalid_request')
  const { body } = await ask(mine)
  expect(claimsOf(body.access_token).cnf).toEqual({
    'x5t#S256': sha256(new X509Certificate(mine.certificate).raw),
  })
  const call = (identity: Identity) =>
    send(`${base}/api`, identity, { Authorization: `Bearer ${body.access_token}` })
  expect((await call(mine)).status).toBe(200)
  for (const identity of [another, undefined]) {
    const answer = await call(identity)
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
  }
})
