import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { readFormBody } from '../../lib/http/body.ts'
import { sendError } from '../../lib/http/responder.ts'
import type { OAuthError } from '../../lib/protocol/oauth-error.ts'
import { requestText, sendRaw, splitResponses } from '../support/wire.ts'
import { basic, CONFIDENTIAL, startWorld, type World } from '../support/world.ts'

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
const GOOD = 'grant_type=client_credentials'

let world: World
let received: Socket[]
beforeAll(async () => {
  world = await startWorld()
  world.server.on('connection', (socket) => received.push(socket))
})
afterAll(() => world.close())
beforeEach(() => {
  received = []
  world.events.length = 0
})

const own = () => ({ ...FORM, ...basic(CONFIDENTIAL.id, CONFIDENTIAL.secret) })
const post = (body: string, headers: Record<string, string> = {}) =>
  requestText(world.base, '/oauth/token', { ...own(), ...headers }, body)
const issued = () => world.eventsNamed('token.issued').length

describe('TEP-041: several requests on one connection', () => {
  test('TEP-041: two good ones, pipelined, are answered in order and separately', async () => {
    const { text } = await sendRaw(
      world.base,
      post(`${GOOD}&scope=a`) + post(`${GOOD}&scope=b`),
      ({ statuses }) => statuses.length === 2,
    )
    const responses = splitResponses(text)
    expect(responses.map(({ status }) => status)).toEqual([200, 200])
    expect(responses.map(({ body }) => JSON.parse(body).scope)).toEqual(['a', 'b'])
  })

  test('TEP-041: a refused one does not disturb the next', async () => {
    const { statuses } = await sendRaw(
      world.base,
      post('grant_type=foo') + post(GOOD),
      (answer) => answer.statuses.length === 2,
    )
    expect(statuses).toEqual([400, 200])
  })

  test('TEP-041: Content-Length too short: the rest is no request, and the connection ends', async () => {
    const { statuses, closed } = await sendRaw(
      world.base,
      post(`${GOOD}&scope=a`, { 'Content-Length': String(GOOD.length) }) + post(GOOD),
    )
    expect(closed).toBe(true)
    expect(statuses.at(-1)).toBe(400)
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(1)
    expect(issued()).toBeLessThanOrEqual(1)
  })

  test('TEP-041: Content-Length too long: the next request becomes body, which is refused as a whole', async () => {
    const second = post(GOOD)
    const { statuses } = await sendRaw(
      world.base,
      post(GOOD, { 'Content-Length': String(GOOD.length + second.length) }) + second,
      (answer) => answer.statuses.length === 1,
    )
    expect(statuses).toEqual([400])
    expect(issued()).toBe(0)
  })

  test.each([
    ['Content-Length and Transfer-Encoding', { 'Content-Length': '5', 'Transfer-Encoding': 'chunked' }],
    ['an unknown transfer coding last', { 'Transfer-Encoding': 'chunked, identity' }],
    ['a Content-Length with a sign', { 'Content-Length': '+29' }],
    ['a Content-Length list', { 'Content-Length': '29, 5' }],
  ])('TEP-041: %s: 400 and close, nothing of it runs', async (_what, headers) => {
    const { statuses, closed } = await sendRaw(
      world.base,
      post(`1d\r\n${GOOD}\r\n0\r\n\r\n`, headers) + post(GOOD),
    )
    expect(closed).toBe(true)
    expect(statuses).toEqual([400])
    expect(issued()).toBe(0)
  })

  test('TEP-041: two Content-Length headers: 400 and close', async () => {
    const text = post(GOOD).replace('Content-Length', 'Content-Length: 5\r\nContent-Length')
    const { statuses, closed } = await sendRaw(world.base, text + post(GOOD))
    expect([statuses, closed]).toEqual([[400], true])
    expect(issued()).toBe(0)
  })

  test('TEP-041: a request in the body of a refused method never runs', async () => {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const smuggled = post(GOOD)
      const { statuses } = await sendRaw(
        world.base,
        (socket) => void socket.end(requestText(world.base, '/oauth/token', { ...own() }, smuggled, method)),
      )
      expect(statuses).toEqual([405])
    }
    expect(issued()).toBe(0)
  })

  test('TEP-041: after a body over the limit the connection ends, and what follows never runs', async () => {
    const { statuses, closed } = await sendRaw(world.base, post('x'.repeat(70_000)) + post(GOOD))
    expect([statuses, closed]).toEqual([[413], true])
    expect(issued()).toBe(0)
  })
})

