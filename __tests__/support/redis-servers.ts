/**
 * Real Redis servers for the tests of a file: child processes on free ports of the loopback interface. Whatever a test
 * file starts and does not stop is stopped after its own afterAll hooks; when the whole process dies, however, its
 * servers die with it.
 */

import { afterAll } from '@jest/globals'
import { closeAllProxies } from './fault-proxy.ts'
import { type RedisServer, startRedis, stopAllServers } from './redis-process.ts'

export { type ClusterOptions, type RedisCluster, startCluster } from './redis-cluster.ts'
export {
  type ClientOptions,
  RedisServer,
  type RedisServerOptions,
  sendTo,
  startRedis,
} from './redis-process.ts'
export { type ReplicatedOptions, type ReplicatedRedis, startReplicated } from './redis-replication.ts'

let shared: Promise<RedisServer & { flush(): Promise<void> }> | undefined

/** One standalone server for this test file, started at the first call; flush() empties it. */
export function sharedRedis(): Promise<RedisServer & { flush(): Promise<void> }> {
  shared ??= startRedis().then((server) =>
    Object.assign(server, {
      async flush() {
        await server.send('FLUSHALL')
        await server.send('SCRIPT', 'FLUSH')
      },
    }),
  )
  return shared
}

// Hooks run in the order of their definition. The microtask comes after the whole test file was read, so that this one
// is the last and the file's own afterAll hooks still find their servers.
queueMicrotask(() =>
  afterAll(async () => {
    await closeAllProxies()
    await stopAllServers()
  }),
)
