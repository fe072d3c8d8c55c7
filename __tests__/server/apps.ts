import { createReadStream } from 'node:fs'
import type { Express, Request } from 'express'
import express5 from 'express'
import express4 from 'express4'
import type { Exchange } from './transcript.ts'

/** One behaviour: an app, and what clients say to it. `note` goes into the transcript too. */
export interface Behaviour {
  readonly name: string
  readonly app: (express: typeof express5, note: (text: string) => void) => Express
  /** Each in a connection of its own, one after the other: what the client writes. */
  readonly talks: readonly (string | Exchange)[]
}

export const majors: [number, typeof express5][] = [
  [5, express5],
  [4, express4],
]

const get = (path: string, ...headers: string[]) =>
  [`GET ${path} HTTP/1.1`, 'Host: shop.example', ...headers, 'Connection: close', '', ''].join('\r\n')
const post = (path: string, type: string, body: string, ...headers: string[]) =>
  [
    `POST ${path} HTTP/1.1`,
    ...[
      'Host: shop.example',
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...headers,
    ],
    ...['Connection: close', '', body],
  ].join('\r\n')

/** All that Express adds to a request. */
const facts = (req: Request) => ({
  ...{ url: req.url, originalUrl: req.originalUrl, baseUrl: req.baseUrl, path: req.path, query: req.query },
  ...{
    params: req.params,
    protocol: req.protocol,
    secure: req.secure,
    host: req.host,
    hostname: req.hostname,
  },
  ...{ ip: req.ip?.replace('::ffff:', ''), ips: req.ips, subdomains: req.subdomains, xhr: req.xhr },
  ...{ fresh: req.fresh, stale: req.stale, accepts: req.accepts('json', 'html'), is: req.is('json') },
  ...{
    languages: req.acceptsLanguages(),
    charsets: req.acceptsCharsets(),
    encodings: req.acceptsEncodings(),
  },
  ...{ header: req.get('X-Thing'), range: req.range(1000), own: Object.keys(req).sort().join() },
  ...{ name: req.constructor.name, methods: 'send' in (req.res ?? {}), settings: req.app.get('thing') },
})