describe('two headers', () => {
  test('CAU-008: two Authorization headers are refused, whichever is right', async () => {
    const { Authorization: right } = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
    const { Authorization: wrong } = basic('other', 'wrong')
    for (const [first, second] of [
      [right, wrong],
      [wrong, right],
      [right, right],
    ]) {
      const text = post(GOOD).replace(
        `Authorization: ${right}`,
        `Authorization: ${first}\r\nauthorization: ${second}`,
      )
      const answer = await sendRaw(world.base, text, ({ statuses }) => statuses.length === 1)
      expect(answer.statuses).toEqual([400])
      expect(answer.text).toContain('"invalid_request"')
    }
    expect(issued()).toBe(0)
  })

  test('TEP-008: with two Content-Type headers the first decides, and another type is refused', async () => {
    const json = post(GOOD).replace('Content-Type:', 'Content-Type: application/json\r\nContent-Type:')
    const { statuses } = await sendRaw(world.base, json, (answer) => answer.statuses.length === 1)
    expect(statuses).toEqual([400])
    expect(issued()).toBe(0)
  })

  test('TEP-023: a header with a line break is no request at all', async () => {
    const text = post(GOOD).replace('Content-Type:', 'X-A: a\rX-Injected: b\r\nContent-Type:')
    const { statuses, closed } = await sendRaw(world.base, text)
    expect([statuses, closed]).toEqual([[400], true])
  })
})

describe('bodies that are too much, or never come', () => {
  test('TEP-020: 20 MB without a length: 413, and little more than the limit was ever read', async () => {
    const chunk = `10000\r\n${'a=&'.repeat(21_845)}a\r\n`
    const { text, closed } = await sendRaw(world.base, (socket) => {
      socket.write(post('', { 'Transfer-Encoding': 'chunked' }))
      let sent = 0
      const more = () => {
        while (sent < 320 && !socket.destroyed) {
          sent++
          if (!socket.write(chunk)) return void socket.once('drain', more)
        }
      }
      more()
    })
    expect(closed).toBe(true)
    expect(splitResponses(text).map(({ status }) => status)).toEqual([413])
    expect(received).toHaveLength(1)
    expect(received[0]?.bytesRead).toBeLessThan(1024 * 1024)
  })

  test('TEP-020: a declared length over the limit is refused before the body is sent', async () => {
    const { statuses, closed } = await sendRaw(world.base, post('', { 'Content-Length': '1000000' }))
    expect([statuses, closed]).toEqual([[413], true])
  })

  test('TEP-020: a client that sends a megabyte first still reads the 413', async () => {
    for (let round = 0; round < 20; round++) {
      const { statuses } = await sendRaw(world.base, post('a='.repeat(500_000)))
      expect(statuses).toEqual([413])
    }
  })

  test('TEP-022: a body that is cut short is refused, and nothing was done', async () => {
    await sendRaw(
      world.base,
      (socket) => void socket.write(post(GOOD, { 'Content-Length': '1000' }), () => socket.destroy()),
    )
    // The next request on another connection is served, and the cut one left nothing behind.
    expect((await world.token({ grant_type: 'client_credentials' })).status).toBe(200)
    expect(issued()).toBe(1)
    expect(world.eventsNamed('fault')).toHaveLength(0)
  })
})

describe('TEP-022: a slow body', () => {
  let server: Server
  let base: string
  beforeAll(async () => {
    const app = express()
    // The reader and the responder of the endpoint, with a shorter time-out than its 15 seconds.
    app.post('/oauth/token', (req, res) => {
      readFormBody(req, 1024, 0.25).then(
        () => res.json({}),
        (error: OAuthError) => sendError(req, res, error),
      )
    })
    server = createServer(app)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => new Promise((resolve) => server.close(resolve)))

  test('TEP-022: the time-out is for the whole body, so a byte now and then prolongs nothing', async () => {
    let trickle: NodeJS.Timeout | undefined
    const start = performance.now()
    const { text, closed } = await sendRaw(base, (socket) => {
      socket.write(requestText(base, '/oauth/token', { ...FORM, 'Content-Length': '1000' }))
      trickle = setInterval(() => socket.write('a'), 20)
    })
    clearInterval(trickle)
    expect(closed).toBe(true)
    const [response] = splitResponses(text)
    expect(response?.status).toBe(408)
    expect(JSON.parse(response?.body ?? '')).toMatchObject({ error: 'invalid_request' })
    expect(response?.headers).toContainEqual(['connection', 'close'])
    expect(performance.now() - start).toBeLessThan(5000)
  })

  test('TEP-022: nothing at all after the headers is bounded too', async () => {
    const { statuses, closed } = await sendRaw(
      base,
      requestText(base, '/oauth/token', { ...FORM, 'Content-Length': '1000' }),
    )
    expect([statuses, closed]).toEqual([[408], true])
  })
})
