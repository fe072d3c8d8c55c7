/** Stands before a Redis, and can swallow what it says to subscribers, as a network does that lost a connection silently. */

import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/**
 * @param {number} port of the Redis
 * @returns {Promise<{ port: number, setDeaf: (deaf: boolean) => void, close: () => void }>}
 */
export async function startDeafProxy(port) {
  let isDeaf = false
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set()
  const server = createServer({ noDelay: true }, (client) => {
    const redis = connect({ port, host: '127.0.0.1', noDelay: true })
    let subscribes = false
    client.on('data', (chunk) => {
      subscribes ||= /\bs?subscribe\b/i.test(chunk.toString('latin1'))
      redis.write(chunk)
    })
    redis.on('data', (chunk) => {
      if (!(isDeaf && subscribes)) client.write(chunk)
    })
    for (const [one, other] of /** @type {const} */ ([
      [client, redis],
      [redis, client],
    ])) {
      sockets.add(one)
      one.on('error', () => undefined)
      one.once('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    port: /** @type {import('node:net').AddressInfo} */ (server.address()).port,
    setDeaf(deaf) {
      isDeaf = deaf
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
