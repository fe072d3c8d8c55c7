import { X509Certificate } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import express from 'express'
import { makeCertificate } from '../../example-app/idp/certificate.js'
import { localReplays } from '../../lib/guard/local-replays.ts'
import {
  type ClientCertificate,
  ConfigurationError,
  memoryStores,
  protectedResource,
  type RemoteIssuerOptions,
  remoteIssuer,
  requireAat,
} from '../../lib/index.ts'
import type { Sha256 } from '../../lib/protocol/digest.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { athOf, type DpopKey, dpopKey } from '../support/dpop.ts'
import {
  basic,
  CONFIDENTIAL,
  type ManualClock,
  manualClock,
  readAnswer,
  startWorld,
  type World,
} from '../support/world.ts'

const closing: (() => unknown)[] = []
const RESOURCE = 'https://api.example/v1/things'
const { certificate } = makeCertificate('client')
let clock: ManualClock
let world: World
let key: DpopKey
let told: ReturnType<ClientCertificate>
beforeEach(async () => {
  clock = manualClock()
  key = await dpopKey(clock)
  told = certificate
  world = await startWorld({
    clock,
    routes: false,
    aat: {
      resources: { [RESOURCE]: { scopes: ['read'], defaultScopes: ['read'] } },
      clientCertificate: () => told,
      clients: [
        {
          clientId: CONFIDENTIAL.id,
          clientSecret: CONFIDENTIAL.secret,
          grantTypes: ['client_credentials'],
        },
        {
          clientId: 'robot',
          clientSecret: 'a-secret-of-the-robot-0123456789',
          grantTypes: ['client_credentials'],
          tlsClientCertificateBoundAccessTokens: true,
        },
      ],
    },
  })
  closing.push(() => world.close())
})
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const tokenOf = async (id = CONFIDENTIAL.id, secret = CONFIDENTIAL.secret, headers = {}) =>
  (await world.token({ grant_type: 'client_credentials' }, { ...basic(id, secret), ...headers })).body
    .access_token as string
const boundToken = () =>
  tokenOf(CONFIDENTIAL.id, CONFIDENTIAL.secret, { DPoP: key.proof('POST', world.endpoint('token')) })

/** An instance of an API elsewhere, behind a proxy that takes `/v1` away. */
async function startApi(options: Partial<RemoteIssuerOptions> = {}) {
  const app = express()
  const remote = remoteIssuer(world.issuer, {
    resources: { [RESOURCE]: { scopes: ['read'] } },
    clock,
    ...options,
  })
  app.use(protectedResource(remote))
  app.get('/things', requireAat(remote), (_req, res) => void res.json({ ok: true }))
  const server = createServer(app)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const call = async (headers: Record<string, string>) =>
    readAnswer(await fetch(`${base}/things`, { headers }))
  return {
    call,
    present: (token: string, claims = {}) =>
      call({
        Authorization: `DPoP ${token}`,
        DPoP: key.proof('GET', RESOURCE, { ath: athOf(token), ...claims }),
      }),
    metadata: async () =>
      (await readAnswer(await fetch(`${base}/.well-known/oauth-protected-resource/v1/things`))).body,
  }
}

test('a bound token is good at an API elsewhere with its proof, once in this process', async () => {
  const token = await boundToken()
  const [one, two] = [await startApi(), await startApi()]
  const claims = { jti: 'once' }
  expect((await one.present(token, claims)).status).toBe(200)
  expect((await one.present(token, claims)).body.error).toBe('invalid_dpop_proof')
  // Nobody told the other process.
  expect((await two.present(token, claims)).status).toBe(200)
  expect((await one.call({ Authorization: `Bearer ${token}` })).body.error).toBe('invalid_token')
  expect((await one.call({ Authorization: `Bearer ${await tokenOf()}` })).status).toBe(200)
})

test('DPO-002: with shared replays a proof works once at all instances of an API', async () => {
  const { replays } = memoryStores({ clock })
  const token = await boundToken()
  const [one, two] = [await startApi({ dpop: { replays } }), await startApi({ dpop: { replays } })]
  const claims = { jti: 'once' }
  expect((await one.present(token, claims)).status).toBe(200)
  expect((await two.present(token, claims)).body.error).toBe('invalid_dpop_proof')
})

