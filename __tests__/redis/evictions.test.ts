import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type RedisServer, startRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { expectInvalidGrant, Instances, kidsOf, signIn, to } from './instances.ts'

let server: RedisServer
let instances: Instances
beforeEach(async () => {
  server = await startRedis()
  instances = new Instances(to(server))
})
afterEach(async () => {
  await instances.close()
  await server.stop()
})

test.each([
  ['FLT-025', 'allkeys-lru'],
  ['FLT-026', 'volatile-ttl'],
])('%s: a server that may evict (%s) is not ready, and says what to set', async (_, policy) => {
  await server.send('CONFIG', 'SET', 'maxmemory-policy', policy)
  const world = await instances.start({ ready: false })
  await expect(world.aat.ready()).rejects.toThrow(`maxmemory-policy is ${policy}`)
  expect(world.aat.health()).toMatchObject({ ready: false })
  expect(world.eventsNamed('store.finding')).toContainEqual(
    expect.objectContaining({ severity: 'unusable', message: expect.stringContaining('noeviction') }),
  )
  await server.send('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  await until('it is seen', () => world.aat.health().ready)
})

test('FLT-025: what was evicted stays gone: family and tombstone are invalid_grant, a client invalid_client; the ring comes back', async () => {
  const [one, two] = [await instances.start(), await instances.start()]
  const [evicted, ended, spared] = await signIn(one, 3)
  if (evicted === undefined || ended === undefined || spared === undefined) throw new Error('three')
  const kids = await kidsOf(one)
  await one.aat.revoke({ grantId: ended.grantId })
  await expectInvalidGrant(one, ended.token)
  for (const { grantId } of [evicted, ended])
    await server.send('DEL', `aat:{${grantId}}:f`, `aat:{${grantId}}:c`)
  for (const world of [one, two])
    for (const { token } of [evicted, ended]) await expectInvalidGrant(world, token)
  for (const { grantId } of [evicted, ended])
    expect(await server.send('EXISTS', `aat:{${grantId}}:f`, `aat:{${grantId}}:c`)).toBe(0)

  await server.send('DEL', 'aat:{ring}:r', 'aat:{log}:e', 'aat:{log}:u', 'aat:{log}:r')
  await until('the ring is back', async () => (await server.send('EXISTS', 'aat:{ring}:r')) === 1)
  await until('the log is back', async () => (await server.send('ZCARD', 'aat:{log}:e')) >= 1)
  const three = await instances.start()
  expect(await kidsOf(three)).toEqual(kids)
  expect((await three.call('/api/a', ended.access)).status).toBe(401)
  await spared.refresh([one, two, three])
})

test('FLT-026: evicted for real by volatile-ttl: the ring and the log have no end and stay, families are invalid_grant', async () => {
  const world = await instances.start()
  const holders = await signIn(world, 20)
  await world.aat.revoke({ jti: 'one' })
  const kids = await kidsOf(world)
  for (const key of ['aat:{ring}:r', 'aat:{log}:e', 'aat:{log}:r'])
    expect(await server.send('PTTL', key)).toBe(-1)
  await server.send('CONFIG', 'SET', 'maxmemory-policy', 'volatile-ttl')
  const used = Number((await server.info('memory')).used_memory)
  await server.send('CONFIG', 'SET', 'maxmemory', used + 200_000)
  const living = async () => {
    const keys = holders.map(({ grantId }) => `aat:{${grantId}}:f`)
    return (await server.send('EXISTS', ...(keys as [string]))) as number
  }
  let filler = 0
  await until('families are evicted', async () => {
    await server.send('SET', `filler:${filler++}`, 'x'.repeat(20_000)).catch(() => undefined)
    return (await living()) < 20
  })
  await server.send('CONFIG', 'SET', 'maxmemory', 0)
  expect(await server.send('EXISTS', 'aat:{ring}:r', 'aat:{log}:e', 'aat:{log}:r')).toBe(3)
  const statuses = await Promise.all(holders.map(async ({ token }) => (await world.refresh(token)).status))
  expect(statuses.filter((status) => status === 200)).toHaveLength(await living())
  expect(statuses.filter((status) => status === 400)).toHaveLength(20 - (await living()))
  expect(await kidsOf(world)).toEqual(kids)
  expect(instances.eventsNamed('ring.repaired')).toEqual([])
})
