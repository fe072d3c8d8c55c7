import { createServer } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, expect, jest, test } from '@jest/globals'
import express from 'express'
import { createWaitingLine } from '../../lib/http/waiting-line.ts'
import { tokenEndpoint } from '../../lib/index.ts'
import { makeStores } from '../support/stores.ts'
import { until } from '../support/until.ts'
import { requestText } from '../support/wire.ts'
import { basic, CONFIDENTIAL, manualClock, startWorld } from '../support/world.ts'

/** The limit of failures lets so many attempts at once be under way as may fail; the others of their address wait in line. */
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  jest.restoreAllMocks()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const FORM = { grant_type: 'client_credentials' }
const WAITING = 256

/** A token endpoint, and clients each of which takes until it is let go. */
async function startTight(limit: number, windowSeconds = 600) {
  const clock = manualClock()
  const stores = await makeStores(clock)
  const gates = new Map<string, { name: string; isOpen: Promise<void> }>()
  /** Attempts that began, and good ones that are over, in that order. */
  const log: string[] = []
  const read: typeof stores.clients.read = async (id) => {
    const gate = gates.get(id)
    if (gate !== undefined) log.push(gate.name)
    await gate?.isOpen
    return stores.clients.read(id)
  }
  let arrived = 0
  const world = await startWorld({
    clock,
    stores: { ...stores, clients: { ...stores.clients, read } },
    aat: { registration: { quotas: false, policies: { default: { grantTypes: ['client_credentials'] } } } },
    // With the body read before, what has arrived here is judged before the next one arrives.
    before: (app) =>
      app.use('/tight', express.urlencoded(), (_req, _res, next) => {
        arrived++
        next()
      }),
    after: (app, aat) => app.use('/tight', tokenEndpoint(aat, { rateLimit: { windowSeconds, limit } })),
  })
  cleanups.push(() => world.close())
  const url = `${world.base}/tight`
  const good = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
  const wrong = basic(CONFIDENTIAL.id, 'wrong')

  async function thatArrives<Sent>(count: number, send: () => Sent): Promise<Sent> {
    const all = arrived + count
    const sent = send()
    await until('all of them', () => arrived === all)
    return sent
  }
  const ask = async (headers = good) => (await world.post(url, FORM, headers)).status

  return {
    world,
    log,
    good,
    wrong,
    ask,
    thatArrives,
    /** A connection with these requests on it, one behind the other. */
    connectWith(...requests: Record<string, string>[]): Socket {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      cleanups.push(() => socket.destroy())
      const type = { 'Content-Type': 'application/x-www-form-urlencoded' }
      const body = new URLSearchParams(FORM).toString()
      for (const headers of requests) socket.write(requestText(url, '/tight', { ...type, ...headers }, body))
      return socket
    },
    /** Until the server knows of it. */
    async closeAll(sockets: Socket[]): Promise<void> {
      const count = () => new Promise<number>((resolve) => world.server.getConnections((_, n) => resolve(n)))
      const left = (await count()) - sockets.length
      for (const socket of sockets) socket.destroy()
      await until('the server to notice', async () => (await count()) <= left)
    },
    async slowClients(...names: string[]) {
      const clients: { headers: Record<string, string>; letGo: () => void }[] = []
      for (const name of names) {
        const { body } = await world.register({ grant_types: ['client_credentials'], scope: 'a' })
        let letGo = () => {}
        const isOpen = new Promise<void>((resolve) => {
          letGo = resolve
        })
        gates.set(body.client_id, { name, isOpen })
        clients.push({ headers: basic(body.client_id, body.client_secret), letGo })
      }
      // What this instance remembers of them is over.
      clock.advance(120)
      return clients
    },
  }
}

type Tight = Awaited<ReturnType<typeof startTight>>

/** So many failures that there is room for one attempt, which is under way. */
async function startCrowded() {
  const tight = await startTight(2)
  const [slow] = await tight.slowClients('slow')
  if (slow === undefined) throw new Error('no client')
  expect(await tight.ask(tight.wrong)).toBe(401)
  return { ...tight, slow }
}

test('HTP-017: so many of one address wait, and more are told to come again, which is no fault', async () => {
  const { world, ask, good, thatArrives, slow } = await startCrowded()
  const first = await thatArrives(1, () => [ask(slow.headers)])
  const waiting = await thatArrives(WAITING, () => Array.from({ length: WAITING }, () => ask()))
  const more = await world.post(`${world.base}/tight`, FORM, good)
  expect([more.status, more.body.error, more.headers.get('retry-after')]).toEqual([
    503,
    'temporarily_unavailable',
    '1',
  ])
  slow.letGo()
  expect(await Promise.all([...first, ...waiting])).toEqual(Array(WAITING + 1).fill(200))
  expect(world.eventsNamed('fault')).toEqual([])
})

