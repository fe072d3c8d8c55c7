import { expect, test } from '@jest/globals'
import { Cluster } from 'ioredis'
import { type FaultProxy, natMapThrough, startFaultProxy } from '../support/fault-proxy.ts'
import { type RedisServer, startCluster } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { isPending, Proxied } from './proxied.ts'

const world = new Proxied()

test('black hole: half-open, new connections included; a command of a client that gave up is executed late', async () => {
  const client = await world.connected({ commandTimeout: 50 })
  world.proxy.blackhole()
  await expect(client.incr('late')).rejects.toThrow('timed out')
  client.disconnect()
  const fresh = world.client({ commandTimeout: 50, retryStrategy: null, enableReadyCheck: false })
  await expect(fresh.incr('fresh')).rejects.toThrow()
  expect([await world.stored('late'), world.proxy.open]).toEqual([null, 2])
  world.proxy.release()
  await until('it was executed late', async () => (await world.stored('late')) === '1')
  await until('the connection of the client that left is gone', () => world.proxy.open <= 1)
})

test('black hole whose bytes are dropped: not executed, the connections are cut', async () => {
  const client = await world.connected({ autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0 })
  const seen = world.proxy.next('INCR', 'pass')
  world.proxy.blackhole()
  const answer = client.incr('n').catch((error: Error) => error.message)
  await seen
  world.proxy.release({ deliver: false })
  expect(await answer).toContain('retries per request')
  await until('it is connected again', () => client.status === 'ready')
  expect(await world.stored('n')).toBe(null)
})

test('black hole for replies only: executed, and nobody hears of it', async () => {
  const client = await world.connected()
  world.proxy.blackhole('replies')
  const answer = client.incr('n')
  await until('it was executed', async () => (await world.stored('n')) === '1')
  expect(await isPending(answer)).toBe(true)
  world.proxy.release()
  expect(await answer).toBe(1)
})

test('refuse and cutAll: no way in until it ends; retarget: another server behind the same address', async () => {
  const client = await world.connected()
  await world.proxy.refuse()
  expect(await client.ping()).toBe('PONG')
  const errors: string[] = []
  client.on('error', (error) => errors.push(error.message))
  world.proxy.cutAll()
  await until('it is refused', () => errors.some((message) => message.includes('ECONNREFUSED')))
  await world.proxy.refuse(false)
  expect(await client.ping()).toBe('PONG')

  const upper = await startFaultProxy(world.proxy.port, { raw: true })
  const through = world.server.client(upper.address)
  expect(await through.set('raw', 1)).toBe('OK')
  expect(upper.count()).toBe(0)
  world.proxy.retarget(1)
  world.proxy.cutAll()
  await until('nobody answers', () => through.status !== 'ready')
  await upper.close()
})

test('a server that dies ends its connections; one that is not there ends new ones', async () => {
  const client = await world.connected({ maxRetriesPerRequest: 0 })
  await world.server.kill()
  await expect(client.ping()).rejects.toThrow()
  await until('no connection is left', () => world.proxy.open === 0)
  await world.server.restart()
  await until('it is connected again', () => client.status === 'ready')
  expect(await client.ping()).toBe('PONG')
})

test('a cluster through proxies: natMap leads every node through its own', async () => {
  const nodes = await startCluster()
  const pairs = await Promise.all(
    nodes.nodes.map(
      async (node): Promise<[RedisServer, FaultProxy]> => [node, await startFaultProxy(node.port)],
    ),
  )
  const cluster = new Cluster(
    pairs.slice(0, 1).map(([, { address }]) => address),
    { natMap: natMapThrough(pairs) },
  )
  cluster.on('error', () => {})
  const keys = Array.from({ length: 30 }, (_, index) => `key-${index}`)
  await Promise.all(keys.map((key) => cluster.set(key, key)))
  expect(pairs.reduce((sum, [, through]) => sum + through.count('SET'), 0)).toBe(30)
  expect(pairs.every(([, through]) => through.count('SET') > 0)).toBe(true)
  cluster.disconnect()
})
