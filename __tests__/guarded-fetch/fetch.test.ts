import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { FetchFailure } from '../../lib/clients/fetch-failure.ts'
import { createGuardedFetch } from '../../lib/clients/guarded-fetch.ts'
import { connectTls, type Network, systemNetwork } from '../../lib/clients/network.ts'
import { memoryStores } from '../../lib/index.ts'
import { ADDRESS, HOST, type StrangersHost, startStrangersHost } from '../support/strangers-host.ts'
import { type ManualClock, manualClock } from '../support/world.ts'

const URL_ = `https://${HOST}/client.json`
let host: StrangersHost
let clock: ManualClock
let fetchJson: ReturnType<typeof createGuardedFetch>

beforeEach(async () => {
  host = await startStrangersHost()
  clock = manualClock()
  fetchJson = createGuardedFetch({
    network: host.network,
    counters: memoryStores({ clock }).counters,
    clock,
    ports: [],
  })
})
afterEach(() => host.close())

const failureOf = (fetched: Promise<unknown>): Promise<FetchFailure> =>
  fetched.then(
    () => {
      throw new Error('it was fetched')
    },
    (error) => error,
  )

test('a JSON object comes over TLS, by the name and from the address of the name', async () => {
  host.answerJson({ a: 1 }, { 'Cache-Control': 'max-age=300' })
  expect(await fetchJson(URL_)).toEqual({ body: { a: 1 }, freshFor: 300 })
  expect(host.connections).toEqual([{ address: ADDRESS, port: 443, name: HOST }])
  expect(host.requests).toEqual([`${HOST}/client.json`])
})

test('what is asked: no cookie, no credentials, no compression, one connection', async () => {
  let headers: unknown
  host.answer((req, res) => {
    headers = req.headers
    res.writeHead(200, { 'Content-Type': 'application/client-metadata+json; charset=utf-8' })
    res.end('{}')
  })
  await fetchJson(URL_)
  expect(headers).toEqual({
    host: HOST,
    accept: 'application/json',
    'accept-encoding': 'identity',
    'user-agent': 'express-aat',
    connection: 'close',
  })
})

describe('who is connected to', () => {
  test.each([
    ['127.0.0.1'],
    ['10.1.2.3'],
    ['169.254.169.254'],
    ['::1'],
    ['::ffff:127.0.0.1'],
    ['fd00::1'],
    ['64:ff9b::a00:1'],
    ['2002:7f00:1::'],
  ])('a name that resolves to %s is refused before anything is connected to', async (address) => {
    host.resolveTo(() => [address])
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
    expect(host.connections).toEqual([])
  })

  test.each([
    [[ADDRESS, '::1']],
    [['::1', ADDRESS]],
    [[ADDRESS, '10.0.0.1']],
    [[...Array(20).fill(ADDRESS), '127.0.0.1']],
  ])('one special address among others (%j) is enough', async (addresses) => {
    host.resolveTo(() => addresses)
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
    expect(host.connections).toEqual([])
  })

  test('a name that resolves to another address each time: asked once, and connected to what was judged', async () => {
    const answers = [[ADDRESS], ['127.0.0.1'], ['127.0.0.1']]
    host.resolveTo(() => answers.shift() ?? [])
    host.answerJson({})
    await fetchJson(URL_)
    expect(host.lookups).toEqual([HOST])
    expect(host.connections.map(({ address }) => address)).toEqual([ADDRESS])
  })

  test('a URL that is wrong is not even looked up', async () => {
    for (const url of ['http://app.client-host.com/', 'https://127.0.0.1/', `https://${HOST}:8443/`])
      expect(await failureOf(fetchJson(url))).toMatchObject({ kind: 'refused' })
    expect([host.lookups, host.connections]).toEqual([[], []])
  })

  test('an address that does not answer: the next one, three at the most', async () => {
    host.resolveTo(() => ['93.184.215.1', '93.184.215.2', '2606:2800::3', '93.184.215.4'])
    host.answerJson({})
    const down = ['93.184.215.1']
    const original = connectorOf(host)
    host.connectBy((target, signal) =>
      down.includes(target.address) ? Promise.reject(new Error('refused')) : original(target, signal),
    )
    await fetchJson(URL_)
    expect(host.connections.map(({ address }) => address)).toEqual(['93.184.215.1', '93.184.215.2'])
    down.push('93.184.215.2', '2606:2800::3')
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'unavailable' })
    expect(host.connections).toHaveLength(5)
  })

  test('a certificate for another name is no host of this one', async () => {
    host.answerJson({})
    expect(await failureOf(fetchJson('https://elsewhere.other-host.com/x'))).toMatchObject({
      kind: 'unavailable',
    })
    expect(host.requests).toEqual([])
  })

  test('the machine’s own network takes no certificate that nobody vouches for, whatever the environment says', async () => {
    const { port } = host.server.address() as { port: number }
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    try {
      const target = { address: '127.0.0.1', port, name: HOST }
      await expect(systemNetwork.connect(target, new AbortController().signal)).rejects.toMatchObject({
        code: 'DEPTH_ZERO_SELF_SIGNED_CERT',
      })
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
    }
  })
})

