import { expect, jest, test } from '@jest/globals'
import { sha256 } from '../../lib/protocol/digest.ts'
import { provokeCrossTalk } from '../redis/cross-talk.ts'
import { raceTheEnd } from '../redis/race-the-end.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startRedis } from '../support/redis-servers.ts'
import { closeLater, proxiedStores } from '../support/redis-world.ts'
import { until } from '../support/until.ts'

// A limit on hanging: the longest end by themselves after two minutes.
jest.setTimeout(300_000)

test('FLT-008: 100,000 commands, or what two minutes allow, some given up at random moments: every reply belongs to its request', async () => {
  // Few lanes: more than the machine serves within the deadline would all be given up, and pile up behind one another.
  const { right, wrong, unavailable } = await provokeCrossTalk({
    commands: 100_000,
    seconds: 120,
    lanes: 40,
    faults: 150,
  })
  expect(wrong).toBe(0)
  expect(right).toBeGreaterThan(10_000)
  expect(unavailable).toBeGreaterThan(100)
})

test('FLT-053: 60,000 refreshes within ±5 ms of the family’s end, or what two minutes allow: 200 with a successor that lives, or refused', async () => {
  const { rotated, refused, broken } = await raceTheEnd({ rounds: 60_000, seconds: 120 })
  expect(broken).toEqual([])
  expect(rotated + refused).toBeGreaterThan(5000)
  expect(Math.min(rotated, refused)).toBeGreaterThan(500)
})

test('FLT-040: a connection storm (scaled: 60 instances): they come back spread out, none in a loop, and all of them', async () => {
  const server = await startRedis()
  closeLater(() => server.stop())
  const proxy = await startFaultProxy(server.port)
  closeLater(() => proxy.close())
  const instances = await Promise.all(
    Array.from(
      { length: 60 },
      async () => (await proxiedStores({ server, proxy, redis: { deadline: 5000 } })).stores,
    ),
  )
  const claims = () =>
    Promise.all(
      instances.map((stores, index) =>
        stores.replays.claim(sha256(`${index} ${Math.random()}`), Date.now() / 1000 + 9),
      ),
    )
  await claims()
  const attempts: number[] = []
  const watch = setInterval(() => attempts.push(proxy.accepted), 10)
  await server.kill('SIGKILL')
  proxy.resetCounts()
  proxy.cutAll()
  const began = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 3000))
  // Half a second apart on average once they are apart: the first moments are closer.
  expect(proxy.accepted / 60 / ((performance.now() - began) / 1000)).toBeLessThan(6)
  await server.start()
  await until('all are back', async () => (await claims()).length === 60, { timeout: 5000 })
  clearInterval(watch)
  // Spread: in no 10 ms did more than a third of them come.
  const steps = attempts.slice(60).map((count, index) => count - (attempts[index + 59] ?? 0))
  expect(Math.max(...steps)).toBeLessThan(20)
})
