import { afterAll, afterEach, beforeEach, expect, test } from '@jest/globals'
import { InstanceProcess, stopAllInstances } from '../support/instance-processes.ts'
import { type RedisServer, sharedRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { coldStartRounds, expectOneRing, kidOf, rotateTogether } from './key-races.ts'

let server: RedisServer
beforeEach(async () => {
  const shared = await sharedRedis()
  await shared.flush()
  server = shared
})
afterEach(stopAllInstances)
afterAll(stopAllInstances)

test('FLT-032: cold starts in 4 processes at once make one key, round after round', async () => {
  const processes = Array.from({ length: 4 }, () => new InstanceProcess())
  await coldStartRounds(server, processes, { count: 2, rounds: 3 })
})

test('FLT-032: 32 instances in 4 processes rotate at once: one new key, time after time', async () => {
  const processes = Array.from({ length: 4 }, () => new InstanceProcess())
  await Promise.all(processes.map((one) => one.start({ redis: server.address, count: 8 })))
  await Promise.all(processes.map((one) => one.call('ready')))
  await rotateTogether(processes, 3)
})

test('FLT-033: kill -9 between generating a key and publishing it leaves nothing, and no instance notices', async () => {
  for (let round = 0; round < 2; round++) {
    const dying = new InstanceProcess()
    await dying.start({ redis: server.address, atRingWrite: 'SIGKILL' })
    await dying.ended
  }
  expect(await server.send('EXISTS', 'aat:{ring}:r')).toBe(0)
  const living = new InstanceProcess()
  await living.start({ redis: server.address })
  await living.call('ready')
  const before = expectOneRing([await living.call('rings')])

  // A rotation is due, and its first publisher dies.
  const dying = new InstanceProcess()
  await dying.start({ redis: server.address })
  await dying.call('ready')
  await dying.call('halt', { atRingWrite: 'SIGKILL' })
  await dying.call('advance', 31 * 86_400)
  await dying.ended
  expect(expectOneRing([await living.call('rings')])).toEqual(before)
  const next = new InstanceProcess()
  await next.start({ redis: server.address })
  await next.call('ready')
  expect(expectOneRing([await living.call('rings'), await next.call('rings')])).toEqual(before)
})

test('FLT-044: a process that stops before it writes the ring, and wakes up later, overwrites nothing', async () => {
  const stopped = new InstanceProcess()
  await stopped.start({ redis: server.address, atRingWrite: 'SIGSTOP', sleeps: 31 * 86_400 })
  await stopped.reached
  const living = new InstanceProcess()
  await living.start({ redis: server.address })
  await living.call('ready')
  const made = expectOneRing([await living.call('rings')])
  await living.call('advance', 31 * 86_400)
  const rotated = await until('it rotated', async () => {
    const rings = await living.call('rings')
    return kidOf(rings, 'active') === made.standby && kidOf(rings, 'standby') !== undefined && rings
  })
  const revision = await server.send('HGET', 'aat:{ring}:r', 'revision')
  const keys = await server.send('HGET', 'aat:{ring}:r', 'keys')

  stopped.signal('SIGCONT')
  await stopped.call('ready')
  await until('both have one ring', async () => {
    const kid = kidOf(await stopped.call('rings'), 'active')
    return kid === kidOf(rotated, 'active')
  })
  expectOneRing([await stopped.call('rings'), await living.call('rings')])
  expect(await server.send('HGET', 'aat:{ring}:r', 'revision')).toBe(revision)
  expect(await server.send('HGET', 'aat:{ring}:r', 'keys')).toBe(keys)
})
