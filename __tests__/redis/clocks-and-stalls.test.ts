import { afterEach, expect, jest, test } from '@jest/globals'
import { sharedRedis } from '../support/redis-servers.ts'
import {
  anotherInstance,
  expectUnavailable,
  proxiedStores,
  realClock,
  runsOf,
  startRedisWorld,
  timed,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { manualClock } from '../support/world.ts'

afterEach(() => {
  jest.restoreAllMocks()
})

/** Steps the machine's clock for this process; what only goes forward does not see it. */
function stepClock(seconds: number): void {
  jest.restoreAllMocks()
  const real = Date.now.bind(Date)
  jest.spyOn(Date, 'now').mockImplementation(() => real() + seconds * 1000)
}

test.each([600, -600])(
  'FLT-036: clock of one instance %i s off: not ready and says so, families live by the time of Redis',
  async (ahead) => {
    const world = await startRedisWorld({ aat: { refreshTokens: { lifetime: 300 } } })
    const { body } = await world.signInAndGetTokens()
    stepClock(ahead)
    const other = await anotherInstance(world, {
      aat: { refreshTokens: { lifetime: 300 } },
      clock: realClock(),
      ready: false,
    })
    const problem =
      'the clock of this machine and that of Redis differ by 600 s; at most 30 are allowed: keep both with NTP'
    await until('it has looked', () => other.aat.health().problems.includes(problem))
    expect(other.aat.health().ready).toBe(false)
    await expect(other.aat.ready()).rejects.toThrow('differ by 600 s')
    expect(
      other.eventsNamed('store.finding').filter((event) => 'message' in event && event.message === problem),
    ).toHaveLength(1)

    const refreshed = await other.refresh(body.refresh_token)
    expect(refreshed.status).toBe(200)
    expect(refreshed.body.refresh_token_expires_in).toBeGreaterThan(295)
    expect(refreshed.body.refresh_token_expires_in).toBeLessThanOrEqual(300)

    stepClock(0)
    const again = await anotherInstance(world, { aat: { refreshTokens: { lifetime: 300 } } })
    expect(again.aat.health()).toMatchObject({ ready: true, problems: [] })
    expect((await again.refresh(refreshed.body.refresh_token)).status).toBe(200)
  },
)

test('FLT-036: 29 s are allowed, 31 are not', async () => {
  for (const [offset, count] of [
    [29, 0],
    [-29, 0],
    [31, 1],
    [-31, 1],
  ] as const) {
    stepClock(offset)
    const { stores } = await proxiedStores()
    const findings = (await stores.check?.()) ?? []
    expect(findings.filter(({ severity }) => severity === 'unusable')).toHaveLength(count)
  }
})

test('FLT-037: the clock of Redis goes back by an hour: no family lives longer for it, and the key schedule goes on', async () => {
  const redisClock = manualClock(Math.floor(Date.now() / 1000))
  const world = await startRedisWorld({
    clock: realClock(),
    redis: { clock: redisClock },
    aat: { refreshTokens: { lifetime: 1000, issuance: 'rotate' } },
  })
  const keys = world.aat.keys.status()
  let { refresh_token: token } = (await world.signInAndGetTokens()).body
  const refreshed = async () => {
    const { status, body } = await world.refresh(token)
    if (status === 200) token = body.refresh_token
    return status === 200 ? body.refresh_token_expires_in : body.error
  }
  redisClock.advance(400)
  expect(await refreshed()).toBe(600)
  redisClock.advance(-3600)
  // The high-water mark: the family is as old as it was when it was used last.
  expect(await refreshed()).toBe(600)
  redisClock.advance(3600 + 599)
  expect(await refreshed()).toBe(1)
  redisClock.advance(-3600)
  expect(await refreshed()).toBe(1)
  redisClock.advance(3600 + 1)
  expect(await refreshed()).toBe('invalid_grant')
  expect(world.eventsNamed('fault')).toEqual([])
  expect(world.aat.keys.status()).toEqual(keys)
  expect(world.aat.health().revocations.fresh).toBe(true)
})

test('FLT-038: the machine’s clock steps during a request: deadlines and staleness do not see it', async () => {
  // The suite's own time does not go back before its first key: what is looked at is how long things take.
  const steady = Object.assign(() => (performance.timeOrigin + performance.now()) / 1000, realClock())
  const world = await startRedisWorld({ redis: { deadline: 300 }, clock: steady })
  let { refresh_token: token } = (await world.signInAndGetTokens()).body
  for (const step of [3600, -7200]) {
    const open = gate()
    const sent = world.proxy.next(runsOf('refresh'), { replyAfter: open.promise })
    const answer = world.refresh(token)
    await sent
    stepClock(step)
    open.resolve()
    const { status, body } = await answer
    expect(status).toBe(200)
    token = body.refresh_token
    expect(world.aat.health().revocations).toMatchObject({ fresh: true })

    world.proxy.next(runsOf('refresh'), 'swallow_reply')
    const { answer: lost, ms } = await timed(() => world.refresh(token))
    expectUnavailable(lost)
    expect(ms).toBeGreaterThan(290)
    expect(ms).toBeLessThan(600)
    world.proxy.release()
    stepClock(0)
    token = (await world.refresh(token)).body.refresh_token
    expect(token).toBeDefined()
  }
})

function gate() {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

test('FLT-043: an event loop that stalls for longer than the deadline takes the answers that came meanwhile', async () => {
  const { port } = await sharedRedis()
  const world = await startRedisWorld({
    // Nothing of this process between the stores and Redis: it would stall as well.
    client: { port },
    redis: { deadline: 300 },
    aat: { revocationStaleAfter: 2 },
  })
  const { body } = await world.signInAndGetTokens()
  const reads = Array.from({ length: 50 }, () => world.stores.clients.read('nobody'))
  const log = world.stores.revocations.since({ revision: 0, tip: '' })
  await new Promise((resolve) => setImmediate(resolve))
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500)
  const settled = await Promise.allSettled([...reads, log])
  expect(settled.filter(({ status }) => status === 'rejected')).toEqual([])
  // Stopped for longer than the staleness limit, it reads the log before it answers, and is not cut off.
  const answers = await Promise.all(Array.from({ length: 20 }, () => world.call('/api/a', body.access_token)))
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  expect((await world.refresh(body.refresh_token)).status).toBe(200)
  expect(world.eventsNamed('fault')).toEqual([])
  expect(world.eventsNamed('revocation.unavailable')).toEqual([])
})