test('DPO-013: nonces of an API elsewhere, derived from secrets of its own', async () => {
  const dpop = { nonceSecrets: ['a-secret-of-the-api-0123456789-0123456789'] }
  const [one, two] = [await startApi({ dpop }), await startApi({ dpop })]
  const token = await boundToken()
  const asked = await one.present(token)
  expect([asked.status, asked.body.error]).toEqual([401, 'use_dpop_nonce'])
  const nonce = asked.headers.get('dpop-nonce')
  for (const api of [one, two]) expect((await api.present(token, { nonce, iat: 1 })).status).toBe(200)
  clock.advance(240)
  expect((await two.present(await boundToken(), { nonce })).body.error).toBe('use_dpop_nonce')
})

test('RFC 8705 section 3: a token that is bound to a certificate is good with that alone, and nowhere without', async () => {
  const token = await tokenOf('robot', 'a-secret-of-the-robot-0123456789')
  const headers = { Authorization: `Bearer ${token}` }
  const api = await startApi({ clientCertificate: () => told })
  expect((await api.call(headers)).status).toBe(200)
  told = new X509Certificate(certificate).raw
  expect((await api.call(headers)).status).toBe(200)
  for (const other of [makeCertificate('another').certificate, undefined, '', 'junk', Buffer.from('x')]) {
    told = other
    const answer = await api.call(headers)
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
  }
  told = certificate
  expect((await api.call({ ...headers, Authorization: `DPoP ${token}` })).status).toBe(401)
  // A bearer token is good with any certificate.
  expect((await api.call({ Authorization: `Bearer ${await tokenOf()}` })).status).toBe(200)
  const without = await startApi()
  expect((await without.call(headers)).body.error).toBe('invalid_token')
  expect(await api.metadata()).toMatchObject({ tls_client_certificate_bound_access_tokens: true })
  expect(await without.metadata()).not.toHaveProperty('tls_client_certificate_bound_access_tokens')
})

test('a token that is bound to both needs both', async () => {
  const token = await tokenOf('robot', 'a-secret-of-the-robot-0123456789', {
    DPoP: key.proof('POST', world.endpoint('token')),
  })
  const api = await startApi({ clientCertificate: () => told })
  expect((await api.present(token)).status).toBe(200)
  expect((await api.call({ Authorization: `Bearer ${token}` })).status).toBe(401)
  told = undefined
  expect((await api.present(token)).status).toBe(401)
})

test('a hook that throws is a fault of the app: 503, not 401', async () => {
  const token = await tokenOf('robot', 'a-secret-of-the-robot-0123456789')
  const api = await startApi({
    onFault: () => undefined,
    clientCertificate() {
      throw new TypeError('a mistake')
    },
  })
  expect((await api.call({ Authorization: `Bearer ${token}` })).status).toBe(503)
})

test('wrong options are told at start', () => {
  const make = (dpop: unknown) => () =>
    remoteIssuer('https://as.example', { resources: { [RESOURCE]: { scopes: ['read'] } }, dpop } as never)
  for (const dpop of [
    { replays: {} },
    { nonceSecrets: ['short'] },
    { nonceSecrets: [] },
    { proofLifetime: 4 },
    { proofLifetime: 301 },
    { nonces: 'required' },
  ])
    expect(make(dpop)).toThrow(ConfigurationError)
  expect(make({ nonceSecrets: ['short-canary'] })).not.toThrow(/canary/)
})

test('local replays: bounded, forgotten when they are over, and full they refuse', async () => {
  const replays = localReplays(clock, 3)
  const claim = (name: string, seconds = 60) => replays.claim(name as Sha256, clock() + seconds)
  expect(await claim('a')).toBe('fresh')
  expect(await claim('a')).toBe('seen')
  clock.advance(30)
  expect(await claim('b')).toBe('fresh')
  expect(await claim('c', 10)).toBe('fresh')
  await expect(claim('d')).rejects.toThrow(StoreUnavailable)
  expect(await claim('a')).toBe('seen')
  clock.advance(29.5)
  await expect(claim('d')).rejects.toThrow(StoreUnavailable)
  expect(await claim('c')).toBe('fresh')
  clock.advance(0.5)
  expect(await claim('d')).toBe('fresh')
  expect(await claim('b')).toBe('seen')
})
