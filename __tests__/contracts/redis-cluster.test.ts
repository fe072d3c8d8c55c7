import { beforeAll, describe } from '@jest/globals'
import { Cluster } from 'ioredis'
import { redisStores } from '../../lib/redis.ts'
import { type RedisCluster, startCluster } from '../support/redis-servers.ts'
import { anId, type StoresFactory } from './contract.ts'
import { everyContract } from './every-contract.ts'

let cluster: RedisCluster
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3 })
})

/** FLT-021: every script has its keys in one slot, or the cluster refuses it. */
const inCluster: StoresFactory = async (clock) => {
  const client = new Cluster(cluster.addresses, { lazyConnect: true })
  const stores = redisStores(client, { clock, prefix: `${anId()}:`, deadline: 5000 })
  return {
    stores,
    async close() {
      await stores.close?.()
      client.disconnect()
    },
  }
}

describe('FLT-021: stores in a Redis Cluster of three nodes', () => everyContract(inCluster))
