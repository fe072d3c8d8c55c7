/** Keeps the server under load apart from what loads it, where `taskset` and a second CPU are to be had. */

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'

/**
 * The CPU of each part; two CPUs are shared as server | load and Redis.
 * @typedef {{ server: number, load: number, redis: number }} Placement
 */

/** Found once: whoever pinned itself may use one CPU alone, and could give none to others. */
export const place = placement()

/** Where it has its CPU to itself. @param {boolean} hasRedis */
export const loadMayStayAwake = (hasRedis) => place !== undefined && (!hasRedis || place.redis !== place.load)

/** @returns {Placement | undefined} */
function placement() {
  const [server, load, redis] = allowedCpus()
  if (server === undefined || load === undefined) return undefined
  return { server, load, redis: redis ?? load }
}

/** Pins this process, with all of its threads. @param {number} cpu */
export function pinSelf(cpu) {
  taskset('-a', '-cp', `${cpu}`, `${process.pid}`)
}

/** Refuses to measure what is not where it should be. @param {keyof Placement} part @param {number} pid */
export function checkIsInPlace(part, pid) {
  if (place === undefined) return
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (list !== `${place[part]}`) throw new Error(`the ${part} runs on CPU ${list}, not on ${place[part]}`)
}

function allowedCpus() {
  if (cpus().length < 2) return []
  try {
    const [list = ''] = /[\d,-]+$/.exec(taskset('-cp', `${process.pid}`).trim()) ?? []
    return list.split(',').flatMap((part) => {
      const [from = 0, to = from] = part.split('-').map(Number)
      return Array.from({ length: to - from + 1 }, (_, i) => from + i)
    })
  } catch {
    return [] // not Linux, or not allowed
  }
}

/** @param {string[]} options */
function taskset(...options) {
  return execFileSync('taskset', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
}
