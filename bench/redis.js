/**
 * Token grants over a real Redis, beside a hand-written endpoint and two other libraries, all on stock Express 5.
 *
 *   npm run bench:redis -- --seconds 3 --rounds 5
 *
 * Tells Redis memory of a family, round trips of a grant, what concurrent refreshes of one token lead to, and requests per
 * second with CPU per request. The servers take turns within each round, so that a noisy machine is noisy for all of them,
 * and the medians of the rounds are told. Read the ratios first: they hold across machines, requests per second do not.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { pinSelf, placement } from './harness/placement.js'
import { startServer, stopServers } from './redis/children.js'
import { convergence } from './redis/convergence.js'
import { CONNECTIONS, measure } from './redis/load.js'
import { memory } from './redis/memory.js'
import { convergenceTable, loadTable, memoryTables, roundTripsTable } from './redis/report.js'
import { clientCredentialsRoundTrips, refreshRoundTrips } from './redis/round-trips.js'

const WARM_UP_SECONDS = 2
const NAMES = ['express-aat', 'hand-written', 'oidc-provider', 'node-oauth']
const PACKAGES = ['express', 'ioredis', 'oidc-provider', '@node-oauth/express-oauth-server']
/** @type {import('./redis/load.js').GrantType[]} */
const GRANT_TYPES = ['refresh_token', 'client_credentials']

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    families: { type: 'string', default: '1000' },
    servers: { type: 'string', default: NAMES.join(',') },
  },
})
const seconds = readCount('seconds', values.seconds)
const rounds = readCount('rounds', values.rounds)
const families = readCount('families', values.families)
const names = values.servers.split(',')
if (!names.every((name) => NAMES.includes(name))) refuse(`--servers must be of ${NAMES.join(', ')}`)

const here = new URL('.', import.meta.url)
if (!existsSync(new URL('node_modules/oidc-provider', here)))
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: fileURLToPath(here), stdio: 'inherit' })

const place = placement()
if (place) pinSelf(place.load)
/** @type {import('./redis/children.js').Server[]} */
const servers = []
for (const name of names) servers.push(await startServer(name, place))
await tellSetting()

// Memory first: the load leaves many families behind.
const memories = new Map()
for (const server of servers) memories.set(server.name, await memory(server, families))
console.log(memoryTables(memories, families))

const roundTrips = new Map()
for (const server of servers)
  roundTrips.set(server.name, {
    refresh_token: await refreshRoundTrips(server),
    client_credentials: await clientCredentialsRoundTrips(server),
  })
console.log(roundTripsTable(roundTrips))

const cases = new Map()
for (const server of servers) cases.set(server.name, await convergence(server))
console.log(convergenceTable(cases))

for (const grantType of GRANT_TYPES) {
  /** @type {Map<string, import('./redis/load.js').Measurement[]>} */
  const measured = new Map(names.map((name) => [name, []]))
  for (const server of servers) await measure(server, grantType, WARM_UP_SECONDS)
  for (let round = 0; round < rounds; round++) {
    // Each round begins with another server.
    for (let turn = 0; turn < servers.length; turn++) {
      const server = /** @type {import('./redis/children.js').Server} */ (
        servers[(round + turn) % servers.length]
      )
      measured.get(server.name)?.push(await measure(server, grantType, seconds))
    }
  }
  console.log(loadTable(grantType, measured))
}
await stopServers()
process.exit()

async function tellSetting() {
  const [first] = servers
  const redis = /^redis_version:(\S+)/m.exec((await first?.redis.info('server')) ?? '')?.[1]
  const versions = PACKAGES.map((name) => `${name} ${versionOf(name)}`)
  console.log(`node ${process.version}, redis ${redis}, ${versions.join(', ')}`)
  console.log(`${cpus().length} × ${cpus()[0]?.model.trim()}, ${process.platform}`)
  console.log(
    place
      ? `server on CPU ${place.server}, load on CPU ${place.load}, Redis on CPU ${place.redis}`
      : 'nothing is pinned: server, load and Redis get in each other’s way',
  )
  console.log(`${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections, ES256\n`)
}

/** @param {string} name */
function versionOf(name) {
  const at = [here, new URL('../', here)].find((root) =>
    existsSync(new URL(`node_modules/${name}/package.json`, root)),
  )
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, at), 'utf8')).version
}

/** @param {string} option @param {string} text */
function readCount(option, text) {
  const count = Number(text)
  if (!Number.isInteger(count) || count <= 0) refuse(`--${option} must be a whole number above 0`)
  return count
}

/** @param {string} message @returns {never} */
function refuse(message) {
  console.error(message)
  process.exit(2)
}
