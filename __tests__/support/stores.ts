import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { type Clock, memoryStores, type Stores } from '../../lib/index.ts'
import { redisStores } from '../../lib/redis.ts'
import { sharedRedis } from './redis-servers.ts'

/** Set by the jest project: which stores a test gets that does not choose for itself. */
declare const STORES: 'memory' | 'redis'

/** Empty stores that take their time from the given clock. In Redis: a prefix of their own in the server of the test file. */
export async function makeStores(clock: Clock): Promise<Stores> {
  return (await makeSharedStores(clock))()
}

/** The same for several instances of one server: in memory one for all, in Redis connections of its own for each. */
export async function makeSharedStores(clock: Clock): Promise<() => Stores> {
  if (STORES === 'memory') {
    const stores = memoryStores({ clock })
    return () => stores
  }
  const server = await sharedRedis()
  const prefix = `${randomBytes(9).toString('hex')}:`
  return () => redisStores(new Redis(server.port, { lazyConnect: true }), { clock, prefix, deadline: 5000 })
}
