/**
 * One server under load, in a process of its own: `server.js <name> <port of its Redis>`. Says `{ url }` of its token
 * endpoint when it listens, and answers `{ ask, count }` with `{ answer }` or `{ error }`.
 */

import express from 'express'
import { Redis } from 'ioredis'
import { countWaits } from './count-waits.js'

const AT_ONCE = 32
const [name, port] = process.argv.slice(2)
const redis = new Redis({ host: '127.0.0.1', port: Number(port) })
const app = express()
const server = app.listen(0, '127.0.0.1', start)
/** @type {(() => number) | undefined} */
let waits
let users = 0

async function start() {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  const url = `http://127.0.0.1:${address.port}`
  /** @type {{ mount: (context: import('./shared.js').Context) => Promise<import('./shared.js').Mounted> }} */
  const { mount } = await import(`./servers/${name}.js`)
  const { path, open } = await mount({ app, redis, url, resource: `${url}/api` })

  /** @type {Record<string, (count: number) => unknown>} */
  const answers = {
    /** Microseconds of CPU that all of its threads have used. */
    cpu() {
      const { user, system } = process.cpuUsage()
      return user + system
    },
    /** Each family is of a user of its own. */
    async open(count) {
      /** @type {string[]} */
      const tokens = []
      while (tokens.length < count) {
        const length = Math.min(AT_ONCE, count - tokens.length)
        tokens.push(...(await Promise.all(Array.from({ length }, () => open(`user-${++users}`)))))
      }
      return tokens
    },
    countWaits() {
      waits = countWaits(Redis.prototype)
    },
    waits: () => waits?.(),
  }
  process.on('message', async (/** @type {{ ask: string, count: number }} */ { ask, count }) => {
    try {
      process.send?.({ answer: await answers[ask]?.(count) })
    } catch (error) {
      process.send?.({ error: `${error}` })
    }
  })
  process.send?.({ url: url + path })
}

process.on('disconnect', () => process.exit())
