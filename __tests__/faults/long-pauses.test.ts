import { expect, test } from '@jest/globals'
import {
  anotherInstance,
  expectUnavailable,
  generationOf,
  runsOf,
  startRedisWorld,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'

const seconds = (count: number) => new Promise((resolve) => setTimeout(resolve, count * 1000))

test('a refresh that is delivered 12 s after its deadline, with a grace of 10 s: nothing is spent, the next try gets 200', async () => {
  const world = await startRedisWorld()
  const token = (await world.signInAndGetTokens()).body.refresh_token
  const sent = world.proxy.next(runsOf('refresh'), 'pass')
  world.proxy.blackhole()
  const answers = Promise.all([world.refresh(token), world.refresh(token)])
  await sent
  for (const answer of await answers) expectUnavailable(answer)
  await seconds(12)
  world.proxy.release()
  const { body } = await until('it answers again', async () => {
    const answer = await world.refresh(token)
    expect([200, 503]).toContain(answer.status)
    return answer.status === 200 && answer
  })
  expect(await generationOf(world)).toBe(1)
  expect((await world.refresh(body.refresh_token)).status).toBe(200)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
})

test('FLT-034: a subscription that is half-open is noticed by the heartbeat and made anew', async () => {
  const world = await startRedisWorld()
  const instance = await anotherInstance(world)
  await until('it has subscribed', () => instance.proxy.count('SUBSCRIBE') === 1)
  const began = performance.now()
  // Of an idle subscription only the heartbeat is ever sent; from there on nothing gets through.
  const held = instance.proxy.next('PING', 'swallow_request')
  await until('it has subscribed anew', () => instance.proxy.count('SUBSCRIBE') >= 2, { timeout: 15_000 })
  await held
  expect(performance.now() - began).toBeLessThan(2 * 5000)
  await until('it is well', () => instance.aat.health().ready)
})