describe('what is answered', () => {
  test.each([301, 302, 303, 307, 308])('%d is not followed', async (status) => {
    host.answer((_req, res) => {
      res.writeHead(status, {
        Location: 'https://169.254.169.254/latest',
        'Content-Type': 'application/json',
      })
      res.end('{}')
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
    expect(host.connections).toHaveLength(1)
    expect(host.lookups).toHaveLength(1)
  })

  test.each([
    [201, 'refused'],
    [204, 'refused'],
    [206, 'refused'],
    [304, 'refused'],
    [404, 'refused'],
    [410, 'refused'],
    [429, 'unavailable'],
    [500, 'unavailable'],
    [503, 'unavailable'],
  ])('status %d: %s', async (status, kind) => {
    host.answer((_req, res) => {
      res.writeHead(status, { 'Content-Type': 'application/json' })
      res.end(status === 204 || status === 304 ? undefined : '{}')
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind })
  })

  test.each([
    ['text/html'],
    ['application/jsonp'],
    ['text/json'],
    ['application/json, text/html'],
    ['application/+json'],
    [undefined],
  ])('content type %s is refused', async (type) => {
    host.answer((_req, res) => {
      if (type !== undefined) res.setHeader('Content-Type', type)
      res.end('{}')
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
  })

  test.each([
    ['not JSON', '{'],
    ['null', 'null'],
    ['an array', '[{}]'],
    ['a text', '"{}"'],
    ['nothing', ''],
    ['a member twice', '{"a":1,"b":{"c":[1,2]},"a":2}'],
    ['a member twice, in another spelling', '{"a":1,"\\u0061":2}'],
    ['a member twice, deep inside', '{"x":[{"a":{"b":1,"b":1}}]}'],
    ['__proto__', '{"__proto__":{"a":1}}'],
    ['__proto__ in another spelling', '{"x":{"__pr\\u006fto__" :1}}'],
    ['a byte order mark', '\ufeff{}'],
    ['sixty thousand brackets', `{"a":${'['.repeat(60_000)}`],
  ])('%s is refused', async (_, text) => {
    host.answerJson(text)
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
  })

  test('the same name in different objects, and texts that look like members, are fine', async () => {
    const body = { a: { b: 1 }, c: [{ b: 2 }, { b: 3 }], d: '"a":1,"a":', 'e"': '{' }
    host.answerJson(body)
    expect((await fetchJson(URL_)).body).toEqual(body)
  })

  test('bytes that are not UTF-8 are refused', async () => {
    host.answer((_req, res) => {
      res.setHeader('Content-Type', 'application/json')
      res.end(Buffer.from('{"a":"\xff"}', 'latin1'))
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
  })

  test('64 KiB are read, one byte more is not', async () => {
    const sized = (size: number) => `{"a":"${'x'.repeat(size - 8)}"}`
    host.answerJson(sized(64 * 1024))
    expect((await fetchJson(URL_)).body.a).toHaveLength(64 * 1024 - 8)
    host.answerJson(sized(64 * 1024 + 1))
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
    host.answerJson(sized(64 * 1024 + 1), { 'Content-Length': String(64 * 1024 + 1) })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
  })

  test('an answer without end is left at the limit, and the server notices', async () => {
    let sent = 0
    const closed = new Promise<void>((resolve) => {
      host.answer((_req, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json' })
        const chunk = Buffer.alloc(16 * 1024, ' ')
        const more = () => {
          while (!res.destroyed && res.write(chunk)) sent += chunk.length
        }
        res.on('drain', more)
        res.on('close', resolve)
        more()
      })
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
    await closed
    expect(sent).toBeLessThan(32 * 1024 * 1024)
  })

  test('compressed answers are refused unread: a gzip bomb stays a file', async () => {
    const bomb = gzipSync(Buffer.alloc(10 * 1024 * 1024, ' '))
    for (const encoding of ['gzip', 'br', 'x-unknown', 'identity, gzip']) {
      host.answer((_req, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Encoding': encoding })
        res.end(bomb)
      })
      expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'refused' })
    }
  })

  test('headers without end', async () => {
    host.answer((_req, res) => {
      res.socket?.write(`HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n{}`)
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'unavailable' })
  })

  test.each([
    ['garbage', 'nothing like HTTP\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}'],
    [
      'length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    ],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ])('%s is no answer', async (_, text) => {
    host.answer((_req, res) => {
      res.socket?.end(text)
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'unavailable' })
  })

  test('an answer that is cut short', async () => {
    host.answer((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '20' })
      res.write('{}')
      res.socket?.destroySoon()
    })
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'unavailable' })
  })
})

describe('time', () => {
  test('a host that dribbles is left after five seconds, and its connection closed', async () => {
    let begun: () => void = () => undefined
    const began = new Promise<void>((resolve) => {
      begun = resolve
    })
    const closed = new Promise<void>((resolve) => {
      host.answer((_req, res) => {
        res.writeHead(200, { 'Content-Type': 'application/json' })
        res.write('{')
        res.on('close', resolve)
        begun()
      })
    })
    const failure = failureOf(fetchJson(URL_))
    await began
    host.pass(5)
    expect(await failure).toMatchObject({ kind: 'unavailable' })
    await closed
  })

  test('a resolver that does not answer', async () => {
    host.resolveTo(() => new Promise(() => undefined))
    const failure = failureOf(fetchJson(URL_))
    while (host.lookups.length === 0) await new Promise(setImmediate)
    host.pass(5)
    expect(await failure).toMatchObject({ kind: 'unavailable' })
    expect(host.connections).toEqual([])
  })

  test('an address that is a black hole has two of the five seconds', async () => {
    const original = connectorOf(host)
    host.resolveTo(() => ['93.184.215.1', ADDRESS])
    host.answerJson({})
    host.connectBy((target, signal) =>
      target.address === ADDRESS
        ? original(target, signal)
        : new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gave up')))),
    )
    const fetched = fetchJson(URL_)
    while (host.connections.length === 0) await new Promise(setImmediate)
    host.pass(2)
    expect((await fetched).body).toEqual({})
  })
})

describe('how many', () => {
  test('one host: four at once, the next one is told to come again; others are not held up', async () => {
    const waiting: (() => void)[] = []
    host.answer((_req, res) => {
      waiting.push(() => {
        res.writeHead(200, { 'Content-Type': 'application/json' })
        res.end('{}')
      })
    })
    const four = Array.from({ length: 4 }, () => fetchJson(URL_))
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'busy', retryAfter: 5 })
    const other = fetchJson('https://other.client-host.com/x')
    while (waiting.length < 5) await new Promise(setImmediate)
    for (const finish of waiting) finish()
    expect(await Promise.all([...four, other])).toHaveLength(5)
    host.answerJson({ again: true })
    expect((await fetchJson(URL_)).body).toEqual({ again: true })
  })

  test('one host: 120 in a minute by all instances, and no connection beyond', async () => {
    host.answerJson({})
    for (let index = 0; index < 120; index++) await fetchJson(URL_)
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'busy', retryAfter: 60 })
    expect(host.connections).toHaveLength(120)
    // What somebody relies on is fetched all the same.
    expect((await fetchJson(URL_, { isKept: true })).body).toEqual({})
    expect((await fetchJson('https://other.client-host.com/x')).body).toEqual({})
    clock.advance(60)
    expect((await fetchJson(URL_)).body).toEqual({})
  })

  test('one source: 12 of a host, 60 of all in a minute; what it may not takes nothing from others', async () => {
    host.answerJson({})
    const by = (source: string, url: string) => fetchJson(url, { source })
    for (let index = 0; index < 12; index++) await by('a', URL_)
    for (let index = 0; index < 200; index++)
      expect(await failureOf(by('a', URL_))).toMatchObject({ kind: 'busy', retryAfter: 60 })
    for (let index = 0; index < 48; index++) await by('a', `https://h${index}.client-host.com/x`)
    expect(await failureOf(by('a', 'https://h48.client-host.com/x'))).toMatchObject({ kind: 'busy' })
    expect(host.connections).toHaveLength(60)
    expect((await by('b', URL_)).body).toEqual({})
  })

  test('all hosts: 600 in a minute', async () => {
    host.resolveTo(() => [])
    for (let index = 0; index < 600; index++)
      await failureOf(fetchJson(`https://h${index}.client-host.com/x`))
    expect(host.lookups).toHaveLength(600)
    expect(await failureOf(fetchJson(URL_))).toMatchObject({ kind: 'busy', retryAfter: 60 })
    expect(host.lookups).toHaveLength(600)
  })
})

/** The connector that leads to the real server. */
function connectorOf({ server, certificate }: StrangersHost): Network['connect'] {
  const { port } = server.address() as { port: number }
  return (target, signal) => connectTls({ ...target, address: '127.0.0.1', port }, signal, certificate)
}
