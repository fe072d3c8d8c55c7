/**
 * `npm run example:cluster`: one Redis, three instances of the shop and a proxy before them, on this machine only. Ctrl-C
 * stops all of it.
 */

import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isGone, reapAtExit } from '../__tests__/support/child-reaper.js'
import ensureRedis from '../scripts/ensure-redis.js'
import { proxy } from './proxy.js'

const NAMES = ['A', 'B', 'C']
const { PORT = '3000' } = process.env
/** @type {Set<import('node:child_process').ChildProcess>} */
const children = new Set()
const folder = mkdtempSync(join(tmpdir(), 'aat-example-'))
/** @type {number | undefined} */
let redisPid
let stopping = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => void stop(0))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

try {
  const server = createHttpServer()
  server.listen(Number(PORT), '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${portOf(server)}`
  const redis = await startRedis()
  const secret = randomBytes(32).toString('base64url') // one for all instances, new at each start: so is the Redis
  const instances = await Promise.all(NAMES.map((name) => startInstance(name, { issuer, secret, redis })))
  server.on('request', proxy(instances))
  const tries = [
    [`curl -is ${issuer}/.well-known/jwks.json`, 'X-Instance: who answered; the keys are the same'],
    [`curl -is -H 'X-Instance: B' ${issuer}/ready`, 'asks B'],
    [
      `curl -is -X POST ${issuer}/demo/rotate`,
      'one is told to rotate its key, all sign with the new one within a second',
    ],
    [`kill -9 ${instances[0]?.pid}`, 'nobody is signed out, no token is lost'],
  ]
  console.log(`
${issuer} goes to the next of ${NAMES.length} instances with each request.

  Redis        pid ${redis.pid}   redis://127.0.0.1:${redis.port}
${instances.map(({ name, pid, url }) => `  Instance ${name}   pid ${pid}   ${url}`).join('\n')}

Open it and run the tour: it says which instance answered. Or, from another terminal:

${tries.map(([command = '', what]) => `  ${command.padEnd(58)} # ${what}`).join('\n')}

Ctrl-C stops everything.
`)
} catch (error) {
  if (!stopping) console.error(error instanceof Error ? error.message : error)
  void stop(1)
}

/** A Redis of its own, which nothing is left of afterwards. */
async function startRedis() {
  const program = ensureRedis()
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const port = portOf(probe)
  await new Promise((resolve) => probe.close(resolve))
  const settings = ['--bind', '127.0.0.1', '--dir', folder, '--appendonly', 'yes', '--save', '']
  const { child, said } = start('Redis', program, ['--port', String(port), ...settings])
  redisPid = child.pid
  await said(/Ready to accept connections/)
  return { port, pid: child.pid }
}

/**
 * @param {string} name
 * @param {{ issuer: string, secret: string, redis: { port: number } }} settings
 */
async function startInstance(name, { issuer, secret, redis }) {
  const env = {
    ...process.env,
    PORT: '0',
    HOST: '127.0.0.1',
    ISSUER: issuer,
    AAT_SECRET: secret,
    REDIS_URL: `redis://127.0.0.1:${redis.port}`,
    REDIS_CLUSTER: '',
    REDIS_SENTINELS: '',
    IDP: '', // one provider, and each instance would start its own
    SHOP_INSTANCES: NAMES.join(','),
  }
  const script = join(import.meta.dirname, 'server.js')
  const { child, said } = start(`Instance ${name}`, process.execPath, [script], env)
  const [, url = ''] = await said(/^Listening on (\S+)/m)
  return { name, url, pid: child.pid }
}

/**
 * Starts a child in a group of its own: a Ctrl-C in the terminal is for this process, which stops the others in order.
 * @param {string} name
 * @param {string} program
 * @param {string[]} parameters
 */
function start(name, program, parameters, env = process.env) {
  const child = spawn(program, parameters, { env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  const { pid } = child
  if (pid !== undefined) reapAtExit(pid, folder)
  let output = ''
  child.stdout.on('data', (chunk) => {
    output = (output + chunk).slice(-20_000)
  })
  const ended = new Promise((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      children.delete(child)
      if (pid !== undefined) isGone(pid)
      if (!stopping) console.log(`${name} (pid ${pid}) has ended: ${signal ?? code}`)
      reject(new Error(`${name} did not start`))
    })
  })
  ended.catch(() => undefined)
  /**
   * @param {RegExp} pattern
   * @returns {Promise<RegExpExecArray>}
   */
  async function said(pattern) {
    for (;;) {
      const match = pattern.exec(output)
      if (match) return match
      await Promise.race([once(child.stdout, 'data'), ended])
    }
  }
  return { child, said }
}

/**
 * The instances first, so that they can finish what is under way; then Redis.
 * @param {number} code
 */
async function stop(code) {
  if (stopping) return
  stopping = true
  const isRedis = (/** @type {import('node:child_process').ChildProcess} */ { pid }) => pid === redisPid
  const all = [...children]
  for (const group of [all.filter((child) => !isRedis(child)), all.filter(isRedis)]) {
    for (const child of group) child.kill('SIGTERM')
    const gone = group.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit'))
    await Promise.race([Promise.all(gone), sleep(11_000)])
  }
  process.exit(code)
}

/** @param {import('node:net').Server} server */
function portOf(server) {
  return /** @type {import('node:net').AddressInfo} */ (server.address()).port
}
