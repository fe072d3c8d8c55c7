import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { freePort } from '../support/free-port.ts'
import { type RedisServer, sharedRedis, startCluster, startRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { Browser } from '../support/world.ts'
import { server } from './run-example.ts'
import { shopAt } from './start-shop.ts'

jest.setTimeout(60_000)

const statusOf = async (url: string) => (await fetch(url)).status

describe('one Redis', () => {
  let redis: Awaited<ReturnType<typeof sharedRedis>>
  beforeAll(async () => {
    redis = await sharedRedis()
  })
  beforeEach(() => redis.flush())

  test('two instances are one shop: sessions, orders, keys and tokens; and so is the next start', async () => {
    const port = await freePort()
    const issuer = `http://127.0.0.1:${port}`
    const settings = { REDIS_URL: redis.url, ISSUER: issuer }
    const first = server({ ...settings, PORT: String(port) })
    expect(await first.url).toBe(issuer)
    const second = server({ ...settings, PORT: '0' })
    const there = await second.url
    expect(there).not.toBe(issuer)

    const here = shopAt(issuer)
    const { body, clientId, browser } = await here.tokensOf('alice', 'wonderland', 'orders:read orders:write')
    const elsewhere = new Browser(there)
    for (const [name, value] of browser.cookies) elsewhere.cookies.set(name, value)
    expect(await (await elsewhere.get('/products')).text()).toContain('Sign out')

    const order = await here.call('POST', '/api/orders', body.access_token, { product: 'chess-set' })
    expect(order.body).toMatchObject({ id: 4, user: 'alice' })
    const { body: list } = await shopAt(there).call('GET', '/api/orders', body.access_token)
    expect(list.orders.at(-1)).toEqual(order.body)
    const keys = await Promise.all(
      [issuer, there].map(async (base) => (await fetch(`${base}/.well-known/jwks.json`)).text()),
    )
    expect(keys[1]).toBe(keys[0])

    await elsewhere.send('/sign-out', { method: 'POST' })
    expect(await (await browser.get('/products')).text()).not.toContain('Sign out')

    first.child.kill('SIGTERM')
    second.child.kill('SIGTERM')
    expect([await first.exit, await second.exit]).toMatchObject([
      { code: 0, err: '' },
      { code: 0, err: '' },
    ])
    await server({ ...settings, PORT: String(port) }).url
    expect((await here.refresh(clientId, body.refresh_token)).status).toBe(200)
  })

  test('SIGTERM: what is under way is finished, with all that it needs, and nothing new is taken', async () => {
    const shop = server({ PORT: '0', REDIS_URL: redis.url })
    const base = await shop.url
    const body = JSON.stringify({
      redirect_uris: ['http://127.0.0.1/callback'],
      token_endpoint_auth_method: 'none',
    })
    const headers = {
      'Content-Type': 'application/json',
      'Content-Length': body.length,
      Expect: '100-continue',
    }
    const registration = request(`${base}/oauth/register`, { method: 'POST', headers })
    registration.flushHeaders()
    await once(registration, 'continue') // The shop has the request, and waits for its body.
    shop.child.kill('SIGTERM')
    await until('nothing new is taken', () =>
      fetch(`${base}/live`).then(
        () => false,
        () => true,
      ),
    )
    registration.end(body)
    const [answer] = await once(registration, 'response')
    expect(answer.statusCode).toBe(201)
    answer.resume()
    expect(await shop.exit).toMatchObject({ code: 0, err: '' })
  })

  test('production wants a secret of its own', async () => {
    const settings = { NODE_ENV: 'production', ISSUER: 'https://shop.example.com', REDIS_URL: redis.url }
    const { code, err } = await server({ PORT: '0', ...settings }).exit
    expect(code).toBe(1)
    expect(err).toMatch(/generated-secret/)
    expect(await server({ PORT: '0', ...settings, AAT_SECRET: 's'.repeat(40) }).url).toMatch(/^http:/)
  })
})

describe('a Redis that goes away', () => {
  let redis: RedisServer
  beforeAll(async () => {
    redis = await startRedis({ persistence: 'aof' })
  })
  afterAll(() => redis.stop())

  test('alive, not ready, 503, and by itself ready again', async () => {
    const base = await server({ PORT: '0', REDIS_URL: redis.url }).url
    const shop = shopAt(base)
    const { body, clientId, browser } = await shop.tokensOf('alice', 'wonderland', 'orders:read')
    await redis.kill()
    await until('it is not ready', async () => (await statusOf(`${base}/ready`)) === 503)
    const ready = await (await browser.get('/ready')).json()
    expect(ready).toMatchObject({ ready: false, problems: [expect.any(String)] })
    expect((await browser.get('/live')).status).toBe(200)
    expect((await browser.get('/products')).status).toBe(503)
    expect((await shop.refresh(clientId, body.refresh_token)).status).toBe(503)
    expect(await statusOf(`${base}/.well-known/jwks.json`)).toBe(200)
    await redis.start()
    await until('it is ready', async () => (await statusOf(`${base}/ready`)) === 200)
    expect((await shop.refresh(clientId, body.refresh_token)).status).toBe(200)
    // The shop's own connection, of its sessions, comes back in its own time.
    await until('the shop is there', async () =>
      (await (await browser.get('/products')).text()).includes('Sign out'),
    )
  })
})

test('a Redis Cluster', async () => {
  const cluster = await startCluster()
  const addresses = cluster.addresses.map(({ host, port }) => `${host}:${port}`).join(',')
  const shop = shopAt(await server({ PORT: '0', REDIS_CLUSTER: addresses }).url)
  const { body, clientId } = await shop.tokensOf('bob', 'builder', 'orders:write orders:read')
  expect((await shop.call('POST', '/api/orders', body.access_token, { product: 'teapot' })).status).toBe(201)
  const { status, body: next } = await shop.refresh(clientId, body.refresh_token)
  expect(status).toBe(200)
  expect((await shop.call('GET', '/api/orders', next.access_token)).body.orders).toHaveLength(2)
})
