import { expect, test } from '@jest/globals'
import type { RedisClient } from '../../lib/stores/redis/connection.ts'
import { createRunner } from '../../lib/stores/redis/runner.ts'
import { script } from '../../lib/stores/redis/script.ts'
import { realClock, runsOf, startRedisWorld } from '../support/redis-world.ts'
import { manualClock } from '../support/world.ts'

/** A cluster that runs nothing: each node answers by its own clock, as the prologue of the scripts does. */
function nodesWithClocks(aheadOf: (key: string) => number): RedisClient {
  return {
    once: () => undefined,
    disconnect: () => undefined,
    async callBuffer(_command: string, parameters: unknown[]) {
      const [, , key, nonce, late] = parameters
      await new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 4))
      const now = Math.floor(performance.now() + 1e12 + aheadOf(String(key)))
      return [nonce, String(now), now > Number(late) ? 'late' : 'done'].map((text) => Buffer.from(String(text)))
    },
  } as unknown as RedisClient
}

test('nodes of a cluster whose clocks differ by more than the deadline: every command in time is done', async () => {
  const runner = createRunner({
    client: nodesWithClocks((key) => (key === 'ahead' ? 2000 : 0)),
    random: (size) => Buffer.from(Array.from({ length: size }, () => Math.floor(Math.random() * 256))),
    monotonic: () => performance.now() / 1000,
    deadline: 500,
    maxInFlight: 5000,
    trouble: () => undefined,
    clock: undefined,
    replicas: 0,
  })
  const readFamily = script('read-family')
  const outcomes = await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 200))
      return runner.run(readFamily, [index % 2 === 0 ? 'ahead' : 'right']).then(
        ({ outcome }) => outcome,
        (error: Error) => error.message,
      )
    }),
  )
  expect([...new Set(outcomes)]).toEqual(['done'])
})

test('the clock of Redis was put back: a family that was used before does not pass its time for that of the server', async () => {
  const redisClock = manualClock(Math.floor(Date.now() / 1000))
  const world = await startRedisWorld({
    clock: realClock(),
    redis: { clock: redisClock },
    aat: { refreshTokens: { lifetime: 1000, issuance: 'rotate' } },
  })
  const { body } = await world.signInAndGetTokens()
  redisClock.advance(60)
  const rotated = (await world.refresh(body.refresh_token)).body
  redisClock.advance(-60)
  // The server says what time it is; then the family is used, whose own time is a minute ahead of it.
  await world.stores.grants.readFamily('A'.repeat(22))
  await world.stores.grants.readFamily('A'.repeat(22))
  expect((await world.refresh(rotated.refresh_token)).status).toBe(200)
  const lates: number[] = []
  const isRead = runsOf('read-family')
  world.proxy.onCommand((command) => {
    // EVALSHA sha 1 key nonce late …
    if (isRead(command)) lates.push(Number(command.text[4]))
    return undefined
  })
  await world.stores.grants.readFamily('A'.repeat(22))
  expect(lates).toHaveLength(1)
  // A second after the deadline at the most, and not a minute.
  expect((lates[0] ?? 0) / 1000 - redisClock.now).toBeLessThan(1.5)
})
