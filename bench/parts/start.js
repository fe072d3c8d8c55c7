/** From starting Node to listening, and the memory of a server that nobody has asked anything. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { median, whole } from '../harness/numbers.js'
import { placement } from '../harness/placement.js'

const [BARE, OURS] = ['bare Express', 'express-aat, everything mounted']
const SERVERS = [
  { name: BARE, module: 'start-bare' },
  { name: OURS, module: 'start-express-aat' },
  { name: 'MCP SDK, its auth router', module: 'start-mcp' },
  { name: 'node-oidc-provider', module: 'start-oidc-provider' },
  { name: 'better-auth, its OAuth provider', module: 'start-better-auth' },
]
const IDLE_MS = 1000
const place = placement()

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function start({ starts, quick }) {
  /** @type {Map<string, { ms: number, rss: number }[]>} */
  const all = new Map(SERVERS.map(({ name }) => [name, []]))
  // The first round brings the files into the page cache.
  for (let round = 0; round <= (quick ? 1 : starts + 2); round++)
    for (const { name, module } of SERVERS) {
      const one = await startOnce(module)
      if (round > 0) all.get(name)?.push(one)
    }
  const of = (/** @type {string} */ name, /** @type {'ms' | 'rss'} */ what) =>
    median((all.get(name) ?? []).map((one) => one[what]))
  return {
    title: 'Start and memory',
    short: [
      [
        'start to listening over bare Express, ms; RSS idle with everything mounted, MB',
        `+${whole(of(OURS, 'ms') - of(BARE, 'ms'))}; ${whole(of(OURS, 'rss'))}`,
      ],
    ],
    tables: [
      {
        heads: ['server', 'start to listening, ms', 'over bare Express', 'RSS idle, MB'],
        rows: SERVERS.map(({ name }) => [
          ...[name, whole(of(name, 'ms')), `+${whole(of(name, 'ms') - of(BARE, 'ms'))}`],
          whole(of(name, 'rss')),
        ]),
      },
    ],
  }
}

/** @param {string} module */
async function startOnce(module) {
  const file = fileURLToPath(new URL(`../servers/${module}.js`, import.meta.url))
  const pinned = place && { execPath: 'taskset', execArgv: ['-c', `${place.server}`, process.execPath] }
  const begin = performance.now()
  const child = fork(file, [], {
    ...pinned,
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  const ended = once(child, 'exit')
  const listening = once(child, 'message')
  const ms = await Promise.race([listening, ended]).then(() => performance.now() - begin)
  if (child.exitCode !== null) throw new Error(`${module} ended with ${child.exitCode}`)
  await sleep(IDLE_MS)
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  child.kill()
  await ended
  return { ms, rss: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024 }
}
