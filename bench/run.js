/**
 * All measurements, side by side in one run: `npm run bench`, or some of them: `npm run bench -- --only guard,token --quick`.
 *
 * Servers run on one CPU, the load (and Redis) on another. Most parts start their servers several times, warm them up and let
 * them take turns; medians are told. Read the ratios and CPU a request first: they hold across machines, requests a second do
 * not. The tables also go to bench/results.md and, of a whole run, the picture to bench/results.svg.
 */

import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { table } from './harness/numbers.js'
import { ensurePackages, versions } from './harness/packages.js'
import { pinSelf, place } from './harness/placement.js'
import { markdown, writePicture } from './harness/report.js'

/** @typedef {(effort: import('./harness/compare.js').Effort) => Promise<import('./harness/report.js').Part>} Measure */

/** Each loads what it needs once the packages are there. @type {Record<string, () => Promise<Measure>>} */
const PARTS = {
  guard: async () => (await import('./parts/guard.js')).guard,
  miss: async () => (await import('./parts/miss.js')).miss,
  bound: async () => (await import('./parts/bound.js')).bound,
  flood: async () => (await import('./parts/flood.js')).flood,
  token: async () => (await import('./parts/token.js')).token,
  registrations: async () => (await import('./parts/registrations.js')).registrations,
  strangers: async () => (await import('./parts/strangers.js')).strangers,
  redis: async () => (await import('./parts/redis.js')).redis,
  algorithms: async () => (await import('./parts/algorithms.js')).algorithms,
  revocation: async () => (await import('./parts/revocation.js')).revocation,
  growth: async () => (await import('./parts/growth.js')).growth,
  start: async () => (await import('./parts/start.js')).start,
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(PARTS).join(',') },
    quick: { type: 'boolean', default: false },
    starts: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
  },
})
const names = values.only.split(',')
const unknown = names.find((name) => !Object.hasOwn(PARTS, name))
if (unknown !== undefined) refuse(`--only must be of ${Object.keys(PARTS).join(', ')}`)
const { quick } = values
/** @type {import('./harness/compare.js').Effort} */
const effort = {
  quick,
  starts: readNumber('starts', values.starts ?? (quick ? '1' : '3')),
  rounds: readNumber('rounds', values.rounds ?? (quick ? '1' : '2')),
  seconds: readNumber('seconds', values.seconds ?? (quick ? '0.5' : '1')),
  warmUp: quick ? 0.7 : 5,
}

ensurePackages()
if (place) pinSelf(place.load)
const setting = [
  `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}, ${process.platform}`,
  place
    ? `servers on CPU ${place.server}, load on CPU ${place.load}, Redis on CPU ${place.redis}`
    : 'nothing is pinned: servers, load and Redis get in each other’s way',
  `${effort.starts} starts, ${effort.rounds} rounds of ${effort.seconds} s`,
].join('; ')
const texts = [`${setting}.\n\n${versions().join(', ')}.`]
console.log(texts[0])

/** @type {import('./harness/report.js').Chart[]} */
const charts = []
/** @type {[string, string][]} */
const short = []
const begin = performance.now()
for (const name of names) {
  const measure = await /** @type {() => Promise<Measure>} */ (PARTS[name])()
  const part = await measure(effort)
  const text = markdown(part)
  console.log(`\n${text}`)
  texts.push(text)
  charts.push(...(part.bars ?? []))
  short.push(...(part.short ?? []))
}
const inShort = `## In short\n\n${table(['metric', 'measured'], short)}`
console.log(`\n${inShort}`)
texts.splice(1, 0, inShort)
writeFileSync(new URL('results.md', import.meta.url), `${texts.join('\n\n')}\n`)
if (names.length === Object.keys(PARTS).length)
  writePicture(new URL('results.svg', import.meta.url), charts, setting)
console.log(`\n${Math.round((performance.now() - begin) / 1000)} s`)
process.exit()

/** @param {string} option @param {string} text */
function readNumber(option, text) {
  const number = Number(text)
  if (!(number > 0)) refuse(`--${option} must be a number above 0`)
  return number
}

/** @param {string} message @returns {never} */
function refuse(message) {
  console.error(message)
  process.exit(2)
}