type Headers = Record<string, string>
const crowds: [string, (tight: Tight, slow: Headers, others: Headers[]) => Promise<Socket[]>][] = [
  [
    'each on a connection of its own',
    async ({ thatArrives, connectWith }, slow, others) => [
      await thatArrives(1, () => connectWith(slow)),
      ...(await thatArrives(others.length, () => others.map((headers) => connectWith(headers)))),
    ],
  ],
  [
    'one behind the other on one connection',
    async ({ thatArrives, connectWith }, slow, others) => [
      await thatArrives(1 + others.length, () => connectWith(slow, ...others)),
    ],
  ],
]

test.each(crowds)('HTP-017: clients that left do not wait, nor are they tried: %s', async (_, crowd) => {
  const { slow, ...tight } = await startCrowded()
  const { ask, wrong } = tight
  await tight.closeAll(await crowd(tight, slow.headers, Array(WAITING).fill(wrong)))
  const good = await tight.thatArrives(1, () => [ask()])
  slow.letGo()
  expect(await Promise.all(good)).toEqual([200])
  // Of two failures there was one.
  expect([await ask(wrong), await ask(wrong)]).toEqual([401, 429])
})

test('HTP-017: of a client that leaves nothing is kept in line', async () => {
  const line = createWaitingLine<string>(WAITING)
  const turns: unknown[] = []
  const server = createServer(
    express().use(async (req, res) => {
      turns.push('arrived')
      turns.push(await line.join(req, res))
    }),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  const { port } = server.address() as AddressInfo
  const socket = connect(port, '127.0.0.1')
  // Two on one connection: of the second Node never tells that it is closed.
  socket.write(requestText(`http://127.0.0.1:${port}`, '/', {}).repeat(2))
  await until('both', () => turns.length === 2)
  expect(line.isEmpty).toBe(false)
  socket.destroy()
  await until('both to be out', () => turns.length === 4)
  expect([line.isEmpty, turns.slice(2)]).toEqual([true, [undefined, undefined]])
})

test('HTP-017: the end of the window lets those go on who wait, where nobody is done', async () => {
  const { ask, wrong, slowClients, thatArrives } = await startTight(2, 1)
  const [slow] = await slowClients('slow')
  expect(await ask(wrong)).toBe(401)
  const first = await thatArrives(1, () => [ask(slow?.headers)])
  expect(await ask()).toBe(200)
  slow?.letGo()
  expect(await Promise.all(first)).toEqual([200])
})

test('HTP-017: the end of the window is the end, also where it comes while those who wait are looked at', async () => {
  const { ask, wrong, slowClients, thatArrives } = await startTight(2, 1)
  const [slow] = await slowClients('slow')
  expect(await ask(wrong)).toBe(401)
  const first = await thatArrives(1, () => [ask(slow?.headers)])
  const waiting = await thatArrives(1, () => [ask()])
  const real = Date.now
  const before = real()
  let looks = 0
  jest.spyOn(Date, 'now').mockImplementation(() => {
    const isLook = new Error().stack?.includes('failure-limit') === true
    return isLook && looks++ === 0 ? before : real() + 2000
  })
  expect(await Promise.all(waiting)).toEqual([200])
  expect(looks).toBeGreaterThan(1)
  slow?.letGo()
  expect(await Promise.all(first)).toEqual([200])
})

test('HTP-017: after the window so many go on as there is room for, and nobody overtakes those who wait', async () => {
  const { ask, wrong, log, slowClients, thatArrives } = await startTight(3)
  const clients = await slowClients('A', 'B', 'C', 'D', 'E')
  expect([await ask(wrong), await ask(wrong)]).toEqual([401, 401])
  const answers: Promise<number>[] = []
  for (const { headers } of clients) answers.push(...(await thatArrives(1, () => [ask(headers)])))
  await until('the first', () => log.length === 1)

  const real = Date.now
  jest.spyOn(Date, 'now').mockImplementation(() => real() + 601_000)
  const newcomer = await thatArrives(1, () => [ask().finally(() => log.push('newcomer'))])
  await until('those for whom there is room', () => log.length >= 3)
  for (const [position, { letGo }] of clients.entries()) {
    letGo()
    expect(await answers[position]).toBe(200)
  }
  expect(await Promise.all(newcomer)).toEqual([200])
  expect(log).toEqual(['A', 'B', 'C', 'D', 'E', 'newcomer'])
})
