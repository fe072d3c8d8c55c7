import { once } from 'node:events'
import { expect, test } from '@jest/globals'
import { runsOf, startRedisWorld } from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { raceTheEnd } from './race-the-end.ts'

test('FLT-053: a refresh within ±5 ms of the family’s end (scaled: 1,000 times, or half a minute): 200 with a successor that lives, or refused', async () => {
  const { rotated, refused, broken } = await raceTheEnd({ rounds: 1000, seconds: 30 })
  expect(broken).toEqual([])
  expect(rotated + refused).toBeGreaterThan(500)
  expect(Math.min(rotated, refused)).toBeGreaterThan(20)
})

test('FLT-054: orderly end under load: requests that were begun are answered, and nothing is left open', async () => {
  const world = await startRedisWorld({ aat: { refreshTokens: { grace: 0 } } })
  const users = ['alice', 'bob', 'carol', 'dora', 'eve']
  const tokens = await Promise.all(
    users.map(async (as) => (await world.signInAndGetTokens({}, {}, { as })).body.refresh_token as string),
  )
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  let sent = 0
  const isRefresh = runsOf('refresh') as (command: never) => boolean
  world.proxy.onCommand((command) => {
    if (!isRefresh(command as never)) return undefined
    sent++
    return { replyAfter: gate }
  })
  const answers = Promise.all(tokens.map((token) => world.refresh(token)))
  await until('all are under way', () => sent === users.length)
  // What an app does at SIGTERM: no new connections, then the suite's own end.
  const closed = once(world.server, 'close')
  world.server.close()
  const ended = world.aat.close()
  open()
  expect((await answers).map(({ status }) => status)).toEqual(users.map(() => 200))
  await ended
  world.server.closeIdleConnections()
  await closed
  await until('no connection to Redis is left', () => world.proxy.open === 0)
  expect(world.eventsNamed('fault')).toEqual([])
})
