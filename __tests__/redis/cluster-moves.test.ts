import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { Cluster } from 'ioredis'
import type { RedisStoresOptions } from '../../lib/redis.ts'
import { type RedisCluster, startCluster } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { REDIRECT_URI, type TokenAnswer, type World } from '../support/world.ts'
import { type Holder, Instances, kidsOf, signIn } from './instances.ts'

let cluster: RedisCluster
let instances: Instances
beforeAll(async () => {
  // Where one shard is away the others are asked on: what is in them does not depend on it.
  cluster = await startCluster({ nodes: 4, args: ['--cluster-require-full-coverage', 'no'] })
})
afterEach(() => instances.close())
afterAll(() => cluster.stop())

async function start(redis: RedisStoresOptions = {}): Promise<[World, World]> {
  for (const node of cluster.nodes) await node.send('FLUSHALL')
  instances = new Instances(() => new Cluster(cluster.addresses, { lazyConnect: true }), {
    aat: { revocationStaleAfter: 2 },
    redis,
  })
  return (await instances.startMany(2)) as [World, World]
}

const familyKey = (holder: Holder) => `aat:{${holder.grantId}}:f`
const ownerOf = async (key: string) => cluster.ownerOf(await cluster.slotOf(key))

/** Refreshes one family again and again, eight at once each time, until told to stop. */
async function hammer(holder: Holder, worlds: World[], isDone: () => boolean) {
  const seen = { refreshes: 0, statuses: new Set<number>(), forks: 0 }
  while (!isDone()) {
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => (worlds[index % worlds.length] as World).refresh(holder.token)),
    )
    for (const { status } of answers) seen.statuses.add(status)
    const successors = new Set(answers.map(({ body }) => body.refresh_token))
    seen.forks += successors.size - 1
    seen.refreshes += answers.length
    const [answer] = answers
    if (answer !== undefined && answer.status === 200) holder.take(answer)
  }
  return seen
}

test('FLT-020: a slot moves while refreshes hit its family: no error, no second successor', async () => {
  const worlds = await start()
  const [holder] = await signIn(worlds[0], 1)
  if (holder === undefined) throw new Error('one')
  const slot = await cluster.slotOf(familyKey(holder))
  let isDone = false
  const began = performance.now()
  const load = hammer(holder, worlds, () => isDone)
  const phases: string[] = []
  try {
    for (let round = 0; round < 6; round++) {
      const owner = await cluster.ownerOf(slot)
      const target = cluster.nodes.find((node) => node !== owner)
      await cluster.moveSlot(slot, target ?? owner, async (phase) => {
        phases.push(phase)
        // Stands still until refreshes came in this phase.
        const generation = holder.tokens.length
        await until('refreshes came', () => holder.tokens.length > generation + 2)
      })
    }
  } finally {
    isDone = true
  }
  const { refreshes, statuses, forks } = await load
  expect(new Set(phases)).toEqual(new Set(['open', 'key_moved', 'keys_moved', 'target_owns']))
  expect({ statuses: [...statuses], forks }).toEqual({ statuses: [200], forks: 0 })
  expect(instances.eventsNamed('token.refreshed')).toHaveLength(holder.tokens.length - 1)
  expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
  console.log(
    `FLT-020: ${Math.round(refreshes / ((performance.now() - began) / 1000))} refreshes/s on one slot`,
  )
}, 60_000)

test('FLT-020: codes are redeemed while their slot stands open between two nodes', async () => {
  const [one, two] = await start()
  for (let round = 0; round < 3; round++) {
    const { code, verifier } = await one.authorize({ scope: 'a' })
    const grantId = Buffer.from(code.slice('aat_ac_'.length), 'base64url')
      .subarray(0, 16)
      .toString('base64url')
    const slot = await cluster.slotOf(`aat:{${grantId}}:c`)
    const owner = await cluster.ownerOf(slot)
    expect(await owner.send('EXISTS', `aat:{${grantId}}:c`)).toBe(1)
    let answer: Promise<TokenAnswer> | undefined
    await cluster.moveSlot(slot, cluster.nodes.find((node) => node !== owner) ?? owner, async (phase) => {
      if (answer !== undefined || phase !== (['open', 'key_moved', 'keys_moved'] as const)[round]) return
      answer = two.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      })
      // Code and family are of one slot, but on two nodes now: TRYAGAIN, until the move goes on.
      await Promise.race([answer, sleep(150)])
    })
    expect((await answer)?.status).toBe(200)
  }
})

test('FLT-022: a shard is away: its families get 503, those of others go on; without the log 503 after S, without the ring on', async () => {
  const [one, two] = await start({ deadline: 300 })
  const holders = await signIn(one, 16)
  const owners = await Promise.all(holders.map((holder) => ownerOf(familyKey(holder))))
  const log = await ownerOf('aat:{log}:e')
  const ring = await ownerOf('aat:{ring}:r')
  expect(log).not.toBe(ring)
  const kids = await kidsOf(one)
  const plain = cluster.nodes.find((node) => node !== log && node !== ring && owners.includes(node))
  if (plain === undefined) throw new Error('a shard with nothing but families')

  for (const away of [plain, ring, log]) {
    // A new file-less server would come back empty; a stopped one does not answer, as a dead host.
    away.pause()
    try {
      if (away === log)
        await until('stale', () => [one, two].every(({ aat }) => !aat.health().revocations.fresh))
      const isAway = (holder: Holder) => away === log || owners[holders.indexOf(holder)] === away
      await Promise.all(
        holders.map(async (holder) => {
          if (!isAway(holder)) await holder.refresh([one, two])
          else expect((await one.refresh(holder.token)).status).toBe(503)
        }),
      )
      for (const world of [one, two]) {
        const status = away === log ? 503 : 200
        expect((await world.call('/api/a', holders[0]?.access)).status).toBe(status)
        expect(await kidsOf(world)).toEqual(kids)
        const minted = await world.token({ grant_type: 'client_credentials', scope: 'a' })
        expect(minted.status).toBe(200)
      }
    } finally {
      away.resume()
    }
    await cluster.isOk()
    // Not a token was spent by those who got 503.
    for (const holder of holders) await holder.refresh([one, two])
  }
  expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
  expect(instances.eventsNamed('refresh_token.fast_forwarded')).toEqual([])
}, 90_000)
