import { describe } from '@jest/globals'
import { Redis } from 'ioredis'
import { redisStores } from '../../lib/redis.ts'
import { sharedRedis } from '../support/redis-servers.ts'
import { anId, type StoresFactory } from './contract.ts'
import { everyContract } from './every-contract.ts'

/** Stores of their own in one server: a prefix for each. */
const inRedis: StoresFactory = async (clock) => {
  const server = await sharedRedis()
  const client = new Redis(server.port, { lazyConnect: true })
  const stores = redisStores(client, { clock, prefix: `${anId()}:`, deadline: 5000 })
  return {
    stores,
    async close() {
      await stores.close?.()
      client.disconnect()
    },
  }
}

describe('stores in Redis', () => everyContract(inRedis))
