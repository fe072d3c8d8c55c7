/** A flood of open registrations: what it leaves in Redis, how it is answered, and what those notice who are clients already. */

import { warm } from '../harness/compare.js'
import { request, run } from '../harness/load.js'
import { whole } from '../harness/numbers.js'
import { redisOf } from '../harness/post.js'
import { start } from '../harness/processes.js'
import { METADATA } from './registrations.js'
import { chains } from './token.js'

const REGISTRATIONS = 100_000
const FLOODS = [
  { name: 'one source', sources: 1, unlimited: false },
  { name: '10,000 sources', sources: 10_000, unlimited: false },
  { name: '10,000 sources, quotas and rate limit off', sources: 10_000, unlimited: true },
]
/** Refreshes a second of the clients that are there. */
const RATE = 200
const ENOUGH = 600

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function strangers({ quick, warmUp }) {
  const total = quick ? REGISTRATIONS / 20 : REGISTRATIONS
  const rows = []
  for (const { name, sources, unlimited } of FLOODS) {
    const server = await start({
      module: 'token-express-aat',
      kind: 'fixed',
      redis: true,
      options: { unlimited },
    })
    const clients = { url: server.url, rate: RATE, ...(await chains()(server)) }
    await warm(server, { ...clients, rate: undefined }, warmUp)
    const alone = await run({ ...clients, seconds: quick ? 1 : 4 })

    const before = await stock(server)
    /** @type {Map<number, number>} */
    const answers = new Map()
    let sent = 0
    const flood = run({
      url: server.url,
      connections: 8,
      seconds: ENOUGH,
      total,
      next: () => registration(sent++ % sources),
      onAnswer(_i, status, _body) {
        answers.set(status, (answers.get(status) ?? 0) + 1)
        return status === 201 || status === 429
      },
    })
    let floods = true
    flood.finally(() => {
      floods = false
    })
    const beside = []
    while (floods) beside.push(await run({ ...clients, seconds: 1 }))
    const { seconds, bad } = await flood
    if (bad > 0) throw new Error(`registrations were answered ${[...answers.keys()].join(', ')}`)
    const after = await stock(server)
    await server.stop()

    const taken = answers.get(201) ?? 0
    const [p50, p99] = [Math.max(...beside.map((one) => one.p50)), Math.max(...beside.map((one) => one.p99))]
    rows.push([
      ...[name, whole(taken), whole(answers.get(429) ?? 0), whole(total / seconds)],
      ...[whole(after.keys - before.keys), whole((after.bytes - before.bytes) / 1024)],
      ...[`${alone.p50.toFixed(1)}, ${alone.p99.toFixed(1)}`, `${p50.toFixed(1)}, ${p99.toFixed(1)}`],
    ])
  }
  return {
    title: 'A flood of registrations by strangers',
    note: `${whole(total)} open registrations as fast as 8 connections can, beside ${RATE} refreshes a second; the worst second of the flood.`,
    short: rows.map(([name, taken, , , , kibibytes]) => [
      `${whole(total)} open registrations, ${name}: accepted, KiB more in Redis`,
      `${taken}, ${kibibytes}`,
    ]),
    tables: [
      {
        heads: [
          'from',
          '201',
          '429',
          'a second',
          'keys more in Redis',
          'KiB more',
          'refresh before: p50, p99 ms',
          'during',
        ],
        rows,
      },
    ],
  }
}

/** @param {number} source */
function registration(source) {
  const address = `10.${source >> 16}.${(source >> 8) & 255}.${source & 255}`
  const headers = { 'Content-Type': 'application/json', 'X-Forwarded-For': address }
  return request('POST', '/oauth/register', headers, JSON.stringify(METADATA))
}

/** @param {import('../harness/processes.js').Server} server */
async function stock(server) {
  const redis = redisOf(server)
  const bytes = Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1])
  return { keys: await redis.dbsize(), bytes }
}
