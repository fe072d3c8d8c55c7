/**
 * One server under load, in a process of its own: `server.js <file of servers/> <settings as JSON>`. Says `{ url }` when it
 * listens, and answers `{ ask, value }` with `{ answer }` or `{ error }`.
 */

import { once } from 'node:events'
import http from 'node:http'
import express from 'express'
import { Redis } from 'ioredis'
import { countWaits } from './count-waits.js'

/**
 * What the file of a server gets, and gives: functions that the benchmark asks for, the `path` that it is about, and for a server
 * without Express a `listener` of its own.
 * @typedef {{ app: import('express').Express, redis: Redis, url: string, options: any }} Context
 * @typedef {{ asks?: Record<string, (value: any) => unknown>, path?: string, listener?: http.RequestListener }} Mounted
 */

const [name, settings = ''] = process.argv.slice(2)
const { kind, options, redisPort } = JSON.parse(settings)
/** @type {{ mount: (context: Context) => Mounted | Promise<Mounted> }} */
const { mount } = await import(new URL(`../servers/${name}.js`, import.meta.url).href)
/** @type {typeof import('express-aat/server')} */
const { createServer } = await import(new URL('../../dist/server.js', import.meta.url).href)

const app = express()
const server = kind === 'fixed' ? createServer(app) : http.createServer(app)
await once(server.listen(0, '127.0.0.1'), 'listening')
const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
const redis = new Redis({ host: '127.0.0.1', port: redisPort, lazyConnect: true })
const url = `http://127.0.0.1:${port}`
const { asks = {}, path = '/', listener } = await mount({ app, redis, url, options })
if (listener) server.removeAllListeners('request').on('request', listener)

/** @type {(() => number) | undefined} */
let waits
asks.countWaits = () => {
  waits = countWaits(Redis.prototype)
}
asks.waits = () => waits?.()

process.on('message', async (/** @type {{ ask: string, value: unknown }} */ { ask, value }) => {
  try {
    process.send?.({ answer: await asks[ask]?.(value) })
  } catch (error) {
    process.send?.({ error: `${error}` })
  }
})
process.on('disconnect', () => process.exit())
process.send?.({ url, path })
