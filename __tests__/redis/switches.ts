import { expect } from '@jest/globals'
import { Redis } from 'ioredis'
import { startReplicated } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { Instances, kidsOf, signIn } from './instances.ts'

/**
 * Lets Sentinel switch again and again while clients refresh all the time: each keeps its session, none is taken for a
 * thief, and none waits longer than Sentinel needed and 2 s.
 */
export async function expectSwitchesUnderLoad(switches: ('kill' | 'pause' | 'handover')[]) {
  const set = await startReplicated({ replicas: 1, sentinels: 1 })
  const instances = new Instances(
    () => new Redis({ sentinels: set.sentinelAddresses, name: set.name, lazyConnect: true }),
    { redis: { deadline: 500 } },
  )
  let isDone = false
  let longestWait = 0
  try {
    const [one, two] = [await instances.start(), await instances.start()]
    const kids = await kidsOf(one)
    const holders = await signIn(one, 8)
    // A family that was opened and never reached a replica would be gone: its user signs in again.
    await set.caughtUp()
    const load = holders.map(async (holder) => {
      while (!isDone) {
        await holder.refresh([one, two])
        const { status } = await two.call('/api/a', holder.access)
        // Never 401: where Sentinel takes longer than S the guard cannot know of revocations.
        expect([200, 503]).toContain(status)
      }
    })
    const failed = Promise.all(load)
    failed.catch(() => undefined)
    for (const how of switches) {
      const [rounds, old] = [holders.map(({ tokens }) => tokens.length), set.primary]
      for (const holder of holders) holder.longestWait = 0
      const began = performance.now()
      await set.failover(how)
      const switched = performance.now() - began
      // Two more of each: one may have been answered by the old primary.
      await Promise.race([
        failed,
        until('all went on', () =>
          holders.every(({ tokens }, index) => tokens.length > (rounds[index] ?? 0) + 3),
        ),
      ])
      const waited = Math.max(...holders.map((holder) => holder.longestWait))
      expect({ how, switched, waited, isLonger: waited > switched + 2000 }).toMatchObject({ isLonger: false })
      longestWait = Math.max(longestWait, waited)
      // The old one comes back as a replica, so that the next switch has somewhere to go.
      if (how === 'kill') await old.start()
      if (how === 'pause') old.resume()
      await until('it follows', async () => (await old.send('ROLE'))[0] === 'slave', { timeout: 20_000 })
      await set.caughtUp()
      await until(
        'Sentinel knows',
        async () => {
          const [replica]: string[][] = await (
            set.sentinels[0] as NonNullable<(typeof set.sentinels)[0]>
          ).send('SENTINEL', 'REPLICAS', set.name)
          return replica?.includes('slave') && replica[replica.indexOf('master-link-status') + 1] === 'ok'
        },
        { timeout: 20_000 },
      )
    }
    isDone = true
    await failed
    expect(instances.eventsNamed('refresh_token.reused')).toEqual([])
    expect(await kidsOf(two)).toEqual(kids)
    return {
      refreshes: holders.reduce((sum, { tokens }) => sum + tokens.length - 1, 0),
      unavailable: holders.reduce((sum, holder) => sum + holder.unavailable, 0),
      fastForwards: instances.eventsNamed('refresh_token.fast_forwarded').length,
      longestWait,
    }
  } finally {
    isDone = true
    await instances.close()
    await set.stop()
  }
}
