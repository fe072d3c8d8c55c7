/** From starting Node to listening, and the memory of a server that nobody has asked anything. */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { median, whole } from '../harness/numbers.js'
import { checkIsInPlace, place } from '../harness/placement.js'

const [BARE, OURS] = ['bare Express', 'express-aat, everything mounted']
const SERVERS = [
  { name: BARE, module: 'start-bare' },
  { name: OURS, module: 'start-express-aat' },
  { name: 'MCP SDK, its auth router', module: 'start-mcp' },
  { name: 'node-oidc-provider', module: 'start-oidc-provider' },
  { name: 'better-auth, its OAuth provider', module: 'start-better-auth' },
]
const IDLE_MS = 1000
/** Rounds in which servers are left idle, to see what memory they then have. */
const IDLE_ROUNDS = 3

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function start({ starts, quick }) {
  /** @type {Map<string, { ms: number, rss: number }[]>} */
  const all = new Map(SERVERS.map(({ name }) => [name, []]))
  const rounds = quick ? 1 : 4 * starts
  // The first round brings the files into the page cache.
  for (let round = 0; round <= rounds; round++)
    for (const { name, module } of SERVERS) {
      const one = await startOnce(module, round > rounds - IDLE_ROUNDS)
      if (round > 0) all.get(name)?.push(one)
    }
  const ms = (/** @type {string} */ name) => (all.get(name) ?? []).map((one) => one.ms)
  // Within each round, as a machine is faster at one time than at another.
  const overBare = (/** @type {string} */ name) => {
    const bare = ms(BARE)
    return `+${whole(median(ms(name).map((own, i) => own - (bare[i] ?? Number.NaN))))}`
  }
  const rss = (/** @type {string} */ name) =>
    whole(median((all.get(name) ?? []).flatMap((one) => (Number.isNaN(one.rss) ? [] : [one.rss]))))
  return {
    title: 'Start and memory',
    short: [
      [
        'start to listening over bare Express, ms; RSS idle with everything mounted, MB',
        `${overBare(OURS)}; ${rss(OURS)}`,
      ],
    ],
    tables: [
      {
        heads: ['server', 'start to listening, ms', 'over bare Express', 'RSS idle, MB'],
        rows: SERVERS.map(({ name }) => [name, whole(median(ms(name))), overBare(name), rss(name)]),
      },
    ],
  }
}

/** @param {string} module @param {boolean} isLeftIdle */
async function startOnce(module, isLeftIdle) {
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
  checkIsInPlace('server', child.pid ?? 0)
  if (isLeftIdle) await sleep(IDLE_MS)
  const status = isLeftIdle ? readFileSync(`/proc/${child.pid}/status`, 'utf8') : ''
  child.kill()
  await ended
  return { ms, rss: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024 }
}
