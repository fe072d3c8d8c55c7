import { createSocket, type Socket } from 'node:dgram'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { resolveName } from '../../lib/clients/network.ts'

const A = 1
const AAAA = 28
const SERVFAIL = 2
const NXDOMAIN = 3

/** What the name server says: addresses as bytes, by type; a code; or nothing at all. */
type Answer = Record<number, number[][] | number | undefined>
const zone: Record<string, Answer> = {
  'both.client-host.com': { [A]: [[93, 184, 215, 14]], [AAAA]: [[0x26, 0x06, ...Array(13).fill(0), 1]] },
  'four.client-host.com': {
    [A]: [
      [93, 184, 215, 14],
      [10, 0, 0, 1],
    ],
    [AAAA]: [],
  },
  'six.client-host.com': { [A]: [], [AAAA]: [[...Array(15).fill(0), 1]] },
  'half.client-host.com': { [A]: [[93, 184, 215, 14]], [AAAA]: SERVFAIL },
  'none.client-host.com': { [A]: NXDOMAIN, [AAAA]: NXDOMAIN },
  'broken.client-host.com': { [A]: SERVFAIL, [AAAA]: SERVFAIL },
  'silent.client-host.com': {},
}

let server: Socket
let servers: string[]
let heard: () => void = () => undefined
beforeAll(async () => {
  server = createSocket('udp4', (query, { port, address }) => {
    const labels: string[] = []
    let at = 12
    for (; query[at] !== 0; at += (query[at] ?? 0) + 1)
      labels.push(query.toString('latin1', at + 1, at + 1 + (query[at] ?? 0)))
    const type = query.readUInt16BE(at + 1)
    const answer = zone[labels.join('.').toLowerCase()]?.[type]
    heard()
    if (answer === undefined) return
    const records = typeof answer === 'number' ? [] : answer
    const head = Buffer.alloc(12)
    query.copy(head, 0, 0, 2)
    head.writeUInt16BE(0x8180 | (typeof answer === 'number' ? answer : 0), 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(records.length, 6)
    const body = records.map((bytes) =>
      Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length, ...bytes]),
    )
    server.send(Buffer.concat([head, query.subarray(12, at + 5), ...body]), port, address)
  })
  await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve))
  servers = [`127.0.0.1:${server.address().port}`]
})
afterAll(() => {
  server.close()
})

const resolve = (name: string, signal = new AbortController().signal) => resolveName(name, signal, servers)

test.each([
  ['both.client-host.com', ['93.184.215.14', '2606::1']],
  ['four.client-host.com', ['93.184.215.14', '10.0.0.1']],
  ['six.client-host.com', ['::1']],
  ['half.client-host.com', ['93.184.215.14']],
  ['none.client-host.com', []],
])('%s has %j', async (name, addresses) => {
  expect((await resolve(name)).sort()).toEqual([...addresses].sort())
})

test('a name server that fails is no name without addresses', async () => {
  await expect(resolve('broken.client-host.com')).rejects.toMatchObject({ code: 'ESERVFAIL' })
})

test('a name server that is silent is left when the time is over', async () => {
  const asked = new Promise<void>((done) => {
    heard = done
  })
  const controller = new AbortController()
  const resolved = resolve('silent.client-host.com', controller.signal)
  await asked
  controller.abort()
  await expect(resolved).rejects.toMatchObject({ code: 'ECANCELLED' })
})

test('what the hosts file of the machine says is not asked', async () => {
  zone['ip6-localhost'] = { [A]: NXDOMAIN, [AAAA]: NXDOMAIN }
  expect(await resolve('ip6-localhost')).toEqual([])
})
