import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import v8 from 'node:v8'
import { describe, expect, test } from '@jest/globals'
import type { Express } from 'express'
import { createAat, requireAat, tokenEndpoint } from '../../lib/index.ts'
import { createServer } from '../../lib/server.ts'
import { until } from '../support/until.ts'
import { majors } from './apps.ts'

v8.setFlagsFromString('--allow-natives-syntax')
const isFast = new Function('a', 'return %HasFastProperties(a)') as (a: object) => boolean
const haveSame = new Function('a', 'b', 'return %HaveSameMap(a, b)') as (a: object, b: object) => boolean

/** More than those by which V8 finds out how much room such an object needs. */
const FIRST = 20

/** The messages of two requests, as they are when each is over. */
async function pairOf(server: http.Server, method: string, path: string) {
  const seen: [IncomingMessage, ServerResponse][] = []
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new http.Agent({ keepAlive: true })
  const app = server.listeners('request')[0] as Express
  app.set('seen', (req: IncomingMessage, res: ServerResponse) => seen.push([req, res]))
  for (let count = 0; count < FIRST + 2; count++) {
    const request = http
      .request({ port, method, path, agent, host: '127.0.0.1' })
      .end(method === 'POST' ? 'a=b' : '')
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    await once(response.resume(), 'end')
  }
  await until('all to be over', () => seen.length === FIRST + 2)
  agent.destroy()
  server.close()
  const [one, other] = seen.slice(FIRST)
  if (one === undefined || other === undefined) throw new Error('there were fewer requests')
  return { req: [one[0], other[0]], res: [one[1], other[1]] } as const
}

const aat = createAat({
  issuer: 'http://127.0.0.1:3000',
  secrets: ['a secret of thirty-two characters'],
  resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
  clients: [],
})
const watch = (req: IncomingMessage, res: ServerResponse, next: () => void) => {
  const { app } = req as unknown as { app: Express }
  res.on('close', () => app.get('seen')(req, res))
  next()
}

describe.each(majors)('express %d', (_major, express) => {
  const plain = () => express().use(watch, (_req, res) => void res.json({}))

  test('messages of createServer have fast properties, and share their hidden class', async () => {
    const { req, res } = await pairOf(createServer(plain()), 'GET', '/')
    expect([...req, ...res].map(isFast)).toEqual([true, true, true, true])
    expect([haveSame(...req), haveSame(...res)]).toEqual([true, true])
  })

  test.each([
    ['an endpoint', 'POST', () => express().use(watch).use('/', tokenEndpoint(aat))],
    ['a guard', 'GET', () => express().use(watch).use('/', requireAat(aat))],
  ])('on a stock server, messages behind %s share their hidden class', async (_name, method, app) => {
    const { req, res } = await pairOf(http.createServer(app()), method, '/')
    expect([haveSame(...req), haveSame(...res)]).toEqual([true, true])
  })
})
