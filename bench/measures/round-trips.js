/** What a grant asks of Redis. */

import { endpointOf, post, redisOf } from '../harness/post.js'
import { clientCredentials, refreshing } from '../servers/token-shared.js'

const GRANTS = 100

/**
 * `waits` is round trips: how often the server waited for Redis. `commands` counts by name what Redis was sent; a pipeline
 * or MULTI is several commands in one round trip. `background` is what is sent now and then, whoever asks.
 * @typedef {{ waits: number, commands: Map<string, number>, background: string[] }} RoundTrips
 */

/** @param {import('../harness/processes.js').Server} server */
export async function refreshRoundTrips(server) {
  let [token = ''] = /** @type {string[]} */ (await server.ask('open', 1))
  return count(server, async () => {
    token = (await post(endpointOf(server), refreshing(token))).refreshToken ?? ''
    if (token === '') throw new Error(`a refresh was refused`)
  })
}

/** @param {import('../harness/processes.js').Server} server */
export function clientCredentialsRoundTrips(server) {
  return count(server, async () => {
    const { status } = await post(endpointOf(server), clientCredentials)
    if (status !== 200) throw new Error(`client_credentials was answered ${status}`)
  })
}

/** A route behind the guard. @param {import('../harness/processes.js').Server} server */
export async function guardedRoundTrips(server) {
  const { accessToken } = await post(endpointOf(server), clientCredentials)
  return count(server, async () => {
    const { status } = await fetch(`${server.url}/guarded`, {
      headers: { Authorization: `Bearer ${accessToken}` },
    })
    if (status !== 200) throw new Error(`the guarded route was answered ${status}`)
  })
}

/**
 * MONITOR shows every command that Redis carries out, and where it came from: those of a script come from `lua`, and
 * are left out. INFO's counters cannot tell the two apart.
 * @param {import('../harness/processes.js').Server} server
 * @param {() => Promise<void>} grant
 * @returns {Promise<RoundTrips>}
 */
async function count(server, grant) {
  // Scripts are loaded and clients cached by then.
  await grant()
  const monitor = await redisOf(server).monitor()
  /** @type {Map<string, number>} */
  const seen = new Map()
  const marker = `end-${Date.now()}`
  const ended = new Promise((resolve) => {
    monitor.on('monitor', (_time, /** @type {string[]} */ args, source) => {
      const name = args[0]?.toLowerCase() ?? ''
      if (name === 'echo' && args[1] === marker) resolve(undefined)
      else if (source !== 'lua') seen.set(name, (seen.get(name) ?? 0) + 1)
    })
  })
  await server.ask('countWaits')
  for (let i = 0; i < GRANTS; i++) await grant()
  const waits = /** @type {number} */ (await server.ask('waits'))
  await redisOf(server).echo(marker)
  await ended
  monitor.disconnect()

  const often = [...seen].filter(([, times]) => times >= GRANTS / 2)
  const seldom = [...seen].filter(([, times]) => times < GRANTS / 2)
  return {
    // The background's few waits fall away.
    waits: Math.round(waits / GRANTS),
    commands: new Map(often.map(([name, times]) => [name, Math.round(times / GRANTS)])),
    background: seldom.map(([name, times]) => `${name} ${times} ×`),
  }
}
