import { afterEach, describe, expect, test } from '@jest/globals'
import express, { type Express } from 'express'
import { clientAddress } from '../../lib/http/client-address.ts'
import {
  authorizeEndpoint,
  createAat,
  dcrEndpoint,
  introspectionEndpoint,
  tokenEndpoint,
} from '../../lib/index.ts'
import { makeStores } from '../support/stores.ts'
import { until } from '../support/until.ts'
import { basic, CONFIDENTIAL, manualClock, readAnswer, startWorld } from '../support/world.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

const limit = { limit: 2, windowSeconds: 600 }

/** An app behind a proxy, as far as `trust proxy` says; each endpoint lets two through. */
async function start(trust?: unknown, makeStore?: () => object) {
  const aat = createAat({
    issuer: 'https://as.example',
    resources: { 'https://as.example/api': { scopes: ['a'] } },
    corsOrigins: ['https://app.example'],
  })
  const warnings: string[] = []
  aat.on('configuration.warning', ({ message }) => warnings.push(message))
  const app: Express = express()
  if (trust !== undefined) app.set('trust proxy', trust)
  const rateLimit = () => ({ ...limit, ...(makeStore && { store: makeStore() as never }) })
  app.get('/key', (req, res) => void res.send(clientAddress(req)))
  app.use(
    '/oauth/authorize',
    authorizeEndpoint(aat, { resolveUser: () => undefined, signInUrl: '/in', rateLimit: rateLimit() }),
  )
  app.use('/oauth/token', tokenEndpoint(aat, { rateLimit: rateLimit() }))
  app.use('/oauth/introspect', introspectionEndpoint(aat, { rateLimit: rateLimit() }))
  app.use('/oauth/register', dcrEndpoint(aat, { allow: 'anyone', rateLimit: rateLimit() }))
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  cleanups.push(async () => {
    await aat.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const base = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  return {
    warnings,
    key: async (forwarded: string) =>
      (await fetch(`${base}/key`, { headers: { 'X-Forwarded-For': forwarded } })).text(),
    register: async (headers: Record<string, string> = {}) =>
      readAnswer(
        await fetch(`${base}/oauth/register`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', ...headers },
          body: JSON.stringify({ redirect_uris: ['https://a.example/cb'] }),
        }),
      ),
    form: async (path: string, headers: Record<string, string> = {}) =>
      readAnswer(
        await fetch(base + path, {
          method: 'POST',
          body: new URLSearchParams({ client_id: 'nope', token: 'x' }),
          headers,
        }),
      ),
    get: async (path: string, headers: Record<string, string> = {}) =>
      readAnswer(await fetch(base + path, { headers })),
  }
}
const from = (address: string) => ({ 'X-Forwarded-For': address })

describe('429', () => {
  test('HTP-017: is JSON with an integer Retry-After, at each endpoint', async () => {
    const app = await start()
    for (const send of [
      () => app.register({ Origin: 'https://app.example' }),
      () => app.form('/oauth/token', { Origin: 'https://app.example' }),
      () => app.form('/oauth/introspect', { Origin: 'https://app.example' }),
      () => app.get('/oauth/authorize'),
    ]) {
      expect((await send()).status).toBeLessThan(429)
      expect((await send()).status).toBeLessThan(429)
      const refused = await send()
      expect([refused.status, refused.body.error]).toEqual([429, 'temporarily_unavailable'])
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(refused.headers.get('retry-after')).toMatch(/^\d{1,3}$/)
      expect(refused.headers.get('cache-control')).toBe('no-store')
      expect(refused.headers.get('content-type')).toBe('application/json')
    }
    const readable = await app.register({ Origin: 'https://app.example' })
    expect(readable.headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(readable.headers.get('access-control-expose-headers')).toContain('Retry-After')
  })

  test('HTP-016: a rate-limit store that fails never makes it unlimited: the instance counts for itself', async () => {
    const fail = async () => Promise.reject(new Error('redis://the-password@host'))
    const app = await start(undefined, () => ({
      increment: fail,
      decrement: fail,
      resetKey: fail,
      get: fail,
    }))
    for (const [send, good] of [
      [() => app.register(), 201],
      [() => app.form('/oauth/token'), 401],
    ] as const) {
      const answers = [await send(), await send(), await send()]
      expect(answers.map(({ status }) => status)).toEqual([good, good, 429])
      for (const { text } of answers) expect(text).not.toContain('the-password')
    }
  })
})

test('HTP-016: a rate-limit store that never answers holds up nobody for long, and is not without limits', async () => {
  const hang = () => new Promise<never>(() => undefined)
  const app = await start(undefined, () => ({ increment: hang, decrement: hang, resetKey: hang }))
  const three = (send: () => ReturnType<typeof app.register>) => Promise.all([send(), send(), send()])
  const answers = await Promise.all([three(() => app.register()), three(() => app.form('/oauth/token'))])
  const statuses = answers.map((some) => some.map(({ status }) => status).sort())
  expect(statuses).toEqual([
    [201, 201, 429],
    [401, 401, 429],
  ])
})

test('HTP-016: a rate-limit store that cannot be started does not end the process, and is not without limits', async () => {
  const rejections: unknown[] = []
  const note = (error: unknown) => void rejections.push(error)
  process.on('unhandledRejection', note)
  cleanups.push(async () => void process.off('unhandledRejection', note))
  const fail = async () => Promise.reject(new Error('redis://the-password@host'))
  const app = await start(undefined, () => ({ init: fail, increment: fail, decrement: fail, resetKey: fail }))
  for (const [send, good] of [
    [() => app.register(), 201],
    [() => app.form('/oauth/token'), 401],
  ] as const)
    expect([(await send()).status, (await send()).status, (await send()).status]).toEqual([good, good, 429])
  expect(rejections).toEqual([])
})

test('a store of the app is one for several limits, each of which counts for itself', async () => {
  const counts = new Map<string, number>()
  const add = (key: string, by: number) => {
    const totalHits = (counts.get(key) ?? 0) + by
    counts.set(key, totalHits)
    return { totalHits, resetTime: new Date(Date.now() + 600_000) }
  }
  const store = {
    increment: async (key: string) => add(key, 1),
    decrement: async (key: string) => void add(key, -1),
    resetKey: async (key: string) => void counts.delete(key),
  }
  const app = await start(undefined, () => store)
  const { body } = await app.register()
  const look = async () => {
    const headers = { Authorization: `Bearer ${body.registration_access_token}` }
    return (await app.get(`/oauth/register/${body.client_id}`, headers)).status
  }
  const wrong = async (path: string) => (await app.form(path)).status
  expect([(await app.register()).status, (await app.register()).status]).toEqual([201, 429])
  expect([await look(), await look(), await look()]).toEqual([200, 200, 429])
  for (const path of ['/oauth/token', '/oauth/introspect'])
    expect([path, await wrong(path), await wrong(path), await wrong(path)]).toEqual([path, 401, 401, 429])
  expect(Object.fromEntries(counts)).toEqual({
    'registration 127.0.0.1': 3,
    'client configuration 127.0.0.1': 3,
    'token 127.0.0.1': 2,
    'introspection 127.0.0.1': 2,
  })
})

describe('whom a request counts for', () => {
  test('DCR-049: without trust proxy no header chooses the bucket', async () => {
    const app = await start()
    const statuses = []
    for (const address of ['1.1.1.1', '2.2.2.2', '3.3.3.3', '4.4.4.4'])
      statuses.push(
        (
          await app.register({
            ...from(address),
            Forwarded: `for=${address}`,
            'X-Real-IP': address,
            'CF-Connecting-IP': address,
          })
        ).status,
      )
    expect(statuses).toEqual([201, 201, 429, 429])
    expect(app.warnings).toEqual([])
  })

  test('DCR-049: behind one proxy the last hop counts, whatever was claimed before it', async () => {
    const app = await start(1)
    const statuses = []
    for (const claimed of ['1.1.1.1', '2.2.2.2', '3.3.3.3'])
      statuses.push((await app.register(from(`${claimed}, 203.0.113.9`))).status)
    statuses.push((await app.register(from('203.0.113.10'))).status)
    expect(statuses).toEqual([201, 201, 429, 201])
    expect(app.warnings).toEqual([])
  })

  test('HTP-019, MET-007: trust proxy true lets nobody choose a bucket, and warns once', async () => {
    const app = await start(true)
    const statuses = []
    for (const address of ['1.1.1.1', '2.2.2.2', '3.3.3.3'])
      statuses.push((await app.register(from(address))).status)
    expect(statuses).toEqual([201, 201, 429])
    expect(app.warnings).toEqual([expect.stringContaining('"trust proxy" is true')])
  })

  test('DCR-049: trust proxy false', async () => {
    const app = await start(false)
    expect(await app.key('1.1.1.1')).toBe('127.0.0.1')
  })

  test('DCR-049: one IPv6 /56 is one bucket, the next is another; spellings of an IPv4 address are one', async () => {
    const app = await start(1)
    const key = app.key
    expect(await key('2001:db8:1:200::1')).toBe(await key('2001:db8:1:2ff:ffff::2'))
    expect(await key('2001:db8:1:200::1')).not.toBe(await key('2001:db8:1:300::1'))
    expect(await key('2001:DB8:1:200:0:0:0:1')).toBe(await key('2001:db8:1:200::1'))
    expect(await key('::ffff:1.2.3.4')).toBe('1.2.3.4')
    expect(await key('::ffff:102:304')).toBe('1.2.3.4')
    expect(await key('0:0:0:0:0:ffff:1.2.3.4')).toBe('1.2.3.4')
    expect(await key('::ffff:1.2.3.5')).not.toBe(await key('::ffff:1.2.3.4'))
  })

  test('MET-007: what is no address counts for the connection, and keys stay short', async () => {
    const app = await start(1)
    for (const claimed of [
      'not-an-ip',
      'x'.repeat(10_000),
      Array(1000).fill('x').join(','),
      '1.2.3.4:80',
      '[::1]',
      '1.2.3',
      '999.1.1.1',
      '',
      ',',
      '::ffff:',
      'javascript:',
      '1.1.1.1, bad',
    ])
      expect([claimed.slice(0, 20), await app.key(claimed)]).toEqual([claimed.slice(0, 20), '127.0.0.1'])
  })
})

test('HTP-017: good requests to the token endpoint are never counted', async () => {
  const world = await startWorld({
    after: (app, aat) =>
      app.use('/tight', tokenEndpoint(aat, { rateLimit: { windowSeconds: 60, limit: 3 } })),
  })
  cleanups.push(() => world.close())
  const ask = async (secret: string) => {
    const form = { grant_type: 'client_credentials' }
    return (await world.post(`${world.base}/tight`, form, basic(CONFIDENTIAL.id, secret))).status
  }
  for (let count = 0; count < 10; count++) expect(await ask(CONFIDENTIAL.secret)).toBe(200)
  for (let count = 0; count < 3; count++) expect(await ask('wrong')).toBe(401)
  expect(await ask('wrong')).toBe(429)
  expect(await ask(CONFIDENTIAL.secret)).toBe(429)
})

/** Three failures are allowed; clients are read once `open` is called. */
async function startHeldUp() {
  const clock = manualClock()
  const stores = await makeStores(clock)
  let open = () => {}
  const isOpen = new Promise<void>((resolve) => {
    open = resolve
  })
  const read: typeof stores.clients.read = (id) => isOpen.then(() => stores.clients.read(id))
  let arrived = 0
  const world = await startWorld({
    clock,
    stores: { ...stores, clients: { ...stores.clients, read } },
    aat: { registration: { policies: { default: { grantTypes: ['client_credentials'] } } } },
    before: (app) =>
      app.use('/tight', (_req, _res, next) => {
        arrived++
        next()
      }),
    after: (app, aat) =>
      app.use('/tight', tokenEndpoint(aat, { rateLimit: { windowSeconds: 60, limit: 3 } })),
  })
  cleanups.push(() => world.close())
  const { body } = await world.register({ grant_types: ['client_credentials'] })
  // What this instance remembers of it is over.
  clock.advance(120)
  const ask = async (secret: string) => {
    const form = { grant_type: 'client_credentials', scope: 'a' }
    return (await world.post(`${world.base}/tight`, form, basic(body.client_id, secret))).status
  }
  return {
    good: body.client_secret as string,
    ask,
    open,
    /** What so many at once are answered, where all of them are there before one is judged. */
    async askAtOnce(count: number, secret: string) {
      const before = arrived
      const answers = Array.from({ length: count }, () => ask(secret))
      await until('all of them', () => arrived === before + count)
      open()
      return Promise.all(answers)
    },
  }
}

test('HTP-017: good requests to the token endpoint are never refused, however many there are at once', async () => {
  const { askAtOnce, ask, good } = await startHeldUp()
  expect(await askAtOnce(20, good)).toEqual(Array(20).fill(200))
  // Also where there is room for one more failure only.
  expect([await ask('wrong'), await ask('wrong')]).toEqual([401, 401])
  expect(await askAtOnce(20, good)).toEqual(Array(20).fill(200))
  expect([await ask('wrong'), await ask('wrong'), await ask(good)]).toEqual([401, 429, 429])
})

test('HTP-017: of any number of wrong secrets at once so many are tried as may fail', async () => {
  const { askAtOnce } = await startHeldUp()
  expect((await askAtOnce(20, 'wrong')).sort()).toEqual([...Array(3).fill(401), ...Array(17).fill(429)])
})
