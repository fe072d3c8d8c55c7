import fc from 'fast-check'
import { Redis } from 'ioredis'
import { memoryStores } from '../../lib/index.ts'
import { redisStores } from '../../lib/redis.ts'
import { anId, T } from '../contracts/contract.ts'
import { scenario } from './grant-scenario.ts'
import { type Lane, Tally, Walk } from './grant-walk.ts'
import { sharedRedis } from './redis-servers.ts'
import { manualClock } from './world.ts'

type OpenLane = () => Promise<Lane & { close(): Promise<void> }>

export const inMemory: OpenLane = async () => {
  const clock = manualClock(T)
  return { stores: memoryStores({ clock }), clock, expiresForReal: false, close: async () => undefined }
}

export const inRedis: OpenLane = async () => {
  const clock = manualClock(T)
  const server = await sharedRedis()
  const client = new Redis(server.port, { lazyConnect: true })
  const stores = redisStores(client, { clock, prefix: `${anId()}:`, deadline: 5000 })
  return {
    stores,
    clock,
    expiresForReal: true,
    async close() {
      await stores.close?.()
      client.disconnect()
    },
  }
}

/** Plays random scenarios, several side by side, each on stores and a clock of its own, until there were enough operations. */
export async function walkLanes(
  open: OpenLane,
  { lanes, operations, seed }: { lanes: number; operations: number; seed: number },
): Promise<Tally> {
  const tally = new Tally()
  const opened = await Promise.all(Array.from({ length: lanes }, open))
  try {
    let next = seed
    await Promise.all(
      opened.map(async (lane) => {
        while (tally.operations < operations)
          await fc.assert(
            fc.asyncProperty(scenario, (scene) => new Walk(lane, tally).play(scene)),
            { numRuns: 20, seed: next++ },
          )
      }),
    )
  } finally {
    await Promise.all(opened.map(({ close }) => close()))
  }
  return tally
}