export const behaviours: Behaviour[] = [
  {
    name: 'what a request tells',
    app: (express) => {
      const app = express().set('thing', 1).set('trust proxy', 1)
      const tell = (req: Request, res: express5.Response) => void res.json(facts(req))
      app.get('/told/:id', tell)
      app.use('/mounted', express.Router().get('/:id/x', tell))
      return app
    },
    talks: [
      get(
        '/told/1?a=1&b[]=2&b[]=3',
        'X-Thing: t',
        'Accept: text/html;q=0.5, application/json',
        'Range: bytes=0-9',
      ),
      get('/mounted/2/x', 'X-Forwarded-For: 192.0.2.1, 192.0.2.2', 'X-Forwarded-Proto: https'),
      get(
        '/told/3',
        'X-Forwarded-Host: a.b.shop.example',
        'X-Requested-With: XMLHttpRequest',
        'If-None-Match: *',
      ),
      get('/told/4', 'Accept-Language: de, en;q=0.5', 'Accept-Charset: utf-8', 'Accept-Encoding: br'),
      get('/told/%E4', 'Accept: */*'),
      get('//told/5?x=1'),
    ],
  },
  {
    name: 'what a response can do',
    app: (express) => {
      const app = express().set('trust proxy', true)
      app.get('/send', (_req, res) => void res.status(201).send('text'))
      app.get('/buffer', (_req, res) => void res.type('bin').send(Buffer.from([0, 1, 255])))
      app.get('/json', (_req, res) => void res.set('X-A', 'b').json({ a: [1, null, 'é'] }))
      app.get('/jsonp', (_req, res) => void res.jsonp({ a: 1 }))
      app.get('/redirect', (_req, res) => void res.redirect(303, '/elsewhere?a=<b>'))
      app.get('/status', (_req, res) => void res.sendStatus(404))
      app.get('/cookie', (_req, res) => {
        res.cookie('a', 'b c', { httpOnly: true, sameSite: 'lax', path: '/x' }).clearCookie('old').end()
      })
      app.get('/format', (_req, res) => {
        res.format({
          text: () => res.send('t'),
          json: () => res.send({ t: 1 }),
          html: () => res.send('<p>t'),
        })
      })
      app.get('/headers', (_req, res) => {
        res.append('Link', '<a>').append('Link', '<b>').links({ next: '/2' }).vary('Accept').location('/here')
        res.attachment('ä b.txt').send(String(res.get('Link')))
      })
      app.get(
        '/locals',
        (_req, res) => void res.send(`${Object.getPrototypeOf(res.locals)} ${res.headersSent}`),
      )
      app.get(
        '/file',
        (_req, res) => void res.sendFile('LICENSE', { root: process.cwd(), cacheControl: false }),
      )
      app.get('/download', (_req, res) => void res.download('LICENSE', 'terms.txt', { root: process.cwd() }))
      app.use('/static', express.static('.vscode', { etag: true, redirect: true }))
      return app
    },
    talks: [
      ...['/send', '/buffer', '/json', '/jsonp?callback=cb', '/redirect', '/status', '/cookie'].map((path) =>
        get(path),
      ),
      ...['/headers', '/locals', '/file', '/download', '/static/settings.json', '/static', '/none'].map(
        (path) => get(path),
      ),
      get('/format', 'Accept: application/json'),
      get('/format', 'Accept: text/html'),
      get('/format', 'Accept: image/png'),
      get('/file', 'Range: bytes=3-8'),
      get('/file', 'Range: bytes=999999-'),
      get('/json', 'If-None-Match: W/"18-2f6e0"'),
      get('/static/../package.json'),
      'HEAD /json HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n',
      'OPTIONS /json HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n',
      'DELETE /json HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n',
    ],
  },
  {
    name: 'bodies',
    app: (express, note) => {
      const app = express()
      app.use(express.json({ limit: 100 }), express.urlencoded({ extended: true }), express.text())
      app.post(
        '/echo',
        (req, res) => void res.json({ body: req.body ?? 'none', length: req.get('Content-Length') }),
      )
      app.post('/stream', async (req, res) => {
        let size = 0
        for await (const chunk of req) size += (chunk as Buffer).length
        res.send(`${size}`)
      })
      app.post('/early', (req, res) => {
        req.on('close', () => note(`closed, complete ${req.complete}`))
        res.send('enough')
      })
      return app
    },
    talks: [
      post('/echo', 'application/json', '{"a":{"b":[1,2]}}'),
      post('/echo', 'application/json', '{"a":'),
      post('/echo', 'application/json', `"${'x'.repeat(200)}"`),
      post('/echo', 'application/x-www-form-urlencoded', 'a=1&a=2&b[c]=3&d=%ZZ'),
      post('/echo', 'text/plain', 'plain'),
      post('/echo', 'application/json; charset=latin1', '{}'),
      post('/echo', 'application/json', 'zzz', 'Content-Encoding: gzip'),
      post('/stream', 'application/octet-stream', 'x'.repeat(70_000)),
      post('/early', 'application/octet-stream', 'x'.repeat(1000)),
      'POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
      'POST /stream HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab',
      'POST /stream HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab',
    ],
  },
  {
    name: 'connections: keep-alive, pipelining, HTTP/1.0, nonsense',
    app: (express) => {
      const app = express()
      app.get('/slow', (_req, res) => void setImmediate(() => res.send('slow')))
      app.get('/fast', (req, res) => void res.send(`fast ${req.httpVersion}`))
      return app
    },
    talks: [
      `GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /fast HTTP/1.1\r\nHost: a\r\n\r\n${get('/slow')}`,
      'GET /fast HTTP/1.0\r\n\r\n',
      'GET /fast HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /slow HTTP/1.0\r\n\r\n',
      'GET /fast HTTP/1.1\r\nConnection: close\r\n\r\n',
      'nonsense\r\n\r\n',
      `GET /fast HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`,
      'GET /fast HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'HEAD /fast HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    ],
  },
  {
    name: 'sub-apps, mounted in one another',
    app: (express) => {
      const [app, outer, inner] = [express(), express(), express()]
      for (const [name, one] of Object.entries({ app, outer, inner })) {
        one.set('thing', name)
        Object.assign(one.request, { from: name })
        Object.assign(one.response, { from: name })
      }
      const seen = (req: Request, res: express5.Response) =>
        [
          req.app.get('thing'),
          res.app.get('thing'),
          Reflect.get(req, 'from'),
          Reflect.get(res, 'from'),
          req.baseUrl,
        ].join()
      inner.get('/here', (req, res) => void res.send(seen(req, res)))
      inner.get('/throw', () => {
        throw Object.assign(new Error('of the inner app'), { status: 418 })
      })
      outer.set('trust proxy', true).use('/inner', inner)
      outer.use((req, res, next) => {
        res.append('X-Seen', seen(req, res))
        next()
      })
      outer.get('/here', (req, res) => void res.send(`${seen(req, res)} ${req.protocol}`))
      app.use('/outer', outer)
      app.use((req, res) => void res.status(404).send(`${seen(req, res)} ${req.protocol}`))
      app.use(((error, req, res, _next) => {
        res.status(error.status).send(`${error.message} ${seen(req, res)}`)
      }) as express5.ErrorRequestHandler)
      return app
    },
    talks: [
      '/outer/inner/here',
      '/outer/here',
      '/outer/none',
      '/none',
      '/outer/inner/throw',
      '/outer/inner/none',
    ].map((path) => get(path, 'X-Forwarded-Proto: https')),
  },
  {
    name: 'prototypes that the app extends, early and late, and replaces',
    app: (express) => {
      const app = express()
      Object.assign(app.response, {
        shout(this: express5.Response, text: string) {
          return this.send(text.toUpperCase())
        },
      })
      function sendNo(this: express5.Response) {
        return this.send('no')
      }
      app.get('/shout', (_req, res) => Reflect.get(res, 'shout').call(res, 'loud'))
      app.get('/extend', (_req, res) => {
        Reflect.set(app.request, 'tenant', 'of the prototype')
        res.send('extended')
      })
      app.get('/tenant', (req, res) => void res.send(String(Reflect.get(req, 'tenant'))))
      app.get('/replace', (_req, res) => {
        app.request = Object.create(app.request, { tenant: { value: 'of another prototype' } })
        app.response = Object.create(app.response, { shout: { value: sendNo } })
        res.send('replaced')
      })
      return app
    },
    talks: ['/shout', '/tenant', '/extend', '/tenant', '/replace', '/tenant', '/extend', '/shout'].map(
      (path) => get(path),
    ),
  },
  {
    name: 'errors',
    app: (express) => {
      const app = express().disable('x-powered-by')
      app.get('/thrown', () => {
        throw new Error('thrown')
      })
      app.get('/next', (_req, _res, next) =>
        next(Object.assign(new Error('next'), { status: 409, expose: true })),
      )
      app.get('/late', (_req, res, next) => {
        res.write('half')
        next(new Error('late'))
      })
      app.get('/header', (_req, res) => void res.set('X', 'a\r\nb').end())
      app.use(((error, _req, res, next) => {
        if (res.headersSent) next(error)
        else res.status(error.status ?? 500).send(`${error.name} ${error.code} ${error.message}`)
      }) as express5.ErrorRequestHandler)
      return app
    },
    talks: ['/thrown', '/next', '/late', '/header', '/none', '/%'].map((path) => get(path)),
  },
  {
    name: 'streams, trailers, informational answers, aborts',
    app: (express, note) => {
      const app = express()
      app.get('/stream', (_req, res) => void createReadStream('LICENSE').pipe(res))
      app.get('/trailers', (_req, res) => {
        res.set('Trailer', 'X-Sum')
        res.write('body')
        res.addTrailers({ 'X-Sum': '7' })
        res.end()
      })
      app.get('/hints', (_req, res) => {
        res.writeEarlyHints({ link: '</style.css>; rel=preload' })
        res.writeProcessing()
        res.send('then')
      })
      app.get('/abort', (req, res) => {
        res.on('close', () => note(`closed, finished ${res.writableFinished}, destroyed ${req.destroyed}`))
        res.write('beginning')
      })
      app.get('/head', (_req, res) => void res.writeHead(207, 'Many', { 'X-A': '1' }).end('many'))
      return app
    },
    talks: [
      ...['/stream', '/trailers', '/hints', '/head'].map((path) => get(path)),
      { say: get('/abort'), leaveAfter: 'beginning' },
    ],
  },
]
