/** The processes of one run: for each server a Redis of its own, so that neither its keys nor its commands mix with others'. */

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'

/**
 * @typedef {{
 *   name: string,
 *   url: string,
 *   redis: Redis,
 *   ask: <T>(what: string, count?: number) => Promise<T>,
 * }} Server `url` of the token endpoint; `redis` is a connection of the benchmark's own
 */

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()
/** @type {Set<Redis>} */
const connections = new Set()
/** Where Redis would write, if it wrote. */
const directory = mkdtempSync(join(tmpdir(), 'bench-redis-'))

// However the run ends; without a listener a signal would end it without this event.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

/** Ends them all, and waits until they have ended: each server before its Redis. */
export async function stopServers() {
  for (const connection of connections) connection.disconnect()
  for (const child of [...running].reverse()) {
    running.delete(child)
    child.removeAllListeners('exit')
    const ended = once(child, 'exit')
    child.kill()
    await ended
  }
}

/**
 * @param {string} name of a file in `servers/`
 * @param {import('../harness/placement.js').Placement | undefined} place
 * @returns {Promise<Server>}
 */
export async function startServer(name, place) {
  const port = await startRedis(place?.redis)
  const file = fileURLToPath(new URL('server.js', import.meta.url))
  // taskset becomes the command that it starts: same process id, same channel.
  const pinned = place && { execPath: 'taskset', execArgv: ['-c', `${place.server}`, process.execPath] }
  const child = fork(file, [name, `${port}`], {
    ...pinned,
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  watch(child, name)
  const [{ url }] = await once(child, 'message')
  const redis = new Redis({ host: '127.0.0.1', port })
  connections.add(redis)
  return {
    name,
    url,
    redis,
    async ask(what, count) {
      const reply = once(child, 'message')
      child.send({ ask: what, count })
      const [{ answer, error }] = await reply
      if (error !== undefined) throw new Error(`${name}, ${what}: ${error}`)
      return answer
    },
  }
}

/** @param {number | undefined} cpu */
async function startRedis(cpu) {
  const port = await freePort()
  const command = ['redis-server', '--port', `${port}`, '--bind', '127.0.0.1', '--dir', directory]
  command.push('--save', '', '--appendonly', 'no', '--loglevel', 'warning')
  if (cpu !== undefined) command.unshift('taskset', '-c', `${cpu}`)
  const [file = '', ...rest] = command
  const child = spawn(file, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
  watch(child, 'redis-server')
  const redis = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: null })
  // It refuses until it has started; what stays wrong is thrown below.
  redis.on('error', () => undefined)
  for (let attempt = 0; ; attempt++) {
    try {
      await redis.connect()
      break
    } catch (error) {
      if (attempt === 100) throw error
      await sleep(50)
    }
  }
  redis.disconnect()
  return port
}

/** A child that ends before the run does ends the run. @param {import('node:child_process').ChildProcess} child @param {string} name */
function watch(child, name) {
  running.add(child)
  child.once('error', (error) => fail(`${name} cannot be started: ${error.message}`))
  child.once('exit', (code, signal) => {
    running.delete(child)
    fail(`${name} ended with ${code ?? signal}`)
  })
}

/** @param {string} message */
function fail(message) {
  console.error(message)
  process.exit(1)
}

/** @returns {Promise<number>} */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  server.close()
  await once(server, 'close')
  return port
}
