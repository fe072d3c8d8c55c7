import type { RedisClient } from './connection.ts'

/** Seconds between questions whether a silent subscription still has a server behind it. */
const HEARTBEAT = 5

/**
 * Tells of messages on a channel, and of each time that the connection comes back, since what was said meanwhile was missed.
 * A hint only: the log is read each second anyway, so a subscription that is lost unnoticed costs a second.
 */
export function createHints(connect: () => RedisClient, channel: string) {
  const listeners = new Set<() => void>()
  let subscriber: RedisClient | undefined
  let heartbeat: NodeJS.Timeout | undefined
  let refusal: unknown

  function tell(): void {
    for (const listener of listeners) listener()
  }

  async function subscribeTo(connection: RedisClient): Promise<void> {
    try {
      await connection.subscribe(channel)
      refusal = undefined
      tell()
    } catch (error) {
      refusal = error
    }
  }

  function start(): void {
    const connection = connect()
    subscriber = connection
    connection.on('message', tell)
    // Each time: a server that was away when it was asked first has no subscription to renew.
    connection.on('ready', () => void subscribeTo(connection))
    // An unanswered question lets the driver notice that the socket is dead. In a cluster the driver looks after it itself.
    if (!connection.isCluster)
      heartbeat = setInterval(() => void connection.ping().catch(() => undefined), HEARTBEAT * 1000).unref()
  }

  return {
    subscribe(listener: () => void): () => void {
      listeners.add(listener)
      if (subscriber === undefined) start()
      return () => void listeners.delete(listener)
    },

    /** Why there is no subscription, where the server refused it. */
    refusal: () => refusal,

    close(): void {
      clearInterval(heartbeat)
      subscriber?.disconnect()
      listeners.clear()
    },
  }
}

export type Hints = ReturnType<typeof createHints>
