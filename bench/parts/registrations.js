/** Open registrations of public clients, beside other libraries. */

import { advantage, compare } from '../harness/compare.js'
import { request } from '../harness/load.js'
import { ratio, whole } from '../harness/numbers.js'

const ENDPOINTS = [
  { name: 'express-aat', module: 'register-express-aat' },
  { name: 'express-aat, quotas counted', module: 'register-express-aat', options: { counted: true } },
  { name: 'MCP SDK', module: 'register-mcp' },
  { name: 'node-oidc-provider', module: 'register-oidc-provider' },
  { name: 'better-auth, in memory', module: 'register-better-auth' },
]
const PEERS = ENDPOINTS.slice(2).map(({ name }) => name)
export const METADATA = {
  client_name: 'An MCP client',
  redirect_uris: ['https://client.example/oauth/callback'],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
}

/** @type {import('../harness/compare.js').Case} */
const registering = {
  name: 'register',
  prepare({ path }) {
    const text = request('POST', path, { 'Content-Type': 'application/json' }, JSON.stringify(METADATA))
    return {
      next: () => text,
      onAnswer: (_i, status, body) => status === 201 && body.includes('"client_id":"'),
    }
  },
}

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function registrations(effort) {
  const contestants = ENDPOINTS.map(({ name, module, options }) => ({
    name,
    target: { module, kind: /** @type {const} */ ('stock'), redis: true, ...(options && { options }) },
    cases: [registering],
  }))
  const measured = await compare(contestants, effort)
  /** @type {[string, string]} */
  const ours = ['express-aat', 'register']
  return {
    title: 'Registrations',
    note: 'Public clients, open to anybody, without rate limits, stock Express.',
    short: [
      [
        `registrations/s to ${PEERS.join(' / ')}`,
        advantage(
          measured,
          ours,
          PEERS.map((name) => [name, 'register']),
        ),
      ],
    ],
    tables: [
      {
        heads: ['registrations', 'a second', 'express-aat is × as fast', 'CPU µs', 'to express-aat'],
        rows: ENDPOINTS.map(({ name }) => {
          const own = /** @type {[string, string]} */ ([name, 'register'])
          return [
            ...[name, whole(measured.of(...own, 'perSecond')), ratio(measured.ratio(ours, own, 'perSecond'))],
            ...[whole(measured.of(...own, 'cpu')), ratio(measured.ratio(own, ours, 'cpu'))],
          ]
        }),
      },
    ],
    bars: [
      {
        title: 'Registration, CPU µs, stock Express',
        bars: ENDPOINTS.map(({ name }) => ({
          label: name,
          value: measured.of(name, 'register', 'cpu'),
          ours: name.startsWith('express-aat'),
        })),
      },
    ],
  }
}
