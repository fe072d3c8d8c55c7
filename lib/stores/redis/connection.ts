import type { Cluster, ClusterOptions, Redis, RedisOptions } from 'ioredis'
import { systemRandom } from '../../protocol/random.ts'

/** What an app passes: a connection of its own, of which the stores take the settings and not the socket. */
export type RedisClient = Redis | Cluster

/** Milliseconds between attempts to reconnect: random, so that instances do not come back all at once, and short. */
function reconnectDelay(attempt: number): number {
  const longest = Math.min(500, 50 * 2 ** Math.min(attempt, 5))
  return 20 + Math.floor(((systemRandom(1)[0] ?? 0) / 256) * longest)
}

/**
 * A connection like the app's, with what these stores rest on. Scripts may run twice, so ioredis may re-send what a lost
 * connection left open (`autoResendUnfulfilledCommands`; without it a command can stay open for ever); a second lost
 * connection ends that. Each command has its own time limit besides; nothing here relies on the driver's.
 * @param deadline milliseconds that a command may take
 */
export function duplicate(client: RedisClient, deadline: number, name: string): RedisClient {
  const shared: RedisOptions = {
    keyPrefix: '',
    replyMapping: 'legacy',
    connectionName: name,
    // The user of the documented ACL line may not, since older servers do not know the command.
    disableClientInfo: true,
    stringNumbers: false,
    enableAutoPipelining: false,
    enableOfflineQueue: true,
    autoResendUnfulfilledCommands: true,
    maxRetriesPerRequest: 1,
    commandTimeout: undefined,
    // A socket that says nothing while an answer is due for this long is dead, whatever TCP believes.
    socketTimeout: 4 * deadline,
    connectTimeout: Math.max(1000, 2 * deadline),
    readOnly: false,
    monitor: false,
    lazyConnect: false,
  }
  if (client.isCluster) {
    const cluster = client as Cluster
    const options: ClusterOptions = {
      keyPrefix: '',
      scaleReads: 'master',
      enableAutoPipelining: false,
      enableOfflineQueue: true,
      lazyConnect: false,
      clusterRetryStrategy: reconnectDelay,
      redisOptions: { ...cluster.options.redisOptions, ...shared },
    }
    // The types of ioredis leave no room for members that may be undefined.
    return cluster.duplicate([], options as never)
  }
  const options: RedisOptions = {
    ...shared,
    retryStrategy: reconnectDelay,
    // hints.ts subscribes at each 'ready'; nobody would handle the failure of the driver's own attempt.
    autoResubscribe: false,
    // A primary that became a replica: reconnecting finds the new one, and nothing has happened yet.
    reconnectOnError: (error) => (error.message.includes('READONLY') ? 2 : false),
  }
  return (client as Redis).duplicate(options as never)
}

/** The prefix that the app's own connection gives to its keys. */
export function prefixOf(client: RedisClient): string {
  const { options } = client as { options: { keyPrefix?: string; redisOptions?: { keyPrefix?: string } } }
  return options.keyPrefix ?? options.redisOptions?.keyPrefix ?? ''
}
