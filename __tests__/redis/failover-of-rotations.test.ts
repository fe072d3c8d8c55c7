import { afterEach, expect, test } from '@jest/globals'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { type ReplicatedRedis, startReplicated } from '../support/redis-servers.ts'
import { expectInvalidGrant, Holder, Instances, signIn, to } from './instances.ts'

let pair: ReplicatedRedis
let proxy: FaultProxy
let instances: Instances
afterEach(async () => {
  await instances.close()
  await pair.stop()
})

/** Two instances on a real pair, behind an address that moves with the primary. */
async function start() {
  pair = await startReplicated()
  proxy = await startFaultProxy(pair.primary.port)
  instances = new Instances(to(proxy))
  return [await instances.start(), await instances.start()] as const
}

/** The primary dies with everything that its replica never got. */
async function failover(): Promise<void> {
  proxy.retarget((await pair.failover()).port)
  proxy.cutAll()
}

test('FLT-011: a failover that lost rotations: 50 of 50 continue, 50 of 50 rolled-back tokens are reuse', async () => {
  const [one, two] = await start()
  const holders = await signIn(one, 50)
  for (const holder of holders) await holder.refresh(one)
  await pair.caughtUp()
  await pair.cutReplication()
  // Acknowledged, and lost: one rotation of each, two of every other.
  for (const [index, holder] of holders.entries()) {
    await holder.refresh([one, two])
    if (index % 2 === 0) await holder.refresh([one, two])
  }
  await failover()

  for (const holder of holders) await holder.refresh([one, two])
  expect(instances.eventsNamed('refresh_token.fast_forwarded')).toHaveLength(50)
  expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
  for (const holder of holders) {
    await holder.refresh(two)
    expect((await one.call('/api/a', holder.access)).status).toBe(200)
  }

  // The store knew of generation 1 as the current one when it was promoted.
  for (const holder of holders) {
    await expectInvalidGrant(two, holder.tokens[1] ?? '')
    await expectInvalidGrant(one, holder.token)
    expect((await two.call('/api/a', holder.access)).status).toBe(401)
  }
  expect(instances.eventsNamed('refresh_token.reused')).toHaveLength(50)
}, 60_000)

test('FLT-011: a rolled-back token that comes before the client gets the successor that the client has, and no fork', async () => {
  const [one, two] = await start()
  const holders = await signIn(one, 10)
  for (const holder of holders) await holder.refresh(one)
  await pair.caughtUp()
  await pair.cutReplication()
  for (const holder of holders) await holder.refresh(one)
  await failover()
  for (const holder of holders) {
    const thief = new Holder()
    thief.tokens.push(holder.tokens[1] ?? '')
    await thief.refresh([one, two])
    expect(thief.token).toBe(holder.token)
    await holder.refresh(two)
    await holder.refresh(one)
    // One of the two is behind by now, and found out whatever the grace.
    await expectInvalidGrant(two, thief.token)
    await expectInvalidGrant(one, holder.token)
  }
  expect(instances.eventsNamed('refresh_token.reused')).toHaveLength(10)
})

test('FLT-011: what the replica did get is no fast-forward, and a retry of what it did not get is no reuse', async () => {
  const [one, two] = await start()
  const holders = await signIn(one, 10)
  for (const holder of holders) await holder.refresh(one)
  await pair.caughtUp()
  await pair.cutReplication()
  // The answers to these were lost on the way: the clients still hold the old tokens.
  for (const holder of holders) expect((await one.refresh(holder.token)).status).toBe(200)
  await failover()
  for (const holder of holders) await holder.refresh(two)
  for (const holder of holders) await holder.refresh(one)
  expect(instances.eventsNamed('refresh_token.fast_forwarded')).toEqual([])
  expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
})
