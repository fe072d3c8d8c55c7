/**
 * Instances in a process of their own, from the built library: for tests of what several processes do at once, or of one that
 * is killed or stopped on the way. Started by instance-processes.ts, which sends `{ id, verb, argument }` and gets
 * `{ id, result }` or `{ id, error }`; `{ reached }` tells that a `haltBefore` was reached.
 */

import { once } from 'node:events'
import { createServer } from 'node:http'
import express from 'express'
import { createAat, requireAat, tokenEndpoint, wellKnown } from 'express-aat'
import { redisStores } from 'express-aat/redis'
import { Redis } from 'ioredis'

/**
 * @typedef {object} Settings
 * @property {{ host: string, port: number }} redis
 * @property {import('express-aat/redis').RedisStoresOptions} [stores]
 * @property {import('express-aat').AatOptions} aat
 * @property {number} [count] how many instances
 * @property {'SIGKILL' | 'SIGSTOP'} [atRingWrite] what happens to this process when a ring was made, and is about to be written
 * @property {number} [sleeps] seconds that have passed when it goes on after that
 */

/** @type {{ aat: import('express-aat').Aat, client: Redis, server: import('node:http').Server }[]} */
let instances = []
/** Seconds by which the clock of all instances here is ahead of the machine's. */
let ahead = 0
/** @type {Map<string, number>} */
const events = new Map()
/** @type {Pick<Settings, 'atRingWrite' | 'sleeps'>} */
let halt = {}

/** @param {Settings} settings */
async function startOne({ redis, stores: options, aat: aatOptions }) {
  const client = new Redis({ ...redis, lazyConnect: true })
  client.on('error', () => undefined)
  const stores = redisStores(client, options)
  const ring = {
    ...stores.ring,
    /** @type {typeof stores.ring.compareAndSet} */
    async compareAndSet(...parameters) {
      const { atRingWrite: signal, sleeps = 0 } = halt
      if (signal !== undefined) {
        halt = {}
        // The message has to be out before this process is stopped.
        await new Promise((resolve) => process.send?.({ reached: signal }, resolve))
        process.kill(process.pid, signal)
        ahead += sleeps
      }
      return stores.ring.compareAndSet(...parameters)
    },
  }
  const aat = createAat({
    ...aatOptions,
    stores: { ...stores, ring },
    clock: () => Date.now() / 1000 + ahead,
  })
  aat.on('*', ({ name }) => events.set(name, (events.get(name) ?? 0) + 1))
  const app = express()
  app.use(wellKnown(aat))
  app.use('/oauth/token', tokenEndpoint(aat))
  app.get('/api/a', requireAat(aat, { scope: 'a' }), (_req, res) => {
    res.json({})
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  instances.push({ aat, client, server })
}

/** @type {Record<string, (argument: any) => unknown>} */
const verbs = {
  /** @param {Settings} settings */
  async start(settings) {
    halt = settings
    await Promise.all(Array.from({ length: settings.count ?? 1 }, () => startOne(settings)))
    return verbs.ports?.(undefined)
  },
  ports: () =>
    instances.map(({ server }) => /** @type {import('node:net').AddressInfo} */ (server.address()).port),
  ready: () => Promise.all(instances.map(({ aat }) => aat.ready())),
  /** The ring of each instance. */
  rings: () => instances.map(({ aat }) => aat.keys.status()),
  health: () => instances.map(({ aat }) => aat.health()),
  /** In the first instance. @param {import('express-aat').RevocationTarget} target */
  revoke: (target) => instances[0]?.aat.revoke(target),
  /** In the first instance. @param {string} kid */
  revokeKey: (kid) => instances[0]?.aat.keys.revoke(kid),
  rotate: (options) => Promise.all(instances.map(({ aat }) => aat.keys.rotate(options))),
  /** @param {typeof halt} settings */
  halt: (settings) => {
    halt = settings
  },
  /** @param {number} seconds */
  advance: (seconds) => {
    ahead += seconds
  },
  /** How often each event was heard, of all instances here. */
  events: () => Object.fromEntries(events),
  memory: () => process.memoryUsage(),
  async close() {
    const closing = instances
    instances = []
    for (const { aat, client, server } of closing) {
      await aat.close()
      client.disconnect()
      server.closeAllConnections()
      server.close()
    }
  },
}

process.on('message', async (/** @type {{ id: number, verb: string, argument: unknown }} */ message) => {
  const { id, verb, argument } = message
  try {
    process.send?.({ id, result: await verbs[verb]?.(argument) })
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? error.message : String(error) })
  }
})
// The test that started this is gone.
process.on('disconnect', () => process.exit())
