import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { describe, expect, test } from '@jest/globals'
import type { Express } from 'express'
import { makeCertificate } from '../../example-app/idp/certificate.js'
import { createSecureServer, createServer, type ExpressApp } from '../../lib/server.ts'
import { behaviours, majors } from './apps.ts'
import { transcriptOf } from './transcript.ts'

const UPGRADE = 'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nmore'
const CONNECT = 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nmore'
const EXPECT = (what: string) =>
  `POST /body HTTP/1.1\r\nHost: a\r\nExpect: ${what}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab`
const GET = 'GET /body HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'

const { privateKey: key, certificate } = makeCertificate('shop.example')
const cert = `-----BEGIN CERTIFICATE-----\n${certificate.replace(/-----[^-]+-----|\s/g, '')}\n-----END CERTIFICATE-----\n`

/** What a message is without Express: it takes what Express has only getters for. */
const plainness = (message: IncomingMessage | ServerResponse, node: object) => {
  Object.assign(message, { query: 'own', path: 'own' })
  return `${Object.getPrototypeOf(message) === node} ${'get' in message}`
}

const listeners: [string, string, (server: http.Server) => void][] = [
  [
    'upgrade',
    UPGRADE,
    (server) =>
      server.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) => {
        const state = plainness(req, http.IncomingMessage.prototype)
        socket.end(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n${state} ${head}`)
      }),
  ],
  [
    'upgrade, which nobody listens to',
    UPGRADE.replace('Connection: ', 'Connection: close, ').replace('more', ''),
    () => {},
  ],
  [
    'connect',
    CONNECT,
    (server) =>
      server.on('connect', (req: IncomingMessage, socket: Socket, head: Buffer) => {
        socket.end(
          `HTTP/1.1 200 OK\r\n\r\n${req.url} ${plainness(req, http.IncomingMessage.prototype)} ${head}`,
        )
      }),
  ],
  ['connect, which nobody listens to', CONNECT, () => {}],
  [
    'checkContinue',
    EXPECT('100-continue'),
    (server) =>
      server.on('checkContinue', (req, res) => {
        res.setHeader('X-State', plainness(req, http.IncomingMessage.prototype))
        res.writeContinue()
        server.emit('request', req, res)
      }),
  ],
  [
    'checkExpectation',
    EXPECT('wonders'),
    (server) =>
      server.on('checkExpectation', (req, res) => {
        res.end(
          `${plainness(req, http.IncomingMessage.prototype)} ${plainness(res, http.ServerResponse.prototype)}`,
        )
      }),
  ],
  [
    'a request listener before the app',
    GET,
    (server) =>
      server.prependListener('request', (req, res) => {
        res.setHeader('X-State', plainness(req, http.IncomingMessage.prototype))
      }),
  ],
  [
    'clientError',
    'nonsense\r\n\r\n',
    (server) =>
      server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
        socket.end(`HTTP/1.1 400 Bad Request\r\n\r\n${error.code}`)
      }),
  ],
]

function bodyApp(express: (typeof majors)[number][1]): Express {
  const app = express()
  app.all('/body', async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    res.json({ body, query: req.query, path: req.path })
  })
  return app
}

describe.each(majors)('express %d', (_major, express) => {
  test.each(listeners)('%s: as at a stock server', async (_name, say, listen) => {
    const observe = (server: http.Server) => {
      listen(server)
      return transcriptOf(server, [say])
    }
    const stock = await observe(http.createServer(bodyApp(express)))
    expect(await observe(createServer(bodyApp(express)))).toEqual(stock)
    expect(stock.join()).not.toContain('true true')
  })

  test('an app that listeners wrap, as Socket.IO does, answers the same', async () => {
    const observe = (server: http.Server) => {
      const app = server.listeners('request') as ((...args: unknown[]) => void)[]
      server.removeAllListeners('request')
      server.on('request', (req, res) => {
        if (req.url?.startsWith('/socket.io/')) res.end('of the wrapper')
        else for (const listener of app) listener.call(server, req, res)
      })
      return transcriptOf(server, [GET, GET.replace('/body', '/socket.io/?a=1')])
    }
    const stock = await observe(http.createServer(bodyApp(express)))
    expect(await observe(createServer(bodyApp(express)))).toEqual(stock)
    expect(stock[1]).toContain('of the wrapper')
  })

  test.each(behaviours)('over TLS: $name', async ({ app, talks }) => {
    const dial = (port: number) => connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    const observe = async (make: (app: Express) => http.Server) => {
      const notes: string[] = []
      const made = app(express, (text) => notes.push(text)).set('env', 'test')
      // What the clients get: the app's own notes of an abort depend on how TLS ends.
      const answers = await transcriptOf(make(made), talks, dial)
      return answers.map((answer) => answer.replace(/(?:Content-Length: .*|<pre>.*<\/pre>)/g, ''))
    }
    const stock = await observe((made) => https.createServer({ key, cert }, made) as unknown as http.Server)
    const ours = await observe((made) => createSecureServer(made, { key, cert }) as unknown as http.Server)
    expect(ours).toEqual(stock)
    expect(stock.filter((answer) => !answer.startsWith('HTTP/1.1 '))).toEqual([])
  })

  test('messages have the prototypes of the app from the beginning, and keep them', async () => {
    const app = express()
    const seen: unknown[] = []
    app.get('/', (req, res) => {
      seen.push(Object.getPrototypeOf(req) === app.request, Object.getPrototypeOf(res) === app.response)
      res.end()
    })
    const begin = (message: unknown) => {
      const { request, response, server: at } = message as Record<string, object>
      if (at === server) seen.push(Object.getPrototypeOf(request) === app.request)
      if (at === server) seen.push(Object.getPrototypeOf(response) === app.response)
    }
    const server = createServer(app)
    subscribe('http.server.request.start', begin)
    try {
      await transcriptOf(server, [GET.replace('/body', '/')])
    } finally {
      unsubscribe('http.server.request.start', begin)
    }
    expect(seen).toEqual([true, true, true, true])
  })
})

describe('the server', () => {
  const [[, express]] = majors as [(typeof majors)[number]]

  test('is one of Node’s, with the options that were given', async () => {
    const server = createServer(bodyApp(express), { maxHeaderSize: 1024, keepAliveTimeout: 1234 })
    expect(server).toBeInstanceOf(http.Server)
    expect(server.keepAliveTimeout).toBe(1234)
    expect(createSecureServer(express(), { key, cert })).toBeInstanceOf(https.Server)
    const [answer] = await transcriptOf(server, [GET.replace('Host', `X: ${'y'.repeat(2000)}\r\nHost`)])
    expect(answer).toMatch(/^HTTP\/1\.1 431 /)
  })

  test('says that its port is taken by an error event', async () => {
    const first = createServer(express()).listen(0, '127.0.0.1')
    await once(first, 'listening')
    const second = createServer(express())
    second.listen((first.address() as AddressInfo).port, '127.0.0.1')
    expect(await once(second, 'error')).toEqual([expect.objectContaining({ code: 'EADDRINUSE' })])
    await new Promise((resolve) => first.close(resolve))
  })

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['a listener that is not Express', () => {}],
    ['a router', express.Router()],
    ['an object', { request: http.IncomingMessage.prototype }],
    ['an app without messages', Object.assign(() => {}, { request: {}, response: {} })],
  ])('takes an Express application only: not %s', (_name, app) => {
    expect(() => createServer(app as ExpressApp)).toThrow('must be an Express application')
  })

  test.each(['IncomingMessage', 'ServerResponse'] as const)('does not take a %s', (name) => {
    const options = { [name]: class extends http[name] {} }
    expect(() => createServer(express(), options)).toThrow(`leave out the option ${name}`)
    expect(() => createSecureServer(express(), { key, cert, ...options })).toThrow(name)
  })
})
