/**
 * Requests per second and CPU per request of the guard and of the token endpoint, beside the same app without auth.
 *
 *   npm run bench -- --seconds 3 --rounds 5
 *
 * All routes are measured in turns within each round, so that a noisy machine is noisy for all of them, and the medians of
 * the rounds are told. Read the ratios first: they hold across machines, requests per second do not.
 */

import { execFileSync, fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/**
 * @typedef {{ name: string, baseline: string, options: () => Promise<Record<string, unknown>> }} Route
 * @typedef {{ perSecond: number, cpu: number }} Measurement
 */

const CONNECTIONS = 16
const here = fileURLToPath(new URL('.', import.meta.url))
const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, rounds: { type: 'string', default: '5' } },
})
const seconds = readCount('seconds', values.seconds)
const rounds = readCount('rounds', values.rounds)

if (!existsSync(new URL('node_modules/autocannon', import.meta.url)))
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' })
// Known only once it is installed, so neither imported statically nor typed.
const name = 'autocannon'
const { default: autocannon } = await import(name)

const server = fork(`${here}server.js`)
server.once('exit', (code) => {
  if (code) process.exit(code)
})
const url = /** @type {{ url: string }} */ (await answerOf(server)).url
const form = 'application/x-www-form-urlencoded'
const machine = {
  Authorization: `Basic ${btoa('machine:the-secret-of-the-benchmark')}`,
  'Content-Type': form,
}
const grant = 'grant_type=client_credentials&scope=read'
const bearer = { Authorization: `Bearer ${(await tokens(grant, machine)).access_token}` }

/** @type {Route[]} */
const routes = [
  {
    name: 'GET, no auth',
    baseline: 'GET, no auth',
    options: async () => ({ path: '/open', headers: bearer }),
  },
  {
    name: 'GET, requireAat',
    baseline: 'GET, no auth',
    options: async () => ({ path: '/guarded', headers: bearer }),
  },
  {
    name: 'GET, jose jwtVerify',
    baseline: 'GET, no auth',
    options: async () => ({ path: '/jose', headers: bearer }),
  },
  {
    name: 'POST, no auth',
    baseline: 'POST, no auth',
    options: async () => ({ path: '/form', method: 'POST', headers: machine, body: grant }),
  },
  {
    name: 'client_credentials',
    baseline: 'POST, no auth',
    options: async () => ({ path: '/oauth/token', method: 'POST', headers: machine, body: grant }),
  },
  { name: 'refresh_token', baseline: 'POST, no auth', options: refreshing },
]

console.log(`node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}, ${process.platform}`)
console.log(`${rounds} rounds of ${seconds} s a route, ${CONNECTIONS} connections, ES256, stores in memory\n`)

/** @type {Map<string, Measurement[]>} */
const measured = new Map(routes.map((route) => [route.name, []]))
for (const route of routes) await measure(route, 1)
for (let round = 0; round < rounds; round++) {
  // Each round begins with another route.
  for (let turn = 0; turn < routes.length; turn++) {
    const route = /** @type {Route} */ (routes[(round + turn) % routes.length])
    measured.get(route.name)?.push(await measure(route, seconds))
  }
}
print()
server.disconnect()

/**
 * @param {Route} route
 * @param {number} duration
 * @returns {Promise<Measurement>}
 */
async function measure(route, duration) {
  const { path, ...options } = await route.options()
  const before = await cpu()
  const result = await autocannon({ url: url + (path ?? ''), connections: CONNECTIONS, duration, ...options })
  const used = (await cpu()) - before
  if (result.non2xx > 0 || result.errors > 0 || result['2xx'] === 0)
    throw new Error(
      `${route.name}: ${result['2xx']} good answers, ${result.non2xx} others, ${result.errors} errors`,
    )
  return { perSecond: result['2xx'] / result.duration, cpu: used / result['2xx'] }
}

/** Each connection has a family of its own, and presents the token that the answer before gave it. */
async function refreshing() {
  const first = await Promise.all(Array.from({ length: CONNECTIONS }, signIn))
  let next = 0
  return {
    path: '/oauth/token',
    /** @param {{ setRequests: (requests: object[]) => void }} client */
    setupClient(client) {
      let token = first[next++]
      client.setRequests([
        {
          method: 'POST',
          path: '/oauth/token',
          headers: { 'Content-Type': form },
          /** @param {object} request */
          setupRequest: (request) => ({
            ...request,
            body: `grant_type=refresh_token&client_id=app&refresh_token=${token}`,
          }),
          /** @param {number} status @param {string} body */
          onResponse(status, body) {
            if (status === 200) token = JSON.parse(body).refresh_token
          },
        },
      ])
    },
  }
}

/** The code flow of a user who is signed in, with a client that needs no consent. @returns {Promise<string>} */
async function signIn() {
  const verifier = randomBytes(32).toString('base64url')
  const query = new URLSearchParams({
    client_id: 'app',
    redirect_uri: 'https://app.example/cb',
    response_type: 'code',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    scope: 'read',
  })
  const { headers } = await fetch(`${url}/oauth/authorize?${query}`, { redirect: 'manual' })
  const code = new URL(headers.get('location') ?? '').searchParams.get('code') ?? ''
  const body = `grant_type=authorization_code&client_id=app&code=${code}&code_verifier=${verifier}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb`
  return (await tokens(body, { 'Content-Type': form })).refresh_token
}

/**
 * @param {string} body
 * @param {Record<string, string>} headers
 * @returns {Promise<{ access_token: string, refresh_token: string }>}
 */
async function tokens(body, headers) {
  const response = await fetch(`${url}/oauth/token`, { method: 'POST', headers, body })
  if (!response.ok) throw new Error(`the token endpoint answered ${response.status}`)
  return /** @type {any} */ (await response.json())
}

/** Microseconds of CPU that the server has used. */
async function cpu() {
  const answer = answerOf(server)
  server.send('cpu')
  return /** @type {{ cpu: number }} */ (await answer).cpu
}

/** @param {import('node:child_process').ChildProcess} child */
function answerOf(child) {
  return new Promise((resolve) => child.once('message', resolve))
}

function print() {
  const rows = routes.map(({ name, baseline }) => {
    const own = medians(name)
    const base = medians(baseline)
    return [
      name,
      Math.round(own.perSecond).toLocaleString('en'),
      own.cpu.toFixed(0),
      (own.perSecond / base.perSecond).toFixed(2),
      (own.cpu / base.cpu).toFixed(2),
    ]
  })
  const table = [
    ['route', 'requests/s', 'CPU µs/request', 'requests/s to no auth', 'CPU to no auth'],
    ...rows,
  ]
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  )
  for (const row of table)
    console.log(
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  '),
    )
}

/** @param {string} route @returns {Measurement} */
function medians(route) {
  const all = measured.get(route) ?? []
  return { perSecond: median(all.map((one) => one.perSecond)), cpu: median(all.map((one) => one.cpu)) }
}

/** @param {number[]} numbers */
function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** @param {string} option @param {string} text */
function readCount(option, text) {
  const count = Number(text)
  if (Number.isInteger(count) && count > 0) return count
  console.error(`--${option} must be a whole number above 0`)
  process.exit(2)
}
