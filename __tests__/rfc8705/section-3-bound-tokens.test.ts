import { createHash, X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { makeCertificate } from '../../example-app/idp/certificate.js'
import type { ClientCertificate } from '../../lib/index.ts'
import { dpopKey } from '../support/dpop.ts'
import { basic, claimsOf, manualClock, RESOURCE_SERVER, startWorld, type World } from '../support/world.ts'

const clock = manualClock()
const robot = { id: 'robot', secret: 'a-secret-of-the-robot-0123456789' }
const clients = [
  {
    clientId: robot.id,
    clientSecret: robot.secret,
    grantTypes: ['client_credentials' as const],
    tlsClientCertificateBoundAccessTokens: true,
  },
  {
    clientId: 'app',
    redirectUris: ['https://client.example/cb'],
    tlsClientCertificateBoundAccessTokens: true,
  },
  {
    clientId: RESOURCE_SERVER.id,
    clientSecret: RESOURCE_SERVER.secret,
    grantTypes: ['client_credentials' as const],
  },
]
const [mine, another] = [makeCertificate('client'), makeCertificate('another')].map(
  ({ certificate }) => certificate,
) as [string, string]
const x5t = createHash('sha256').update(new X509Certificate(mine).raw).digest('base64url')

let world: World
let told: ReturnType<ClientCertificate>
beforeEach(async () => {
  told = mine
  world = await startWorld({ clock, aat: { clients, clientCertificate: () => told } })
})
afterEach(() => world.close())

const ask = (headers: Record<string, string> = {}) =>
  world.token({ grant_type: 'client_credentials' }, { ...basic(robot.id, robot.secret), ...headers })

test('section 3.1: the access token is bound to the certificate, and is used like a bearer token', async () => {
  const { status, body } = await ask()
  expect({ status, type: body.token_type }).toEqual({ status: 200, type: 'Bearer' })
  expect(claimsOf(body.access_token).cnf).toEqual({ 'x5t#S256': x5t })
})

test('each spelling of the certificate comes to the same thumbprint', async () => {
  const certificate = new X509Certificate(mine)
  const hex = certificate.fingerprint256
  for (const spelling of [
    certificate,
    certificate.raw,
    new Uint8Array(certificate.raw),
    mine,
    encodeURIComponent(mine),
    `:${certificate.raw.toString('base64')}:`,
    x5t,
    hex,
    hex.replaceAll(':', '').toLowerCase(),
  ]) {
    told = spelling
    expect(claimsOf((await ask()).body.access_token).cnf).toEqual({ 'x5t#S256': x5t })
  }
})

test('no certificate, or what is none: 400, never a bearer token', async () => {
  for (const nothing of [undefined, null, '']) {
    told = nothing
    expect((await ask()).body).toMatchObject({ error: 'invalid_request' })
  }
  for (const none of [
    'x',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    '-----BEGIN%20CERTIFICATE-----%',
    ':AAAA:',
    '::',
    `:${'A'.repeat(20_000)}:`,
    mine.slice(0, 300),
    Buffer.from('x'),
    Buffer.alloc(0),
    'f'.repeat(63),
    x5t.slice(1),
  ]) {
    told = none
    const { status, body } = await ask()
    expect([status, body.error, body.access_token]).toEqual([400, 'invalid_request', undefined])
  }
})

test('section 4: the refresh token of a public client works with its certificate alone', async () => {
  const parameters = { client_id: 'app' }
  const { body } = await world.signInAndGetTokens(parameters, parameters)
  expect(claimsOf(body.access_token).cnf).toEqual({ 'x5t#S256': x5t })
  const refresh = (token: string) => world.refresh(token, parameters)
  told = another
  expect((await refresh(body.refresh_token)).body.error).toBe('invalid_grant')
  told = undefined
  expect((await refresh(body.refresh_token)).body.error).toBe('invalid_request')
  told = mine
  const next = await refresh(body.refresh_token)
  expect(claimsOf(next.body.access_token).cnf).toEqual({ 'x5t#S256': x5t })
})

test('with a DPoP proof beside it the token is bound to both', async () => {
  const key = await dpopKey(clock)
  const { body } = await ask({ DPoP: key.proof('POST', `${world.issuer}/oauth/token`) })
  expect(body.token_type).toBe('DPoP')
  expect(claimsOf(body.access_token).cnf).toEqual({ jkt: key.jkt, 'x5t#S256': x5t })
})

test('a client that did not ask for it gets bearer tokens; the others none where nobody tells certificates', async () => {
  const plain = await world.token(
    { grant_type: 'client_credentials' },
    basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret),
  )
  expect(claimsOf(plain.body.access_token)).not.toHaveProperty('cnf')
  const without = await startWorld({ clock, aat: { clients } })
  const answer = await without.token({ grant_type: 'client_credentials' }, basic(robot.id, robot.secret))
  const metadata = await without.call('/.well-known/oauth-authorization-server')
  await without.close()
  expect(answer.body.error).toBe('invalid_request')
  expect(metadata.body).not.toHaveProperty('tls_client_certificate_bound_access_tokens')
})

test('section 3.3 and 3.4: metadata of the server and of clients', async () => {
  const { body } = await world.call('/.well-known/oauth-authorization-server')
  expect(body.tls_client_certificate_bound_access_tokens).toBe(true)
  const metadata = { redirect_uris: ['https://client.example/cb'], token_endpoint_auth_method: 'none' }
  const member = 'tls_client_certificate_bound_access_tokens'
  const registered = await world.register({ ...metadata, [member]: true })
  expect(registered.body[member]).toBe(true)
  const parameters = { client_id: registered.body.client_id }
  const { body: tokens } = await world.signInAndGetTokens(parameters, parameters)
  expect(claimsOf(tokens.access_token).cnf).toEqual({ 'x5t#S256': x5t })
  for (const value of ['true', 1, null])
    expect((await world.register({ ...metadata, [member]: value })).body.error).toBe(
      'invalid_client_metadata',
    )
})
