/** What grants leave in Redis and ask of it, and what becomes of a refresh token that is presented several times. */

import { range, whole } from '../harness/numbers.js'
import { start } from '../harness/processes.js'
import { bytesOfClients } from '../measures/clients.js'
import { convergence } from '../measures/convergence.js'
import { memory } from '../measures/memory.js'
import { clientCredentialsRoundTrips, guardedRoundTrips, refreshRoundTrips } from '../measures/round-trips.js'

const SERVERS = [
  { name: 'express-aat', module: 'token-express-aat' },
  { name: 'hand-written', module: 'token-hand-written' },
  { name: 'express-oauth-server, leanest model', module: 'token-node-oauth' },
  { name: '@jmondi/oauth2-server, leanest model', module: 'token-jmondi' },
  { name: 'node-oidc-provider, as documented', module: 'token-oidc-provider' },
  { name: 'express-oauth-server, as documented', module: 'token-node-oauth-documented' },
  { name: '@jmondi/oauth2-server, as documented', module: 'token-jmondi-documented' },
]
const REGISTRIES = [
  { name: 'express-aat, open registration, not used yet', module: 'register-express-aat' },
  { name: 'express-aat, stored', module: 'register-express-aat', options: { kept: true } },
  { name: 'MCP SDK', module: 'register-mcp' },
  { name: 'node-oidc-provider', module: 'register-oidc-provider' },
]
const [FAMILIES, CLIENTS] = [1000, 1000]

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function redis({ quick }) {
  /**
   * @type {{
   *   name: string,
   *   memory: import('../measures/memory.js').Memory,
   *   refresh: import('../measures/round-trips.js').RoundTrips,
   *   machine: import('../measures/round-trips.js').RoundTrips,
   *   guarded: import('../measures/round-trips.js').RoundTrips | undefined,
   *   cases: import('../measures/convergence.js').Case[],
   * }[]}
   */
  const measured = []
  for (const { name, module } of SERVERS) {
    const server = await start({ module, kind: 'stock', redis: true })
    measured.push({
      name,
      memory: await memory(server, quick ? FAMILIES / 10 : FAMILIES),
      refresh: await refreshRoundTrips(server),
      machine: await clientCredentialsRoundTrips(server),
      guarded: name === 'express-aat' ? await guardedRoundTrips(server) : undefined,
      cases: await convergence(server),
    })
    await server.stop()
  }
  const clients = []
  for (const { name, ...target } of REGISTRIES) {
    const server = await start({ ...target, kind: 'stock', redis: true })
    clients.push({ name, bytes: await bytesOfClients(server, quick ? CLIENTS / 10 : CLIENTS) })
    await server.stop()
  }
  const own = measured[0]?.memory.kinds.find(({ kind }) => kind.endsWith(':f`') || kind.endsWith(':f'))
  const ofFamily = (/** @type {'fresh' | 'rotated'} */ what) => whole(own?.[what] ?? Number.NaN)
  return {
    title: 'Redis: memory, round trips, retries',
    short: [
      [
        'Redis commands of a guarded request / refresh / client-credentials grant',
        [measured[0]?.guarded, measured[0]?.refresh, measured[0]?.machine]
          .map((one) => (one ? commands(one) : ''))
          .join(' / '),
      ],
      [
        'bytes of a live family in its own key, fresh / after ten rotations; of a stored client',
        `${ofFamily('fresh')} / ${ofFamily('rotated')}; ${whole(clients[1]?.bytes ?? Number.NaN)}`,
      ],
    ],
    tables: [
      {
        heads: [
          'a family',
          'bytes that stay, fresh',
          'rotated 10 ×',
          'used_memory in all, fresh',
          'rotated 10 ×',
        ],
        rows: measured.map(({ name, memory: { fresh, rotated, usedFresh, usedRotated } }) => [
          name,
          ...[fresh, rotated, usedFresh, usedRotated].map(whole),
        ]),
      },
      {
        heads: [
          'kinds of keys, a family',
          'keys, fresh',
          'bytes, fresh',
          'rotated 10 ×',
          'seconds that it lives',
        ],
        rows: measured.flatMap(({ name, memory: { kinds } }) =>
          kinds.map(({ kind, keys, fresh, rotated, ttl }) => [
            `${name} \`${kind}\``,
            ...[keys.toFixed(2), whole(fresh), whole(rotated)],
            ttl === Number.POSITIVE_INFINITY ? 'no end' : whole(ttl),
          ]),
        ),
      },
      {
        heads: ['a registered client', 'bytes'],
        rows: clients.map(({ name, bytes }) => [name, whole(bytes)]),
      },
      {
        heads: [
          'Redis',
          'round trips a refresh',
          'commands',
          'a client_credentials',
          'commands',
          'a guarded request',
          'background',
        ],
        rows: measured.map(({ name, refresh, machine, guarded }) => [
          ...[
            name,
            `${refresh.waits}`,
            commands(refresh),
            `${machine.waits}`,
            commands(machine),
            guarded ? commands(guarded) : '',
          ],
          [...refresh.background, ...machine.background].join(', '),
        ]),
      },
      {
        heads: [
          'one refresh token presented',
          'answers 200',
          'successors',
          'of them alive',
          'family survives',
        ],
        rows: (measured[0]?.cases ?? []).flatMap((_, i) =>
          measured.map(({ name, cases }) => {
            const { what = '', presented = 0, trials = [] } = cases[i] ?? {}
            const survived = trials.filter(({ alive }) => alive > 0).length
            return [
              ...[`${what}: ${name}`, `${range(trials.map(({ good }) => good))} of ${presented}`],
              ...[range(trials.map(({ distinct }) => distinct)), range(trials.map(({ alive }) => alive))],
              `${survived} of ${trials.length}`,
            ]
          }),
        ),
      },
    ],
  }
}

/** @param {import('../measures/round-trips.js').RoundTrips} counted */
function commands({ commands: counted }) {
  const sum = [...counted.values()].reduce((total, times) => total + times, 0)
  const list = [...counted].map(([name, times]) => (times === 1 ? name : `${times} ${name}`)).join(', ')
  return list === '' ? '0' : `${sum}: ${list}`
}
