import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { type Clock, memoryStores, type Stores } from '../../lib/index.ts'
import { redisStores } from '../../lib/redis.ts'
import { sharedRedis } from './redis-servers.ts'

/** Set by the jest project: which stores a test gets that does not choose for itself. */
declare const STORES: 'memory' | 'redis'

/** Empty stores that take their time from the given clock. In Redis: a prefix of their own in the server of the test file. */
export async function makeStores(clock: Clock): Promise<Stores> {
  if (STORES === 'memory') return memoryStores({ clock })
  const server = await sharedRedis()
  const client = new Redis(server.port, { lazyConnect: true })
  return redisStores(client, { clock, prefix: `${randomBytes(9).toString('hex')}:`, deadline: 5000 })
}
