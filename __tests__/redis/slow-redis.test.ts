import { expect, test } from '@jest/globals'
import { sha256 } from '../../lib/protocol/digest.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { sharedRedis } from '../support/redis-servers.ts'
import {
  expectUnavailable,
  generationOf,
  proxiedStores,
  startRedisWorld,
  timed,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'

test('FLT-009: slow Redis: its latency and little more until the deadline, then 503; the answer comes when it is well again', async () => {
  const world = await startRedisWorld({ redis: { deadline: 300 } })
  let token = (await world.signInAndGetTokens()).body.refresh_token
  for (const ms of [50, 200]) {
    world.proxy.latency(ms / 2)
    const { answer, ms: took } = await timed(() => world.refresh(token))
    expect(answer.status).toBe(200)
    expect(took).toBeGreaterThanOrEqual(ms - 1)
    expect(took).toBeLessThan(ms + 60)
    token = answer.body.refresh_token
  }
  for (const ms of [1000, 5000]) {
    world.proxy.latency(ms / 2)
    const answers = await Promise.all(Array.from({ length: 20 }, () => timed(() => world.refresh(token))))
    for (const { answer, ms: took } of answers) {
      expectUnavailable(answer)
      expect(took).toBeLessThan(300 + 200)
    }
  }
  world.proxy.latency(0)
  world.proxy.cutAll()
  const answer = await until('it answers again', async () => {
    const retry = await world.refresh(token)
    return retry.status !== 503 && retry
  })
  expect(answer.status).toBe(200)
  expect(await generationOf(world)).toBe(3)
  expect((await world.refresh(answer.body.refresh_token)).status).toBe(200)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
})

test('FLT-009: the cap on commands under way: what is over it is shed at once, and nothing piles up', async () => {
  const { stores, proxy } = await proxiedStores({ redis: { deadline: 400, maxInFlight: 50 } })
  const claim = (id: number) => stores.replays.claim(sha256(String(id)), Date.now() / 1000 + 60)
  await claim(-1)
  proxy.resetCounts()
  proxy.blackhole()
  const began = performance.now()
  const outcomes = await Promise.all(
    Array.from({ length: 500 }, async (_, id) => {
      const error = await claim(id).then(
        () => undefined,
        (reason: Error) => reason,
      )
      return { message: error?.message ?? 'an answer', name: error?.name, ms: performance.now() - began }
    }),
  )
  const shed = outcomes.filter(({ message }) => message === '50 commands wait for Redis already')
  expect(shed).toHaveLength(450)
  expect(Math.max(...shed.map(({ ms }) => ms))).toBeLessThan(200)
  expect(new Set(outcomes.map(({ name }) => name))).toEqual(new Set(['StoreUnavailable']))
  expect(proxy.count('EVALSHA')).toBeLessThanOrEqual(50)
  // Given up by their callers, but not by the driver: they count until it settles them.
  await expect(claim(1000)).rejects.toThrow('50 commands wait for Redis already')
  proxy.release()
  await until('there is room again', () => claim(1001))
})

test('FLT-010: jitter and 1 % loss: no wrong outcome, and errors only where the loss took longer than the deadline', async () => {
  let state = 11
  const random = () => {
    state = (state * 16_807) % 2_147_483_647
    return state / 2_147_483_647
  }
  const proxy = await startFaultProxy((await sharedRedis()).port, { random })
  const world = await startRedisWorld({ proxy, redis: { deadline: 300 } })
  proxy.latency(1, 4)
  proxy.loss(0.01, 200)
  const users = ['alice', 'bob', 'carol', 'dora', 'eve', 'frank']
  const counts = { ok: 0, unavailable: 0, other: 0 }
  await Promise.all(
    users.map(async (as) => {
      const first = await until('signed in', async () => {
        const answer = await world.signInAndGetTokens({}, {}, { as }).catch(() => undefined)
        return answer?.status === 200 && answer
      })
      let token = first.body.refresh_token
      for (let round = 0; round < 40; round++) {
        const { status, body } = await world.refresh(token)
        if (status === 200) {
          counts.ok++
          token = body.refresh_token
        } else if (status === 503) counts.unavailable++
        else counts.other++
      }
    }),
  )
  expect(counts.other).toBe(0)
  expect(counts.unavailable).toBeLessThanOrEqual(24)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
})
