import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test } from '@jest/globals'
import type { ErrorRequestHandler, Express, Request } from 'express'
import { requestText, sendRaw, type WireAnswer } from '../support/wire.ts'
import { basic, CONFIDENTIAL, startWorld } from '../support/world.ts'

const form = { 'Content-Type': 'application/x-www-form-urlencoded' }
const isOver =
  (count: number) =>
  ({ statuses, closed }: WireAnswer) =>
    closed || statuses.length === count
const grant = { grant_type: 'client_credentials' }
const as = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)

async function startApp(before: (app: Express) => void) {
  const world = await startWorld({ before })
  const ask = (headers = {}) => world.post(world.endpoint('token'), grant, { ...as, ...headers })
  return { ...world, ask }
}

describe('what an app sees of requests that end at an endpoint', () => {
  test('answers of one turn of the event loop each end in the asynchronous context of their request', async () => {
    const contexts = new AsyncLocalStorage<string>()
    const seen: [asked: unknown, how: string, context: unknown][] = []
    const world = await startApp((app) =>
      app.use((req, res, next) => {
        const asked = `${req.headers['x-id']}`
        contexts.run(asked, () => {
          const end = res.end.bind(res) as (...values: unknown[]) => typeof res
          res.end = (...values: unknown[]) => {
            seen.push([asked, 'end', contexts.getStore()])
            return end(...values)
          }
          res.on('finish', () => seen.push([asked, 'finish', contexts.getStore()]))
          next()
        })
      }),
    )
    const ids = Array.from({ length: 20 }, (_, index) => `${index}`)
    await Promise.all(ids.map((id) => world.ask({ 'X-Id': id })))
    expect(seen.length).toBe(2 * ids.length)
    expect(seen.filter(([asked, , context]) => context !== asked)).toEqual([])
    await world.close()
  })

  test('an app that answers between our headers and our body has answered', async () => {
    let isHasty = true
    const world = await startApp((app) =>
      app.use((_req, res, next) => {
        const setHeader = res.setHeader.bind(res)
        res.setHeader = (name, value) => {
          if (isHasty && name === 'Content-Length') {
            process.nextTick(() => {
              res.removeHeader('Content-Length')
              res.statusCode = 503
              // More than goes out at once: the answer is on its way while the endpoint would send its own.
              res.end('too late'.padEnd(20_000_000))
            })
          }
          return setHeader(name, value)
        }
        next()
      }),
    )
    const { status, text } = await world.ask()
    expect([status, text.trimEnd()]).toEqual([503, 'too late'])
    isHasty = false
    expect((await world.ask()).status).toBe(200)
    await world.close()
  })

  test('an app that has given up waiting has answered: no fault, and the connection goes on', async () => {
    const world = await startApp((app) =>
      app.use((req, res, next) => {
        if (req.headers['x-hurry'] !== undefined) res.status(503).set('Content-Length', '7').end('gave up')
        next()
      }),
    )
    const text = (body: string, headers = {}) =>
      requestText(world.base, '/oauth/token', { ...form, ...as, ...headers }, body)
    const good = 'grant_type=client_credentials'
    const see = (url: string) =>
      requestText(world.base, url.slice(world.base.length), { 'X-Hurry': '1' }, '', 'GET')
    const hurried = [
      text(good, { 'X-Hurry': '1' }),
      text('grant_type=none', { 'X-Hurry': '1' }),
      see(world.authorizeUrl({})),
      see(world.authorizeUrl({ client_id: 'nobody' })),
    ]
    for (const request of hurried) {
      const answer = await sendRaw(world.base, `${request}${text(good)}`, isOver(2))
      expect([answer.statuses, answer.closed]).toEqual([[503, 200], false])
    }
    expect(world.eventsNamed('fault')).toEqual([])
    await world.close()
  })

  test('what the app hung into its answers and throws is an error of the app’s, and no end of the process', async () => {
    const world = await startApp((app) =>
      app.use((_req, res, next) => {
        const { writeHead } = res
        let isFirst = true
        res.writeHead = ((...values: Parameters<typeof writeHead>) => {
          if (isFirst) {
            isFirst = false
            throw new Error('of a wrapper')
          }
          return writeHead.apply(res, values)
        }) as typeof writeHead
        next()
      }),
    )
    const seen: unknown[] = []
    world.app.use(((error, _req, res, _next) => {
      seen.push(String(error))
      res.status(500).json({ of: 'the app' })
    }) as ErrorRequestHandler)
    const { status, body } = await world.ask()
    expect([status, body, seen]).toEqual([500, { of: 'the app' }, ['Error: of a wrapper']])
    await world.close()
  })

  test('answers before the last of a connection arrive, whatever the client had sent after it', async () => {
    const world = await startApp(() => undefined)
    const text = (headers: Record<string, string>) =>
      requestText(world.base, '/oauth/token', { ...as, ...headers }, 'grant_type=client_credentials')
    const refused = text({ 'Content-Type': 'text/plain' })
    for (const [requests, statuses] of [
      [[refused, text(form)], [400]],
      [
        [text(form), refused, text(form)],
        [200, 400],
      ],
    ]) {
      const answer = await sendRaw(world.base, (requests ?? []).join(''))
      expect([answer.statuses, answer.closed]).toEqual([statuses, true])
    }
    // The requests after that never ran.
    expect(world.eventsNamed('token.issued').length).toBe(1)
    await world.close()
  })

  test('a request and its response are what they were', async () => {
    const stateOf = (req: Request) => ({
      keys: [...Object.keys(req), ...Object.keys(req.res ?? {})],
      next: req.next,
      locals: req.res?.locals,
      prototype: Object.getPrototypeOf(req),
    })
    const seen: ReturnType<typeof stateOf>[] = []
    const world = await startApp((app) =>
      app.use('/oauth/token', (req, res, next) => {
        res.locals.mark = 1
        // What listens to the end sees the request as the endpoint left it; what came before, as it was.
        res.on('finish', () => seen.push(stateOf(req)))
        seen.push(stateOf(req))
        next()
      }),
    )
    await world.ask()
    const [before, after] = seen
    if (before === undefined || after === undefined) throw new Error('it was not asked')
    expect(after.locals).toBe(before.locals)
    expect(after.locals).toMatchObject({ mark: 1 })
    expect(after.prototype).toBe(before.prototype)
    expect(typeof after.next).toBe('function')
    expect(before.keys.filter((key) => !after.keys.includes(key))).toEqual([])
    await world.close()
  })

  test('what an app has fixed on a response stays', async () => {
    const locals = { fixed: true }
    const seen: unknown[] = []
    const world = await startApp((app) =>
      app.use((_req, res, next) => {
        Object.defineProperty(res, 'locals', { value: locals, configurable: false })
        res.on('finish', () => seen.push(res.locals))
        next()
      }),
    )
    expect((await world.ask()).status).toBe(200)
    expect(seen).toEqual([locals])
    await world.close()
  })
})
