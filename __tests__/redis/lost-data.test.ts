import { afterEach, expect, test } from '@jest/globals'
import { type RedisServer, type RedisServerOptions, startRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { claimsOf, type World } from '../support/world.ts'
import { expectInvalidGrant, Instances, kidsOf, signIn, to } from './instances.ts'

let server: RedisServer
let instances: Instances
afterEach(async () => {
  await instances.close()
  await server.stop()
})

async function start(count: number, persistence: RedisServerOptions['persistence'] = 'none') {
  server = await startRedis({ persistence })
  instances = new Instances(to(server))
  return instances.startMany(count) as Promise<[World, World, World]>
}

/** What all instances hold after the store has lost everything: keys, valid tokens and revocations. */
async function expectNothingLost(
  worlds: World[],
  { kids, good, revoked }: { kids: string[]; good: string[]; revoked: string[] },
): Promise<void> {
  for (const world of worlds) {
    expect(await kidsOf(world)).toEqual(kids)
    for (const token of good) expect((await world.call('/api/a', token)).status).toBe(200)
    for (const token of revoked) expect((await world.call('/api/a', token)).status).toBe(401)
  }
}

test('FLT-027: FLUSHALL under three instances: keys and revocations stay, the ring is back within a second, refreshes end', async () => {
  const worlds = await start(3)
  const [good, revoked] = await signIn(worlds[0], 2)
  if (good === undefined || revoked === undefined) throw new Error('two')
  const kids = await kidsOf(worlds[0])
  await worlds[1].aat.revoke({ jti: String(claimsOf(revoked.access).jti) })
  await worlds[1].aat.revoke({ subject: 'somebody' })
  const expected = { kids, good: [good.access], revoked: [revoked.access] }
  await until('all know', async () => (await worlds[2].call('/api/a', revoked.access)).status === 401)

  await server.send('FLUSHALL')
  const began = performance.now()
  await expectNothingLost(worlds, expected)
  await until('the ring is back', async () => (await server.send('EXISTS', 'aat:{ring}:r')) === 1)
  // One tick, and what a busy machine adds.
  expect(performance.now() - began).toBeLessThan(2000)
  await until('the log is back', async () => (await server.send('ZCARD', 'aat:{log}:e')) >= 2)
  await expectNothingLost(worlds, expected)
  expect(instances.eventsNamed('ring.repaired').length).toBeGreaterThan(0)
  expect(instances.eventsNamed('revocation.rolled_back').length).toBeGreaterThan(0)
  await expectInvalidGrant(worlds[1], good.token)
  // A new instance learns all of it from the store, and old refresh tokens stay without a family.
  const four = await instances.start()
  await expectNothingLost([four], expected)
  await expectInvalidGrant(four, revoked.token)
  expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
  const [next] = await signIn(four, 1)
  await next?.refresh(worlds)
}, 30_000)

test('FLT-028: FLUSHALL and a restart of every instance: a new ring, and old access tokens are refused', async () => {
  const [one, two] = await start(2)
  const [holder] = await signIn(one, 1)
  const kids = await kidsOf(one)
  for (const world of [one, two]) await instances.stop(world)
  await server.send('FLUSHALL')
  const three = await instances.start()
  for (const kid of await kidsOf(three)) expect(kids).not.toContain(kid)
  const refused = await three.call('/api/a', holder?.access)
  expect(refused.status).toBe(401)
  expect(refused.headers.get('www-authenticate')).toContain('invalid_token')
  await expectInvalidGrant(three, holder?.token ?? '')
})

test('FLT-029: kill -9 of Redis without persistence: as FLUSHALL, and the instances go on by themselves', async () => {
  const worlds = await start(2)
  const [holder] = await signIn(worlds[0], 1)
  const kids = await kidsOf(worlds[0])
  await server.restart()
  await until('the ring is back', async () => (await server.send('EXISTS', 'aat:{ring}:r')) === 1)
  await expectNothingLost(worlds, { kids, good: [holder?.access ?? ''], revoked: [] })
  await until('it is answered', async () => (await worlds[0].refresh(holder?.token ?? '')).status !== 503)
  await expectInvalidGrant(worlds[0], holder?.token ?? '')
})

test('FLT-029: kill -9 of Redis with an append-only file: nobody notices', async () => {
  const [one, two] = await start(2, 'aof')
  const holders = await signIn(one, 10)
  for (const holder of holders) await holder.refresh([one, two])
  await one.aat.revoke({ grantId: holders[0]?.grantId ?? '' })
  await server.restart()
  for (const holder of holders.slice(1)) await holder.refresh([one, two])
  await expectInvalidGrant(two, holders[0]?.token ?? '')
  expect(instances.eventsNamed('ring.repaired')).toEqual([])
  expect(instances.eventsNamed('revocation.rolled_back')).toEqual([])
  expect(instances.eventsNamed('refresh_token.fast_forwarded')).toEqual([])
})

test('FLT-030: an old backup under running instances: alarms, keys and revocations come back, rotations fast-forward', async () => {
  const [one, two] = await start(2, 'rdb')
  const [plain, rotated, revoked] = await signIn(one, 3)
  if (plain === undefined || rotated === undefined || revoked === undefined) throw new Error('three')
  await one.aat.revoke({ jti: 'before the backup' })
  await server.send('SAVE')
  for (let round = 0; round < 3; round++) await rotated.refresh([one, two])
  await revoked.refresh(one)
  await one.aat.revoke({ grantId: revoked.grantId })
  await one.aat.revoke({ jti: 'after the backup' })
  await one.aat.keys.rotate({ immediately: true })
  const [young] = await signIn(one, 1)
  const kids = await kidsOf(one)
  await until('both know', async () => (await kidsOf(two)).length === kids.length)
  const good = [plain.access, rotated.access, young?.access ?? '']
  await server.restart()
  await until('both alarms', () =>
    ['ring.repaired', 'revocation.rolled_back'].every(
      (name) => instances.eventsNamed(name as never).length > 0,
    ),
  )
  const [alarm] = instances.eventsNamed('revocation.rolled_back')
  expect(alarm).toMatchObject({ from: 3, added: 2 })
  const three = await instances.start()
  await expectNothingLost([one, two, three], { kids, good, revoked: [revoked.access] })
  for (const token of revoked.tokens) await expectInvalidGrant(three, token)
  await plain.refresh(two)
  await rotated.refresh(two)
  expect(two.eventsNamed('refresh_token.fast_forwarded')).toHaveLength(1)
  await expectInvalidGrant(one, rotated.tokens[2] ?? '')
  // A family that was opened since is not in the backup.
  await expectInvalidGrant(one, young?.token ?? '')
})

test('FLT-030: an old backup and no instance that remembers: one call for each client ends every grant until now', async () => {
  const [one] = await start(1, 'rdb')
  const holders = await signIn(one, 5)
  await server.send('SAVE')
  await one.aat.revoke({ grantId: holders[0]?.grantId ?? '' })
  await instances.stop(one)
  await server.restart()
  const two = await instances.start()
  // What was revoked since the backup lives again: nothing tells the new instance. So the operator says it.
  expect((await two.call('/api/a', holders[0]?.access)).status).toBe(200)
  const began = performance.now()
  await two.aat.revoke({ clientId: 'confidential' })
  expect(performance.now() - began).toBeLessThan(500)
  for (const { token, access } of holders) {
    expect((await two.call('/api/a', access)).status).toBe(401)
    await expectInvalidGrant(two, token)
  }
  // Tokens carry whole seconds: what is granted in the second of the call counts as before it.
  const until2 = Math.floor(Date.now() / 1000) + 1
  await until('the next second', () => Date.now() / 1000 > until2)
  const [next] = await signIn(two, 1)
  await next?.refresh(two)
})
