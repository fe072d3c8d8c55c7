import { afterEach, expect, test } from '@jest/globals'
import { coldStartRounds, expectOneRing, rotateTogether } from '../redis/key-races.ts'
import { InstanceProcess, stopAllInstances } from '../support/instance-processes.ts'
import { sharedRedis } from '../support/redis-servers.ts'

afterEach(stopAllInstances)

test('FLT-032: 32 instances in 4 processes start cold at once, 200 rounds: one key each time', async () => {
  const server = await sharedRedis()
  const processes = Array.from({ length: 4 }, () => new InstanceProcess())
  const began = performance.now()
  await coldStartRounds(server, processes, { count: 8, rounds: 200 })
  console.log(`200 × 32 cold starts: ${((performance.now() - began) / 1000).toFixed()} s`)
}, 120_000)

test('FLT-032: 32 processes rotate at once: one new key, time after time', async () => {
  const server = await sharedRedis()
  await server.flush()
  const processes = Array.from({ length: 32 }, () => new InstanceProcess())
  await Promise.all(processes.map((one) => one.start({ redis: server.address, stores: { deadline: 5000 } })))
  await Promise.all(processes.map((one) => one.call('ready')))
  await rotateTogether(processes, 5)
}, 60_000)

test('FLT-033: kill -9 between generating and publishing, 8 processes one after another: nothing is left', async () => {
  const server = await sharedRedis()
  await server.flush()
  const living = new InstanceProcess()
  await living.start({ redis: server.address })
  await living.call('ready')
  const before = expectOneRing([await living.call('rings')])
  const keys = await server.send('HGET', 'aat:{ring}:r', 'keys')
  for (let round = 0; round < 8; round++) {
    const dying = new InstanceProcess()
    await dying.start({ redis: server.address })
    await dying.call('ready')
    await dying.call('halt', { atRingWrite: 'SIGKILL' })
    // A rotation is due for this one.
    await dying.call('advance', 31 * 86_400)
    await dying.ended
  }
  expect(await server.send('HGET', 'aat:{ring}:r', 'keys')).toBe(keys)
  expect(expectOneRing([await living.call('rings')])).toEqual(before)
}, 60_000)
