import type { AddressInfo } from 'node:net'
import { afterEach, expect, jest, test } from '@jest/globals'
import express from 'express'
import {
  type Fetch,
  introspectionEndpoint,
  type RemoteIntrospectionOptions,
  type RemoteIssuerOptions,
  remoteIssuer,
  requireAat,
} from '../../lib/index.ts'
import { basic, CONFIDENTIAL, RESOURCE_SERVER, startWorld } from '../support/world.ts'

/** An API that asks its issuer about opaque tokens. */
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  jest.restoreAllMocks()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const credentials = { clientId: RESOURCE_SERVER.id, clientSecret: RESOURCE_SERVER.secret }

/** The issuer says no a hundred times in a minute to the API. */
async function startIssuer() {
  const world = await startWorld({
    aat: (base) => ({
      resources: {
        [`${base}/api`]: { scopes: ['a', 'b', 'c'], accessTokenFormat: 'opaque' as const },
        [`${base}/other`]: { scopes: ['a', 'x'] },
      },
    }),
    after: (app, aat) =>
      app.use('/few', introspectionEndpoint(aat, { rateLimit: { windowSeconds: 60, limit: 1 } })),
  })
  cleanups.push(world.close)
  const newToken = async () =>
    (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body.access_token as string
  return { ...world, newToken }
}
type Issuer = Awaited<ReturnType<typeof startIssuer>>

async function startApi(
  world: Issuer,
  introspection: Partial<RemoteIntrospectionOptions>,
  options: Partial<RemoteIssuerOptions> = {},
) {
  const issuer = remoteIssuer(world.issuer, {
    resources: { [world.resource]: { scopes: ['a', 'b', 'c'] } },
    clock: world.clock,
    introspection: { ...credentials, endpoint: `${world.base}/few`, ...introspection },
    ...options,
  })
  const app = express()
  app.set('trust proxy', 1)
  app.use(requireAat(issuer), (_, res) => void res.json({}))
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return async (token: string, address = '192.0.2.1') =>
    (await fetch(url, { headers: { Authorization: `Bearer ${token}`, 'X-Forwarded-For': address } })).status
}

/** An issuer that knows no token. */
async function startAnswering() {
  const server = express()
    .use((_, res) => void res.json({ active: false }))
    .listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` }
}

test('INT-013: one address with one good token and one that is over does not use up what the issuer answers the API', async () => {
  const world = await startIssuer()
  const call = await startApi(world, { cache: 0 })
  const [good, over] = [await world.newToken(), await world.newToken()]
  await world.post(world.endpoint('revoke'), { token: over }, basic(CONFIDENTIAL.id, CONFIDENTIAL.secret))
  for (let round = 0; round < 110; round++) {
    const statuses = [await call(good, '203.0.113.9'), await call(over, '203.0.113.9')]
    expect([round, ...statuses]).toEqual([round, 200, 401])
  }
  expect(await call(await world.newToken())).toBe(200)
})

test('a hook that never makes its assertion holds up its own question for as long as one may take, and no later one', async () => {
  const world = await startIssuer()
  let isHanging = true
  const clientAssertion = () => (isHanging ? new Promise<string>(() => undefined) : 'x')
  const { url } = await startAnswering()
  const call = await startApi(
    world,
    { clientSecret: undefined, clientAssertion, endpoint: url },
    { timeout: 1, onFault: () => undefined },
  )
  const tokens: string[] = []
  for (let count = 0; count < 33; count++) tokens.push(await world.newToken())
  const statuses = await Promise.all(tokens.map((token) => call(token)))
  expect(new Set(statuses)).toEqual(new Set([503]))
  isHanging = false
  world.clock.now += 1
  expect(await call(await world.newToken())).toBe(401)
})

test('a fetch of the app’s that never answers and knows no signal ends its requests in time, and holds up none that come later', async () => {
  const world = await startIssuer()
  let isHanging = true
  const network: Fetch = (url, init) =>
    isHanging ? new Promise(() => undefined) : fetch(url, { ...init, signal: null })
  const options = { timeout: 1, fetch: network, onFault: () => undefined }
  const asking = await startApi(world, {}, options)
  const verifying = await startApi(world, { tokens: 'opaque' }, options)
  const opaque = await world.newToken()
  const jwt = (
    await world.token({ grant_type: 'client_credentials', scope: 'x', resource: world.otherResource })
  ).body.access_token as string
  expect(await Promise.all([asking(opaque), verifying(jwt)])).toEqual([503, 503])
  isHanging = false
  world.clock.now += 5
  // A good one, of another resource.
  expect(await Promise.all([asking(opaque), verifying(jwt)])).toEqual([200, 401])
})

test('what a hook throws is told to onFault, never to the log', async () => {
  const world = await startIssuer()
  const warnings: unknown[] = []
  jest.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(warning))
  const thrown = new Error('the vault says no to hvs.the-token-of-the-vault')
  const clientAssertion = async () => {
    throw thrown
  }
  const silent = await startApi(world, { clientSecret: undefined, clientAssertion })
  const faults: Error[] = []
  const heard = await startApi(
    world,
    { clientSecret: undefined, clientAssertion },
    { onFault: (error) => void faults.push(error as Error) },
  )
  const token = await world.newToken()
  expect([await silent(token), await heard(token)]).toEqual([503, 503])
  expect(String(warnings)).toContain('clientAssertion threw Error')
  expect(String(warnings)).not.toContain('hvs.')
  expect(faults.map(({ cause }) => (cause as AggregateError).errors)).toEqual([[thrown]])
})

test('EXP-020: a clock that jumps back does not prolong how long an answer is believed', async () => {
  const world = await startIssuer()
  const call = await startApi(world, { cache: 5, staleWhileError: 60 })
  const [over, good] = [await world.newToken(), await world.newToken()]
  world.clock.now += 200
  expect([await call(over), await call(good)]).toEqual([200, 200])
  await world.post(world.endpoint('revoke'), { token: over }, basic(CONFIDENTIAL.id, CONFIDENTIAL.secret))
  world.clock.now -= 150
  expect([await call(over), await call(good)]).toEqual([401, 200])
})

test('EXP-020: nor how long no is believed', async () => {
  const world = await startIssuer()
  let ahead = 86_400
  const call = await startApi(world, {}, { clock: () => world.clock() + ahead })
  const token = await world.newToken()
  expect(await call(token)).toBe(401)
  ahead = 0
  expect(await call(token)).toBe(200)
})
