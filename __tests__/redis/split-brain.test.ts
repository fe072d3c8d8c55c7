import { afterEach, expect, test } from '@jest/globals'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { type RedisServer, type ReplicatedRedis, startReplicated } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { claimsOf, type World } from '../support/world.ts'
import { expectInvalidGrant, Holder, Instances, signIn, to } from './instances.ts'

let set: ReplicatedRedis
let instances: Instances
afterEach(async () => {
  await instances.close()
  await set.stop()
})

interface Sides {
  old: RedisServer
  left: World
  leftProxy: FaultProxy
  right: World
  rightProxy: FaultProxy
}

/** Two instances, each behind an address of its own. */
async function start(minReplicas: 0 | 1): Promise<Sides> {
  const args = ['--min-replicas-to-write', String(minReplicas), '--min-replicas-max-lag', '2']
  set = await startReplicated({ replicas: 2, args })
  const leftProxy = await startFaultProxy(set.primary.port)
  const rightProxy = await startFaultProxy(set.primary.port)
  instances = new Instances(to(leftProxy))
  const left = await instances.start()
  const right = await instances.start({ connect: to(rightProxy) })
  return { old: set.primary, left, leftProxy, right, rightProxy }
}

/** The right side goes to a promoted replica, the left one stays with the old primary, which goes on. */
async function split({ rightProxy }: Sides): Promise<void> {
  await set.caughtUp()
  await set.cutReplication()
  rightProxy.retarget((await set.promote()).port)
  rightProxy.cutAll()
}

/** The old primary becomes a replica of the new one, and its data goes. */
async function heal({ old, leftProxy }: Sides): Promise<void> {
  await old.send('REPLICAOF', '127.0.0.1', set.primary.port)
  leftProxy.retarget(set.primary.port)
  leftProxy.cutAll()
  await set.caughtUp()
}

test('FLT-017: split brain without min-replicas-to-write: forks converge, the losing side goes on, no false reuse', async () => {
  const sides = await start(0)
  const { left, right } = sides
  const holders = await signIn(left, 12)
  for (const holder of holders) await holder.refresh([left, right])
  await split(sides)

  const [forked, onLeft, onRight] = [holders.slice(0, 4), holders.slice(4, 8), holders.slice(8)]
  for (const holder of forked) {
    // One client whose retry goes to the other side.
    const twin = new Holder()
    twin.tokens.push(holder.token)
    await Promise.all([holder.refresh(left), twin.refresh(right)])
    expect(twin.token).toBe(holder.token)
  }
  const until1 = performance.now() + 3000
  while (performance.now() < until1) {
    for (const holder of [...forked, ...onLeft]) await holder.refresh(left)
    for (const holder of onRight) await holder.refresh(right)
  }
  // Revoked on either side; each lasts.
  const [revokedLeft, revokedRight] = [onLeft.pop(), onRight.pop()]
  await left.aat.revoke({ grantId: revokedLeft?.grantId ?? '' })
  await right.aat.revoke({ jti: String(claimsOf(revokedRight?.access ?? '').jti) })

  await heal(sides)
  for (const holder of [...forked, ...onLeft, ...onRight]) await holder.refresh([left, right])
  expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
  expect(instances.eventsNamed('refresh_token.fast_forwarded')).toHaveLength(forked.length + onLeft.length)
  for (const world of [left, right])
    for (const revoked of [revokedLeft, revokedRight])
      await until('refused', async () => (await world.call('/api/a', revoked?.access)).status === 401)
  await expectInvalidGrant(right, revokedLeft?.token ?? '')
  for (const holder of [...forked, ...onLeft, ...onRight]) {
    await holder.refresh([left, right])
    await expectInvalidGrant(right, holder.tokens[1] ?? '')
  }
}, 60_000)

test('FLT-017: split brain with min-replicas-to-write 1: the old side refuses with 503, and nothing forks', async () => {
  const sides = await start(1)
  const { left, right } = sides
  const holders = await signIn(left, 6)
  for (const holder of holders) await holder.refresh([left, right])
  await split(sides)
  await until('the new primary has its replica', async () => {
    const { connected_slaves: count } = await set.primary.info('replication')
    return count === '1'
  })
  for (const holder of holders) {
    const refused = await left.refresh(holder.token)
    expect({ status: refused.status, error: refused.body.error }).toEqual({
      status: 503,
      error: 'temporarily_unavailable',
    })
    await holder.refresh([left, right])
    await holder.refresh([left, right])
  }
  await expect(left.aat.revoke({ jti: 'not now' })).rejects.toThrow('NOREPLICAS')
  await heal(sides)
  for (const holder of holders) await holder.refresh(left)
  for (const name of ['refresh_token.reused', 'refresh_token.fast_forwarded'] as const)
    expect(instances.eventsNamed(name)).toEqual([])
}, 60_000)
