import { afterAll, afterEach, expect, test } from '@jest/globals'
import { expectInvalidGrant, Instances, signIn, to } from '../redis/instances.ts'
import { InstanceProcess, ISSUER, stopAllInstances } from '../support/instance-processes.ts'
import { countStatuses, percentile, refreshManyTimes } from '../support/many-requests.ts'
import { sharedRedis } from '../support/redis-servers.ts'

let instances: Instances
afterEach(async () => {
  await instances.close()
})
afterAll(stopAllInstances)

test('FLT-045: 10,000 refreshes of one token over 4 processes: all 200, one successor, and it is alive', async () => {
  const server = await sharedRedis()
  instances = new Instances(to(server), { issuer: ISSUER })
  const world = await instances.start()
  const processes = Array.from({ length: 4 }, () => new InstanceProcess())
  const ports: number[] = []
  for (const process of processes) {
    ports.push(...(await process.start({ redis: server.address })))
    await process.call('ready')
  }
  const [warm, holder] = await signIn(world, 2)
  // The first requests of a process are its slowest.
  await refreshManyTimes(warm?.token ?? '', { ports, total: 1000, connections: 16 })
  const memory = async () => {
    const uses = await Promise.all(processes.map((process) => process.call('memory')))
    return uses.reduce((sum, { rss }) => sum + rss, 0) / 2 ** 20
  }
  const usedBefore = Number((await server.info('memory')).used_memory)
  const before = await memory()

  const began = performance.now()
  const answers = await refreshManyTimes(holder?.token ?? '', { ports, total: 10_000, connections: 100 })
  const seconds = (performance.now() - began) / 1000

  expect(countStatuses(answers)).toEqual({ 200: 10_000 })
  expect(new Set(answers.map(({ body }) => body.access_token)).size).toBe(10_000)
  const [successor, ...others] = new Set<string>(answers.map(({ body }) => body.refresh_token))
  expect(others).toEqual([])
  console.log(
    `10,000 refreshes of one token: ${seconds.toFixed(1)} s, p50 ${percentile(answers, 0.5).toFixed()} ms, p99 ${percentile(answers, 0.99).toFixed()} ms, memory of 4 processes ${before.toFixed()} → ${(await memory()).toFixed()} MiB`,
  )
  expect(percentile(answers, 0.99)).toBeLessThan(1000)
  expect(Number((await server.info('memory')).used_memory) - usedBefore).toBeLessThan(2 ** 20)

  const events = await Promise.all(processes.map((process) => process.call('events')))
  const heard = (name: string) => events.reduce((sum, counts) => sum + (counts[name] ?? 0), 0)
  expect(heard('token.refreshed')).toBe(2)
  expect(heard('token.retried')).toBe(10_998)
  expect(heard('refresh_token.reused')).toBe(0)

  const next = await world.refresh(successor ?? '')
  expect(next.status).toBe(200)
  expect(next.body.refresh_token).not.toBe(successor)
  await world.refresh(next.body.refresh_token)
  await expectInvalidGrant(world, holder?.token ?? '')
}, 120_000)
