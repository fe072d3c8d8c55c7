/** From a revocation's answer to the refusal of the token at each of four instances. */

import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDeafProxy } from '../harness/deaf-proxy.js'
import { endpointOf, post } from '../harness/post.js'
import { start, startRedis } from '../harness/processes.js'
import { clientCredentials, headers } from '../servers/token-shared.js'

const INSTANCES = 4
/** Milliseconds between looks, so that four loops do not keep the instances from working. */
const LOOK_EVERY = 1
/** Milliseconds after which a trial has failed. */
const PATIENCE = 15_000
const agent = new Agent({ keepAlive: true })

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function revocation({ quick }) {
  const redis = await startRedis()
  const proxy = await startDeafProxy(redis.port)
  const options = { issuer: 'http://127.0.0.1:3000', secret: randomBytes(32).toString('hex') }
  /** @type {import('../harness/processes.js').Server[]} */
  const servers = []
  for (let i = 0; i < INSTANCES; i++)
    servers.push(
      await start({ module: 'instance', kind: 'fixed', redis: { ...redis, port: proxy.port }, options }),
    )

  const alive = await trials(servers, quick ? 10 : 100)
  proxy.setDeaf(true)
  const dead = await trials(servers, quick ? 3 : 15)
  proxy.setDeaf(false)
  const token = await known(servers)
  process.kill(redis.pid, 'SIGSTOP')
  const stopped = performance.now()
  const away = await Promise.all(servers.map((server) => until(server, token, 503, stopped)))
  process.kill(redis.pid, 'SIGCONT')
  for (const server of servers) await server.stop()
  proxy.close()
  await redis.stop()

  const row = (/** @type {string} */ name, /** @type {number[]} */ times) => {
    times.sort((a, b) => a - b)
    const at = (/** @type {number} */ share) =>
      (times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0).toFixed(1)
    return [name, `${times.length}`, at(0.5), at(0.99), at(1)]
  }
  const good = row('as it should be', alive)
  const silent = row('subscriptions are silently dead', dead)
  const lost = row('Redis does not answer', away)
  return {
    title: 'Revocation',
    short: [
      ['revocation to refusal over 4 instances: p50, p99 ms', `${good[2]}, ${good[3]}`],
      [
        '… with dead subscriptions, worst ms; from the loss of Redis to 503, worst ms',
        `${silent[4]}; ${lost[4]}`,
      ],
    ],
    note: `${INSTANCES} instances over one Redis, all of which had accepted the token; looked every ${LOOK_EVERY} ms.`,
    tables: [
      {
        heads: ['from the revocation’s answer to 401', 'times', 'p50 ms', 'p99 ms', 'worst ms'],
        rows: [good, silent],
      },
      {
        heads: ['from the loss of Redis to 503', 'times', 'p50 ms', 'p99 ms', 'worst ms'],
        rows: [lost],
      },
    ],
  }
}

/** @param {import('../harness/processes.js').Server[]} servers @param {number} count */
async function trials(servers, count) {
  /** @type {number[]} */
  const times = []
  for (let i = 0; i < count; i++) {
    const token = await known(servers)
    const at = /** @type {import('../harness/processes.js').Server} */ (servers[i % servers.length])
    const response = await fetch(`${at.url}/oauth/revoke`, {
      method: 'POST',
      headers,
      body: `token=${token}`,
    })
    if (!response.ok) throw new Error(`the revocation was answered ${response.status}`)
    const revoked = performance.now()
    times.push(...(await Promise.all(servers.map((server) => until(server, token, 401, revoked)))))
  }
  return times
}

/** A token that every instance has accepted. @param {import('../harness/processes.js').Server[]} servers */
async function known(servers) {
  const [first] = /** @type {[import('../harness/processes.js').Server]} */ (/** @type {unknown} */ (servers))
  const { accessToken = '' } = await post(endpointOf(first), clientCredentials)
  for (const server of servers) {
    const status = await look(server, accessToken)
    if (status !== 200) throw new Error(`a good token was answered ${status}`)
  }
  return accessToken
}

/** Milliseconds since then. @param {import('../harness/processes.js').Server} server @param {string} token @param {number} awaited @param {number} since */
async function until(server, token, awaited, since) {
  for (;;) {
    const status = await look(server, token)
    const passed = performance.now() - since
    if (status === awaited) return passed
    if (status !== 200 || passed > PATIENCE) throw new Error(`answered ${status} after ${passed} ms`)
    await sleep(LOOK_EVERY)
  }
}

/** @param {import('../harness/processes.js').Server} server @param {string} token @returns {Promise<number>} */
function look({ url }, token) {
  return new Promise((resolve, reject) => {
    request(`${url}/guarded`, { agent, headers: { Authorization: `Bearer ${token}` } }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0))
    })
      .once('error', reject)
      .end()
  })
}
