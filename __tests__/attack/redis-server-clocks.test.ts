import { expect, test } from '@jest/globals'
import { anotherInstance, realClock, runsOf, startRedisWorld } from '../support/redis-world.ts'
import { manualClock } from '../support/world.ts'

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
    if (typeof isRead === 'function' && isRead(command)) lates.push(Number(command.text[4]))
    return undefined
  })
  await world.stores.grants.readFamily('A'.repeat(22))
  expect(lates).toHaveLength(1)
  // A second after the deadline at the most, and not a minute.
  expect((lates[0] ?? 0) / 1000 - redisClock.now).toBeLessThan(1.5)
})

test.each([20, -20])(
  'an instance %i s off gave a grant; another revokes all of the user a moment later: the grant is over',
  async (ahead) => {
    const world = await startRedisWorld()
    const other = await anotherInstance(world, { clock: realClock(ahead) })
    const { body } = await other.signInAndGetTokens()
    await world.aat.revoke({ subject: 'alice' })
    expect((await other.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
    expect((await world.call('/api/a', body.access_token)).status).toBe(401)
  },
)

test.each([20, -20])(
  'an instance %i s off revokes all of a user: grants of before are over, and a new one is good',
  async (ahead) => {
    const world = await startRedisWorld()
    const other = await anotherInstance(world, { clock: realClock(ahead) })
    const { body } = await world.signInAndGetTokens()
    await other.aat.revoke({ subject: 'alice' })
    expect((await other.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await world.signInAndGetTokens()).status).toBe(200)
  },
)
