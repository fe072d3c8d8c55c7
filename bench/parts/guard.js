/** The guard on a token that it has seen, beside the same server without auth and beside other guards. */

import { compare } from '../harness/compare.js'
import { SCOPE, startIssuer } from '../harness/issuer.js'
import { request } from '../harness/load.js'
import { ratio, whole } from '../harness/numbers.js'

const PEERS = [
  { name: 'express-jwt, a key', module: 'guard-express-jwt' },
  { name: 'express-jwt, jwks-rsa', module: 'guard-express-jwt', options: { fetchesKeys: true } },
  { name: 'MCP SDK, jose', module: 'guard-mcp' },
  { name: 'express-oauth2-jwt-bearer', module: 'guard-oauth2-jwt-bearer' },
]
const OURS = ['express-aat', 'express-aat, remote']
/** @type {import('../harness/processes.js').Kind[]} */
const KINDS = ['stock', 'fixed']

/** @param {string} path @param {string} token */
export const get = (path, token) => request('GET', path, { Authorization: `Bearer ${token}` })

/** Requests with these tokens in turn. @param {string} path @param {string[]} tokens */
export function inTurn(path, tokens) {
  const requests = tokens.map((token) => get(path, token))
  let i = 0
  return { next: () => requests[i++ % requests.length] ?? '' }
}

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function guard(effort) {
  const issuer = await startIssuer()
  const { mint, close, ...trusted } = issuer
  const minted = Array.from({ length: 1000 }, () => mint())
  const [one = ''] = minted
  /** @param {(server: import('../harness/processes.js').Server, count: number) => string[] | Promise<string[]>} tokens */
  const ours = (tokens) => [
    { name: 'open', prepare: async (/** @type {any} */ server) => inTurn('/open', await tokens(server, 1)) },
    { name: '1', prepare: async (/** @type {any} */ server) => inTurn('/guarded', await tokens(server, 1)) },
    {
      name: '1,000',
      prepare: async (/** @type {any} */ server) => inTurn('/guarded', await tokens(server, 1000)),
    },
  ]
  const theirs = [
    { name: 'open', prepare: () => inTurn('/open', [one]) },
    { name: '1', prepare: () => inTurn('/guarded', [one]) },
  ]
  /** @type {import('../harness/compare.js').Contestant[]} */
  const contestants = KINDS.flatMap((kind) => [
    {
      name: `express-aat ${kind}`,
      target: { module: 'guard-aat', kind },
      cases: ours((server, count) => server.ask('mint', count)),
    },
    {
      name: `express-aat, remote ${kind}`,
      target: { module: 'guard-remote', kind, options: trusted },
      cases: ours((_server, count) => minted.slice(0, count)),
    },
    ...PEERS.map(({ name, module, options }) => ({
      name: `${name} ${kind}`,
      target: { module, kind, options: { ...trusted, ...options } },
      cases: theirs,
    })),
  ])
  const { rounds, seconds } = effort
  // Shorter turns and more of them: what is told is a difference of a few hundredths.
  const measured = await compare(contestants, { ...effort, rounds: 3 * rounds, seconds: seconds / 2 })
  close()

  const toOpen = (/** @type {string} */ name, /** @type {string} */ tokens) =>
    measured.ratio([name, tokens], [name, 'open'], 'cpu')
  const toOurs = (/** @type {string} */ name, /** @type {string} */ kind, tokens = '1') =>
    measured.ratio([name, tokens], [`express-aat ${kind}`, '1'], 'cpu')
  /** @param {string} name @param {string} tokens @param {string} kind */
  const cells = (name, tokens, kind) => [
    whole(measured.of(`${name} ${kind}`, tokens, 'cpu')),
    ratio(toOpen(`${name} ${kind}`, tokens)),
    ratio(toOurs(`${name} ${kind}`, kind, tokens)),
    whole(measured.of(`${name} ${kind}`, tokens, 'perSecond')),
  ]
  const names = [...OURS, ...PEERS.map(({ name }) => name)]
  const heads = KINDS.flatMap((kind) => [`${kind}: CPU µs`, 'to no auth', 'to express-aat', 'requests/s'])
  const row = (/** @type {string} */ name, /** @type {string} */ tokens) => [
    `${name}${tokens === '1' ? '' : `, ${tokens} tokens`}`,
    ...KINDS.flatMap((kind) => cells(name, tokens, kind)),
  ]
  const rows = [
    [
      'no auth',
      ...KINDS.flatMap((kind) => {
        const open = /** @type {[string, string]} */ ([`express-aat ${kind}`, 'open'])
        const own = measured.ratio(open, [`express-aat ${kind}`, '1'], 'cpu')
        return [
          whole(measured.of(...open, 'cpu')),
          '1.00',
          ratio(own),
          whole(measured.of(...open, 'perSecond')),
        ]
      }),
    ],
    ...names.flatMap((name) =>
      OURS.includes(name) ? [row(name, '1'), row(name, '1,000')] : [row(name, '1')],
    ),
  ]
  return {
    title: 'Guard: a token that was seen before',
    note: `One route with scope \`${SCOPE}\`, ES256; “no auth” is a route without a guard that is sent the same header; three times as many turns as elsewhere, of half the length; medians over starts, ratios within a start.`,
    tables: [{ heads: ['guard', ...heads], rows }],
    short: [
      ...['1', '1,000'].map(
        (tokens) =>
          /** @type {[string, string]} */ ([
            `guard, a token that was seen before (${tokens}), CPU to no auth, stock / fixed`,
            KINDS.map((kind) => ratio(toOpen(`express-aat ${kind}`, tokens))).join(' / '),
          ]),
      ),
      ...KINDS.map(
        (kind) =>
          /** @type {[string, string]} */ ([
            `CPU of ${PEERS.map(({ name }) => name).join(' / ')} to express-aat, ${kind}`,
            PEERS.map(({ name }) => ratio(toOurs(`${name} ${kind}`, kind))).join(' / '),
          ]),
      ),
    ],
    bars: KINDS.map((kind) => ({
      title: `Guard, CPU µs a request, ${kind === 'stock' ? 'stock Express' : 'createServer(app)'}`,
      bars: [
        { label: 'no auth', value: measured.of(`express-aat ${kind}`, 'open', 'cpu') },
        ...names.map((name) => ({
          label: name,
          value: measured.of(`${name} ${kind}`, '1', 'cpu'),
          ours: OURS.includes(name),
        })),
      ],
    })),
  }
}
