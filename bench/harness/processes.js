/** The processes of a run: servers under load, each in a process of its own, and a Redis for those that want one. */

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { checkIsInPlace, place } from './placement.js'

/**
 * What is started: `module` is a file of `servers/` with a function `mount`, `kind` the server that it stands on.
 * `redis`: it wants one of its own, or is to share this one.
 * @typedef {'stock' | 'fixed'} Kind
 * @typedef {Awaited<ReturnType<typeof startRedis>>} OwnRedis
 * @typedef {{ module: string, kind: Kind, options?: object, redis?: boolean | OwnRedis, flags?: string[] }} Target
 * @typedef {{
 *   url: string,
 *   path: string,
 *   pid: number,
 *   redis: Redis | undefined,
 *   ask: (what: string, value?: unknown) => Promise<any>,
 *   cpu: () => number,
 *   stop: () => Promise<void>,
 * }} Server `redis` is a connection of the benchmark's own; `ask` calls what `mount` gave; `cpu` is microseconds so far
 */

const SERVER = fileURLToPath(new URL('server.js', import.meta.url))
/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()
/** Where Redis would write, if it wrote. */
const directory = mkdtempSync(join(tmpdir(), 'bench-redis-'))

// However the run ends; without a listener a signal would end it without this event.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

/** @param {Target} target @returns {Promise<Server>} */
export async function start({ module, kind, options = {}, redis: wantsRedis = false, flags = [] }) {
  const own = wantsRedis === true ? await startRedis() : undefined
  const redis = wantsRedis === true ? own : wantsRedis || undefined
  const settings = JSON.stringify({ kind, options, redisPort: redis?.port })
  // taskset becomes the command that it starts: same process id, same channel.
  const pinned = place && {
    execPath: 'taskset',
    execArgv: ['-c', `${place.server}`, process.execPath, ...flags],
  }
  const child = fork(SERVER, [module, settings], {
    execArgv: flags,
    ...pinned,
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  watch(child, module)
  const [{ url, path }] = await once(child, 'message')
  const pid = /** @type {number} */ (child.pid)
  checkIsInPlace('server', pid)
  let asking = Promise.resolve()
  return {
    url,
    path,
    pid,
    redis: redis?.connection,
    ask(what, value) {
      const answer = asking.then(async () => {
        const reply = once(child, 'message')
        child.send({ ask: what, value })
        const [{ answer, error }] = await reply
        if (error !== undefined) throw new Error(`${module}, ${what}: ${error}`)
        return answer
      })
      asking = answer.catch(() => undefined)
      return answer
    },
    cpu: () => microsecondsOf(pid),
    async stop() {
      await end(child)
      await own?.stop()
    },
  }
}

/** A Redis that keeps nothing on disk, on the CPU of the load where there are but two. */
export async function startRedis() {
  const port = await freePort()
  const command = ['redis-server', '--port', `${port}`, '--bind', '127.0.0.1', '--dir', directory]
  command.push('--save', '', '--appendonly', 'no', '--loglevel', 'warning')
  if (place) command.unshift('taskset', '-c', `${place.redis}`)
  const [file = '', ...rest] = command
  const child = spawn(file, rest, { stdio: ['ignore', 'ignore', 'inherit'] })
  watch(child, 'redis-server')
  const connection = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: () => null })
  // It refuses until it has started; what stays wrong is thrown below.
  connection.on('error', () => undefined)
  for (let attempt = 0; ; attempt++) {
    try {
      await connection.connect()
      const pid = /** @type {number} */ (child.pid)
      checkIsInPlace('redis', pid)
      return {
        port,
        pid,
        connection,
        async stop() {
          connection.disconnect()
          await end(child)
        },
      }
    } catch (error) {
      if (attempt === 100) throw error
      await sleep(50)
    }
  }
}

/** Microseconds of CPU that all threads of a process have used. @param {number} pid */
export function microsecondsOf(pid) {
  const tasks = `/proc/${pid}/task`
  let nanoseconds = 0
  for (const task of readdirSync(tasks))
    nanoseconds += Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0])
  return nanoseconds / 1000
}

/** @param {import('node:child_process').ChildProcess} child */
async function end(child) {
  running.delete(child)
  child.removeAllListeners('exit')
  const ended = once(child, 'exit')
  child.kill()
  await ended
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
