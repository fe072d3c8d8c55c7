import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Below the ports that operating systems give to outgoing connections, so that no connection of a test takes a port
 * between this check and the start of its server, or while a server is down that will come back. A cluster's second
 * port (+ 10000) lies below them too.
 */
const LOWEST = 10_500
const HIGHEST = 22_500

/** A port of the loopback interface that is free now, together with port + `offset` for each offset. */
export async function freePort(offsets: number[] = []): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(LOWEST, HIGHEST)
    const free = await Promise.all([0, ...offsets].map((offset) => isFree(port + offset)))
    if (!free.includes(false)) return port
  }
  throw new Error('no free port')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
