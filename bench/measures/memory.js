/** Redis memory that a family takes: fresh, and after ten rotations. */

import { endpointOf, post, redisOf } from '../harness/post.js'
import { refreshing } from '../servers/token-shared.js'

const ROTATIONS = 10
const AT_ONCE = 32
/** Keys that expire within this many seconds, like those of used authorization codes, do not stay with a family. */
const PASSING = 3600

/**
 * Bytes by kind of key, as MEMORY USAGE tells, which leaves out the table of expiries; `used` is what INFO says in all.
 * `ttl` is the longest of the kind, in seconds; infinite where one never expires.
 * @typedef {{ kinds: Map<string, { keys: number, bytes: number, ttl: number }>, used: number }} Stock
 * @typedef {{ kind: string, keys: number, fresh: number, rotated: number, ttl: number }} Kind per family
 * @typedef {{ fresh: number, rotated: number, usedFresh: number, usedRotated: number, kinds: Kind[] }} Memory
 *   per family; `fresh` and `rotated` without what is passing
 */

/**
 * @param {import('../harness/processes.js').Server} server
 * @param {number} families
 * @returns {Promise<Memory>}
 */
export async function memory(server, families) {
  // What is there once, whatever the number of families, is there before the first look: buffers too.
  await rotateAll(server, await server.ask('open', AT_ONCE))
  await stock(redisOf(server))
  const before = await stock(redisOf(server))
  /** @type {string[]} */
  let tokens = await server.ask('open', families)
  const fresh = await stock(redisOf(server))
  for (let rotation = 0; rotation < ROTATIONS; rotation++) tokens = await rotateAll(server, tokens)
  const rotated = await stock(redisOf(server))

  const kinds = [...new Set([...fresh.kinds.keys(), ...rotated.kinds.keys()])].map((kind) => ({
    kind,
    keys: added(fresh, kind, 'keys'),
    fresh: added(fresh, kind, 'bytes'),
    rotated: added(rotated, kind, 'bytes'),
    ttl: fresh.kinds.get(kind)?.ttl ?? 0,
  }))
  const lasting = kinds.filter(({ ttl }) => ttl > PASSING)
  return {
    fresh: lasting.reduce((sum, kind) => sum + kind.fresh, 0),
    rotated: lasting.reduce((sum, kind) => sum + kind.rotated, 0),
    usedFresh: (fresh.used - before.used) / families,
    usedRotated: (rotated.used - before.used) / families,
    kinds: kinds
      .filter((kind) => kind.fresh !== 0 || kind.rotated !== 0)
      .toSorted((a, b) => b.rotated - a.rotated),
  }

  /** @param {Stock} after @param {string} kind @param {'keys' | 'bytes'} what */
  function added(after, kind, what) {
    return ((after.kinds.get(kind)?.[what] ?? 0) - (before.kinds.get(kind)?.[what] ?? 0)) / families
  }
}

/** @param {import('../harness/processes.js').Server} server @param {string[]} tokens */
async function rotateAll(server, tokens) {
  /** @type {string[]} */
  const next = []
  for (let i = 0; i < tokens.length; i += AT_ONCE) {
    const answers = await Promise.all(
      tokens.slice(i, i + AT_ONCE).map((token) => post(endpointOf(server), refreshing(token))),
    )
    for (const { status, refreshToken } of answers) {
      if (refreshToken === undefined) throw new Error(`a refresh was answered ${status}`)
      next.push(refreshToken)
    }
  }
  return next
}

/** @param {import('ioredis').Redis} redis @returns {Promise<Stock>} */
export async function stock(redis) {
  // SCAN may tell a key twice.
  /** @type {Set<string>} */
  const keys = new Set()
  for await (const batch of redis.scanStream({ count: 1000 }))
    for (const key of /** @type {string[]} */ (batch)) keys.add(key)

  /** @type {Stock['kinds']} */
  const kinds = new Map()
  await Promise.all(
    [...keys].map(async (key) => {
      // Every member is looked at, not a sample. A key that has expired meanwhile takes nothing.
      const bytes = Number((await redis.memory('USAGE', key, 'SAMPLES', 0)) ?? 0)
      const left = await redis.ttl(key)
      const kind = kinds.get(kindOf(key)) ?? { keys: 0, bytes: 0, ttl: 0 }
      kinds.set(kindOf(key), {
        keys: kind.keys + 1,
        bytes: kind.bytes + bytes,
        ttl: Math.max(kind.ttl, left === -1 ? Number.POSITIVE_INFINITY : left),
      })
    }),
  )
  const used = Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1])
  return { kinds, used }
}

/** The key without what tells it from others of its kind. @param {string} key */
function kindOf(key) {
  return key.replace(/\{[^}]*\}/g, '{…}').replace(/[\w-]{16,}/g, '…')
}
