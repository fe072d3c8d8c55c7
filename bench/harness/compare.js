/** Side by side: all servers run at the same time and take turns under load, so that a noisy machine is noisy for all. */

import { run } from './load.js'
import { median, ratio } from './numbers.js'
import { loadMayStayAwake } from './placement.js'
import { start } from './processes.js'

/**
 * `prepare` gets the started server and gives the load of one turn; it is called once for each start.
 * `warmUp`: seconds that warming up may take at the most.
 * @typedef {{ starts: number, rounds: number, seconds: number, warmUp: number, quick: boolean }} Effort
 * @typedef {Omit<import('./load.js').Load, 'url' | 'seconds'>} CaseLoad
 * @typedef {{ name: string, prepare: (server: import('./processes.js').Server) => CaseLoad | Promise<CaseLoad> }} Case
 * @typedef {{ name: string, target: import('./processes.js').Target, cases: Case[] }} Contestant
 */

/**
 * Of one start: medians of its rounds. `cpu` is microseconds a request, `busy` the share of one CPU that the server used: far
 * below 1, it was waiting for the load, and requests a second tell little about it.
 * @typedef {{ perSecond: number, cpu: number, busy: number, p50: number, p99: number }} Measurement
 */

/** Answers after which the compiler has done its work; by time alone, slow servers would be measured half compiled. */
const WARM = 24_000
/** Seconds under load before each turn: while the others had theirs, the server lost its place in the CPU's caches. */
export const RUN_IN = 0.4
/**
 * For all alike: between its turns a server is idle, as none is under steady load, and then V8 would collect garbage to save memory,
 * and throw away compiled code and what it has learnt. Who idled longest, which is the first to be warmed up, took up to a third
 * more CPU from then on, most on stock servers.
 */
const STEADY = ['--no-memory-reducer']

/** Measurements of each start, by contestant and case. */
export class Measurements {
  /** @type {Map<string, Measurement[]>} */
  #all = new Map()

  /** @param {string} contestant @param {string} name @param {Measurement} one */
  add(contestant, name, one) {
    const key = `${contestant}\n${name}`
    this.#all.set(key, [...(this.#all.get(key) ?? []), one])
  }

  /** @param {string} contestant @param {string} name @returns {Measurement[]} */
  starts(contestant, name) {
    return this.#all.get(`${contestant}\n${name}`) ?? []
  }

  /** The median of the starts. @param {string} contestant @param {string} name @param {keyof Measurement} what */
  of(contestant, name, what) {
    return median(this.starts(contestant, name).map((one) => one[what]))
  }

  /**
   * How much more of something one takes than the other: the median of the ratios within each start, as starts differ more
   * than turns.
   * @param {[string, string]} one contestant and case @param {[string, string]} other @param {keyof Measurement} what
   */
  ratio(one, other, what) {
    const others = this.starts(...other)
    return median(this.starts(...one).map((own, i) => own[what] / (others[i]?.[what] ?? Number.NaN)))
  }
}

/**
 * How many times as fast one is as others, in answers a second and, where something else than the server may have been busy, by
 * the CPU that an answer takes.
 * @param {Measurements} measured @param {[string, string]} one @param {[string, string][]} others
 */
export function advantage(measured, one, others) {
  const bySecond = others.map((other) => ratio(measured.ratio(one, other, 'perSecond')))
  const byCpu = others.map((other) => ratio(measured.ratio(other, one, 'cpu')))
  return `${bySecond.join(' / ')} (by CPU ${byCpu.join(' / ')})`
}

/** @param {Contestant[]} contestants @param {Effort} effort */
export async function compare(contestants, { starts, rounds, seconds, warmUp }) {
  const measurements = new Measurements()
  for (let i = 0; i < starts; i++) {
    /** @type {{ contestant: string, name: string, load: CaseLoad, server: import('./processes.js').Server, turn: () => Promise<Measurement>, all: Measurement[] }[]} */
    const turns = []
    const servers = []
    for (const { name: contestant, target, cases } of contestants) {
      const server = await start({ ...target, flags: STEADY })
      servers.push(server)
      for (const { name, prepare } of cases) {
        const load = await prepare(server)
        const turn = async () => {
          await warm(server, load, RUN_IN)
          return measure(server, load, seconds, `${contestant}, ${name}`)
        }
        turns.push({ contestant, name, load, server, turn, all: [] })
      }
    }
    for (const { server, load } of turns) await warm(server, load, warmUp)
    // Each round begins with another one.
    for (let round = 0; round < rounds; round++)
      for (const offset of turns.keys()) {
        const { turn, all } = /** @type {typeof turns[number]} */ (turns[(round + offset) % turns.length])
        all.push(await turn())
      }
    for (const { contestant, name, all } of turns) measurements.add(contestant, name, mediansOf(all))
    for (const server of servers) await server.stop()
  }
  return measurements
}

/** @param {import('./processes.js').Server} server @param {CaseLoad} load @param {number} seconds at the most */
export async function warm(server, load, seconds) {
  await measure(server, { ...load, total: WARM }, seconds, 'warming up')
}

/** @param {import('./processes.js').Server} server @param {CaseLoad} load @param {number} seconds @param {string} what */
export async function measure(server, load, seconds, what) {
  const before = server.cpu()
  const isAwake = loadMayStayAwake(server.redis !== undefined)
  const loaded = await run({ url: server.url, seconds, isAwake, ...load })
  const cpu = server.cpu() - before
  if (loaded.bad > 0) throw new Error(`${what}: ${loaded.bad} of ${loaded.answers} answers are wrong`)
  return {
    perSecond: loaded.answers / loaded.seconds,
    cpu: cpu / loaded.answers,
    busy: cpu / 1e6 / loaded.seconds,
    p50: loaded.p50,
    p99: loaded.p99,
  }
}

/** @param {Measurement[]} all @returns {Measurement} */
function mediansOf(all) {
  const of = (/** @type {keyof Measurement} */ what) => median(all.map((one) => one[what]))
  return { perSecond: of('perSecond'), cpu: of('cpu'), busy: of('busy'), p50: of('p50'), p99: of('p99') }
}
