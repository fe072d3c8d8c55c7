import { expect } from '@jest/globals'
import type { RingStatus } from '../../lib/keys/ring-status.ts'
import type { InstanceProcess } from '../support/instance-processes.ts'
import type { RedisServer } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'

export function kidOf(rings: RingStatus[], state: string): string | undefined {
  return rings[0]?.keys.find((key) => key.state === state)?.kid
}

/** All instances of all processes have the same keys: one active, one waiting. */
export function expectOneRing(rings: RingStatus[][]): { active: string; standby: string } {
  const [ring, ...others] = rings.flat()
  if (ring === undefined) throw new Error('no instance')
  for (const other of others) expect(other.keys).toEqual(ring.keys)
  const kidsOf = (state: string) => ring.keys.filter((key) => key.state === state).map(({ kid }) => kid)
  const [[active = '', ...more], [standby = '', ...evenMore]] = [kidsOf('active'), kidsOf('standby')]
  expect({ active, more, standby, evenMore }).toEqual({
    active: expect.stringMatching(/^[\w-]{43}$/),
    more: [],
    standby: expect.stringMatching(/^[\w-]{43}$/),
    evenMore: [],
  })
  return { active, standby }
}

/** Starts `count` instances in each process at once on an empty Redis, again and again: each time there is one ring. */
export async function coldStartRounds(
  server: RedisServer,
  processes: InstanceProcess[],
  { count, rounds }: { count: number; rounds: number },
): Promise<void> {
  const active = new Set<string>()
  await Promise.all(processes.map((one) => one.call('ports')))
  for (let round = 0; round < rounds; round++) {
    await server.send('FLUSHALL')
    await Promise.all(
      processes.map((one) => one.start({ redis: server.address, count, stores: { deadline: 5000 } })),
    )
    await Promise.all(processes.map((one) => one.call('ready')))
    const ring = expectOneRing(await Promise.all(processes.map((one) => one.call('rings'))))
    expect(JSON.parse(await server.send('HGET', 'aat:{ring}:r', 'keys'))).toHaveLength(2)
    expect(await server.send('HGET', 'aat:{ring}:r', 'revision')).toBe('1')
    active.add(ring.active)
    await Promise.all(processes.map((one) => one.call('close')))
  }
  expect(active.size).toBe(rounds)
}

/** Moves the clock of all instances beyond a rotation at once: each time exactly one key is made, the same for all. */
export async function rotateTogether(processes: InstanceProcess[], rounds: number): Promise<void> {
  const rings = () => Promise.all(processes.map((one) => one.call('rings')))
  const created = async () => {
    const events = await Promise.all(processes.map((one) => one.call('events')))
    return events.reduce((sum, counts) => sum + (counts['key.created'] ?? 0), 0)
  }
  expect(await created()).toBe(2)
  for (let round = 1; round <= rounds; round++) {
    const { standby } = expectOneRing(await rings())
    await Promise.all(processes.map((one) => one.call('advance', 30 * 86_400)))
    await until('all have rotated', async () => {
      const all = (await rings()).flat()
      return all.every(
        (ring) =>
          kidOf([ring], 'active') === standby &&
          kidOf([ring], 'standby') !== undefined &&
          ring.revision === all[0]?.revision,
      )
    })
    expect(expectOneRing(await rings()).active).toBe(standby)
    expect(await created()).toBe(2 + round)
  }
}
