import { expect, test } from '@jest/globals'
import {
  expectUnavailable,
  generationOf,
  type RedisWorld,
  runsOf,
  startRedisWorld,
  timed,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'

const GRACE = { refreshTokens: { grace: 10 } }
const NO_GRACE = { refreshTokens: { grace: 0 } }

async function signedIn(world: RedisWorld): Promise<string> {
  return (await world.signInAndGetTokens()).body.refresh_token
}

test('FLT-004: timeout after the refresh ran: 503 in time, the retry gets the successor of the one rotation', async () => {
  const world = await startRedisWorld({ aat: GRACE, redis: { deadline: 150 } })
  const token = await signedIn(world)
  const executed = world.proxy.next(runsOf('refresh'), 'swallow_reply')
  const first = await timed(() => world.refresh(token))
  await executed
  expectUnavailable(first.answer)
  expect(first.ms).toBeGreaterThanOrEqual(140)
  expect(first.ms).toBeLessThan(400)
  expect(await generationOf(world)).toBe(1)

  world.proxy.release()
  const retries = []
  for (let attempt = 0; attempt < 3; attempt++) retries.push(await world.refresh(token))
  expect(retries.map(({ status }) => status)).toEqual([200, 200, 200])
  const successors = new Set(retries.map(({ body }) => body.refresh_token))
  expect(successors.size).toBe(1)
  expect(await generationOf(world)).toBe(1)
  expect((await world.refresh([...successors][0])).status).toBe(200)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
})

test('FLT-005: timeout before the refresh ran: 503, and the retry rotates once', async () => {
  const world = await startRedisWorld({ aat: GRACE, redis: { deadline: 150 } })
  const token = await signedIn(world)
  const held = world.proxy.next(runsOf('refresh'), 'swallow_request')
  const first = world.refresh(token)
  await held
  expectUnavailable(await first)
  expect(await generationOf(world)).toBe(0)
  world.proxy.release({ deliver: false })
  const retry = await world.refresh(token)
  expect(retry.status).toBe(200)
  expect(await generationOf(world)).toBe(1)
  expect((await world.refresh(retry.body.refresh_token)).status).toBe(200)
})

test('FLT-006: the connection is cut after the refresh ran and the driver re-sends it: 100 of 100 get the successor', async () => {
  const lanes = await Promise.all(
    Array.from({ length: 4 }, () => startRedisWorld({ aat: NO_GRACE, redis: { deadline: 5000 } })),
  )
  let cuts = 0
  await Promise.all(
    lanes.map(async (world) => {
      let token = await signedIn(world)
      for (let round = 1; round <= 25; round++) {
        const cut = world.proxy.next(runsOf('refresh'), 'cut_after')
        const answer = await world.refresh(token)
        await cut
        cuts++
        expect(answer.status).toBe(200)
        expect(answer.body.refresh_token).not.toBe(token)
        token = answer.body.refresh_token
        expect(await generationOf(world)).toBe(round)
      }
      expect((await world.refresh(token)).status).toBe(200)
      expect(world.eventsNamed('refresh_token.reused')).toEqual([])
      expect(world.eventsNamed('fault')).toEqual([])
    }),
  )
  expect(cuts).toBe(100)
})

test('FLT-007: settings of the app under which the driver never settles a command: answered within the deadline all the same', async () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', note)
  const world = await startRedisWorld({
    aat: GRACE,
    redis: { deadline: 150 },
    client: {
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: null,
      enableOfflineQueue: false,
      enableAutoPipelining: true,
    },
  })
  const token = await signedIn(world)
  world.proxy.next(runsOf('refresh'), 'cut_after')
  // The stores' own connection has what they rest on, whatever the app's has.
  expect((await world.refresh(token)).status).toBe(200)

  for (const action of ['swallow_request', 'swallow_reply', 'drop_request', 'drop_reply'] as const) {
    const hit = world.proxy.next(runsOf('refresh'), action)
    const { answer, ms } = await timed(() => world.refresh(token))
    await hit
    expectUnavailable(answer)
    expect(ms).toBeLessThan(400)
    world.proxy.release({ deliver: false })
    world.proxy.cutAll()
    await until('it answers again', async () => (await world.refresh(token)).status === 200)
  }
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})
