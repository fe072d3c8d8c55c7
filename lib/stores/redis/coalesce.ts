import { setImmediate } from 'node:timers'
import type { RedisClient } from './connection.ts'

interface Corkable {
  cork(): void
  uncork(): void
}

/**
 * What is sent in one turn of the event loop goes to the server in one write: under load that is several commands, and writing
 * to a socket is the dearest part of sending one. They leave before the loop waits for anything, so nothing comes later.
 * A cluster has a connection for each node, and writes as it always did.
 * @returns to be called before something is sent
 */
export function createCoalescing(client: RedisClient): () => void {
  let corked: Corkable | undefined
  return () => {
    const { stream } = client as { stream?: Corkable }
    // A new connection has another socket.
    if (stream === undefined || stream === corked) return
    corked = stream
    stream.cork()
    setImmediate(() => {
      if (corked === stream) corked = undefined
      stream.uncork()
    })
  }
}
