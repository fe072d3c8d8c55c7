/** Redis memory that a registered client takes. */

import { redisOf } from '../harness/post.js'
import { METADATA } from '../parts/registrations.js'
import { stock } from './memory.js'

/**
 * Of keys and their members, as MEMORY USAGE tells; what lists and counters take is shared out.
 * @param {import('../harness/processes.js').Server} server
 * @param {number} clients
 */
export async function bytesOfClients(server, clients) {
  const before = sumOf(await stock(redisOf(server)))
  for (let i = 0; i < clients; i++) {
    const response = await fetch(server.url + server.path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(METADATA),
    })
    await response.text()
    if (response.status !== 201) throw new Error(`a registration was answered ${response.status}`)
  }
  return (sumOf(await stock(redisOf(server))) - before) / clients
}

/** @param {{ kinds: Map<string, { bytes: number }> }} all */
function sumOf({ kinds }) {
  return [...kinds.values()].reduce((sum, { bytes }) => sum + bytes, 0)
}
