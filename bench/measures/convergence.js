/** What becomes of a family whose client presents one refresh token several times, which honest clients do. */

import { setTimeout as sleep } from 'node:timers/promises'
import { endpointOf, post } from '../harness/post.js'
import { clientCredentials, refreshing } from '../servers/token-shared.js'

const TRIALS = 5
const CONCURRENT = [2, 4, 8, 64]
const RETRY_AFTER = [15, 60]

/**
 * Of one trial: answers with 200, different successors among them, and how many of those can be refreshed afterwards.
 * @typedef {{ good: number, distinct: number, alive: number }} Trial
 * @typedef {{ what: string, presented: number, trials: Trial[] }} Case
 */

/** @param {import('../harness/processes.js').Server} server @returns {Promise<Case[]>} */
export async function convergence(server) {
  // Opens the connections, so that the requests do not wait for them one after another.
  await Promise.all(
    Array.from({ length: Math.max(...CONCURRENT) }, () => post(endpointOf(server), clientCredentials)),
  )
  const cases = []
  for (const n of CONCURRENT)
    cases.push(
      await repeat(server, `${n} at once`, n, (token) =>
        Promise.all(Array.from({ length: n }, () => post(endpointOf(server), refreshing(token)))),
      ),
    )
  for (const milliseconds of RETRY_AFTER)
    cases.push(
      await repeat(server, `again after ${milliseconds} ms`, 2, async (token) => {
        const first = await post(endpointOf(server), refreshing(token))
        await sleep(milliseconds)
        return [first, await post(endpointOf(server), refreshing(token))]
      }),
    )
  return cases
}

/**
 * @param {import('../harness/processes.js').Server} server
 * @param {string} what
 * @param {number} presented how often
 * @param {(token: string) => Promise<{ refreshToken?: string }[]>} present
 * @returns {Promise<Case>}
 */
async function repeat(server, what, presented, present) {
  /** @type {Trial[]} */
  const trials = []
  for (const token of /** @type {string[]} */ (await server.ask('open', TRIALS))) {
    const successors = (await present(token)).flatMap(({ refreshToken }) => refreshToken ?? [])
    const distinct = [...new Set(successors)]
    let alive = 0
    for (const successor of distinct)
      if ((await post(endpointOf(server), refreshing(successor))).status === 200) alive++
    trials.push({ good: successors.length, distinct: distinct.length, alive })
  }
  return { what, presented, trials }
}
