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

  function tell(): void {
    for (const listener of listeners) listener()
  }

  function start(): void {
    subscriber = connect()
    subscriber.on('message', tell)
    subscriber.on('ready', tell)
    subscriber.subscribe(channel).catch(() => undefined)
    // An unanswered question lets the driver notice that the socket is dead. In a cluster the driver looks after it itself.
    const asked = subscriber
    if (!asked.isCluster)
      heartbeat = setInterval(() => void asked.ping().catch(() => undefined), HEARTBEAT * 1000).unref()
  }

  return {
    subscribe(listener: () => void): () => void {
      listeners.add(listener)
      if (subscriber === undefined) start()
      return () => void listeners.delete(listener)
    },

    close(): void {
      clearInterval(heartbeat)
      subscriber?.disconnect()
      listeners.clear()
    },
  }
}

export type Hints = ReturnType<typeof createHints>
