/** The token endpoint over Redis, beside hand-written ones and other libraries. */

import { advantage, compare } from '../harness/compare.js'
import { CONNECTIONS, request } from '../harness/load.js'
import { ratio, whole } from '../harness/numbers.js'
import { CLIENT, clientCredentials, headers, refreshing } from '../servers/token-shared.js'

/**
 * `fixed`: also on `createServer(app)`. `inBody`: the client's secret is
 * in the body.
 * @typedef {{ name: string, module: string, fixed?: boolean, machines?: boolean, inBody?: boolean }} Endpoint
 * @type {Endpoint[]}
 */
const ENDPOINTS = [
  { name: 'express-aat', module: 'token-express-aat', fixed: true },
  { name: 'hand-written, node:http', module: 'token-bare' },
  { name: 'hand-written, Express', module: 'token-hand-written', fixed: true },
  { name: 'MCP SDK', module: 'token-mcp', machines: false, inBody: true },
  { name: 'express-oauth-server', module: 'token-node-oauth' },
  { name: 'node-oidc-provider', module: 'token-oidc-provider' },
  { name: '@jmondi/oauth2-server', module: 'token-jmondi' },
]
const BARE = 'hand-written, node:http'
const IN_BODY = `&client_id=${CLIENT.id}&client_secret=${CLIENT.secret}`
const { Authorization, ...form } = headers
/** @type {import('../harness/processes.js').Kind[]} */
const KINDS = ['stock', 'fixed']

/** Each connection has a family of its own, and presents the token that the answer before gave it. @param {boolean} inBody */
export const chains =
  (inBody = false) =>
  async (/** @type {import('../harness/processes.js').Server} */ server) => {
    /** @type {string[]} */
    const tokens = await server.ask('open', CONNECTIONS)
    const more = inBody ? IN_BODY : ''
    return {
      next: (/** @type {number} */ i) =>
        request('POST', server.path, inBody ? form : headers, refreshing(tokens[i] ?? '') + more),
      /** @param {number} i @param {number} status @param {string} body */
      onAnswer(i, status, body) {
        const given = status === 200 ? JSON.parse(body) : {}
        const isGood = isJwt(given.access_token) && given.refresh_token && given.refresh_token !== tokens[i]
        tokens[i] = given.refresh_token
        return Boolean(isGood)
      },
    }
  }

/** @param {import('../harness/processes.js').Server} server */
const machines = (server) => {
  const text = request('POST', server.path, headers, clientCredentials)
  return {
    next: () => text,
    /** @param {number} _i @param {number} status @param {string} body */
    onAnswer: (_i, status, body) => status === 200 && isJwt(JSON.parse(body).access_token),
  }
}

/** @param {unknown} token */
const isJwt = (token) => typeof token === 'string' && token.split('.').length === 3

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function token(effort) {
  const contestants = ENDPOINTS.flatMap(
    ({ name, module, fixed = false, machines: grants = true, inBody = false }) =>
      KINDS.filter((kind) => fixed || kind === 'stock').map((kind) => ({
        name: `${name} ${kind}`,
        target: { module, kind, redis: true },
        cases: [
          { name: 'refresh', prepare: chains(inBody) },
          ...(grants ? [{ name: 'client credentials', prepare: machines }] : []),
        ],
      })),
  )
  const measured = await compare(contestants, effort)

  const grants = ['refresh', 'client credentials']
  const heads = [
    'on',
    'grants/s',
    'express-aat is × as fast',
    'CPU µs a grant',
    'to express-aat',
    'busy',
    'p99 ms',
  ]
  const tables = grants.map((grant) => ({
    heads: [grant, ...heads],
    rows: contestants
      .filter(({ cases }) => cases.some(({ name }) => name === grant))
      .map(({ name, target: { kind } }) => {
        // The bare endpoint is what both of ours are held against.
        const shown = name.replace(/ (?:stock|fixed)$/, '')
        const ours = /** @type {[string, string]} */ ([
          `express-aat ${shown === BARE ? 'fixed' : kind}`,
          grant,
        ])
        const own = /** @type {[string, string]} */ ([name, grant])
        return [
          ...[shown, shown === BARE ? '' : kind, whole(measured.of(...own, 'perSecond'))],
          ...[ratio(measured.ratio(ours, own, 'perSecond')), whole(measured.of(...own, 'cpu'))],
          ...[ratio(measured.ratio(own, ours, 'cpu')), ratio(measured.of(...own, 'busy'))],
          measured.of(...own, 'p99').toFixed(1),
        ]
      }),
  }))
  return {
    title: 'Token endpoint over Redis',
    note: `${CONNECTIONS} connections, ES256; each server has a Redis of its own. Busy far below 1: it waited for Redis or the load.`,
    short: [
      ...grants.map((grant) => {
        const peers = ENDPOINTS.slice(3).filter(({ machines: has = true }) => has || grant === 'refresh')
        const names = peers.map(({ name }) => name)
        return /** @type {[string, string]} */ ([
          `${grant}, grants/s to ${names.join(' / ')}, stock`,
          advantage(
            measured,
            ['express-aat stock', grant],
            names.map((name) => [`${name} stock`, grant]),
          ),
        ])
      }),
      [
        'refreshes/s on createServer(app), share of a hand-written bare node:http endpoint',
        advantage(measured, ['express-aat fixed', 'refresh'], [[`${BARE} stock`, 'refresh']]),
      ],
    ],
    tables,
    bars: grants.map((grant) => ({
      title: `Token endpoint, ${grant}, CPU µs, stock Express`,
      bars: contestants
        .filter(({ target, cases }) => target.kind === 'stock' && cases.some((one) => one.name === grant))
        .map(({ name }) => ({
          label: name.replace(/ (?:stock|fixed)$/, ''),
          value: measured.of(name, grant, 'cpu'),
          ours: name.startsWith('express-aat'),
        })),
    })),
  }
}
