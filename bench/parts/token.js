/** The token endpoint over Redis, beside hand-written ones and other libraries. */

import { advantage, compare } from '../harness/compare.js'
import { CONNECTIONS, request } from '../harness/load.js'
import { ratio, whole } from '../harness/numbers.js'
import { CLIENT, clientCredentials, headers, refreshing } from '../servers/token-shared.js'

/** Where a library leaves storage to its user: the least that is right, or what its documentation shows. */
const MODELS = /** @type {const} */ (['leanest model', 'as documented'])

/**
 * `fixed`: also on `createServer(app)`. `inBody`: the client's secret is in the body. `opaque`: access tokens are stored, not signed.
 * @typedef {{ name: string, module: string, options?: object, model?: typeof MODELS[number], fixed?: boolean, machines?: boolean, inBody?: boolean, opaque?: boolean }} Endpoint
 * @type {Endpoint[]}
 */
const ENDPOINTS = [
  { name: 'express-aat', module: 'token-express-aat', fixed: true },
  { name: 'hand-written, node:http', module: 'token-bare' },
  { name: 'hand-written, Express', module: 'token-hand-written', fixed: true },
  { name: 'MCP SDK', module: 'token-mcp', model: 'leanest model', machines: false, inBody: true },
  {
    name: 'MCP SDK with a key for each token',
    module: 'token-mcp',
    options: { keys: true },
    model: 'leanest model',
    machines: false,
    inBody: true,
  },
  { name: 'express-oauth-server', module: 'token-node-oauth', model: 'leanest model' },
  { name: '@jmondi/oauth2-server', module: 'token-jmondi', model: 'leanest model' },
  { name: 'node-oidc-provider', module: 'token-oidc-provider', model: 'as documented' },
  {
    name: 'express-oauth-server',
    module: 'token-node-oauth-documented',
    model: 'as documented',
    opaque: true,
  },
  { name: '@jmondi/oauth2-server', module: 'token-jmondi-documented', model: 'as documented' },
  {
    name: '@jmondi with a KeyObject',
    module: 'token-jmondi-documented',
    options: { keyObject: true },
    model: 'as documented',
  },
]
/** @param {Endpoint} endpoint */
const fullName = ({ name, model }) => (model ? `${name}, ${model}` : name)
const BARE = 'hand-written, node:http'
const IN_BODY = `&client_id=${CLIENT.id}&client_secret=${CLIENT.secret}`
const { Authorization, ...form } = headers
/** @type {import('../harness/processes.js').Kind[]} */
const KINDS = ['stock', 'fixed']

/** Each connection has a family of its own, and presents the token that the answer before gave it. @param {boolean} inBody @param {boolean} opaque */
export const chains =
  (inBody = false, opaque = false) =>
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
        const isGood =
          isToken(given.access_token, opaque) && given.refresh_token && given.refresh_token !== tokens[i]
        tokens[i] = given.refresh_token
        return Boolean(isGood)
      },
    }
  }

/** @param {boolean} [opaque] */
const machines =
  (opaque = false) =>
  (/** @type {import('../harness/processes.js').Server} */ server) => {
    const text = request('POST', server.path, headers, clientCredentials)
    return {
      next: () => text,
      /** @param {number} _i @param {number} status @param {string} body */
      onAnswer: (_i, status, body) => status === 200 && isToken(JSON.parse(body).access_token, opaque),
    }
  }

/** @param {unknown} token @param {boolean} opaque */
const isToken = (token, opaque) => typeof token === 'string' && token.split('.').length === (opaque ? 1 : 3)

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function token(effort) {
  const contestants = ENDPOINTS.flatMap((endpoint) =>
    KINDS.filter((kind) => endpoint.fixed || kind === 'stock').map((kind) => ({
      name: `${fullName(endpoint)} ${kind}`,
      target: { module: endpoint.module, options: endpoint.options ?? {}, kind, redis: true },
      cases: [
        { name: 'refresh', prepare: chains(endpoint.inBody, endpoint.opaque) },
        ...((endpoint.machines ?? true)
          ? [{ name: 'client credentials', prepare: machines(endpoint.opaque) }]
          : []),
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
    note: `${CONNECTIONS} connections; each server has a Redis of its own. ES256, but for the models as documented of express-oauth-server, which stores random tokens, and of @jmondi/oauth2-server, which signs with HS256. Busy far below 1: it waited for Redis or the load.`,
    short: [
      ...grants.flatMap((grant) =>
        MODELS.map((model) => {
          const peers = ENDPOINTS.filter(
            (one) => one.model === model && ((one.machines ?? true) || grant === 'refresh'),
          )
          return /** @type {[string, string]} */ ([
            `${grant}, grants/s to ${peers.map(({ name }) => name).join(' / ')}, ${model}, stock`,
            advantage(
              measured,
              ['express-aat stock', grant],
              peers.map((one) => [`${fullName(one)} stock`, grant]),
            ),
          ])
        }),
      ),
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
