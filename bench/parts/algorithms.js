/** What each signing algorithm costs: the token endpoint, a guard elsewhere that verifies every token, the token's length. */

import { compare, measure, warm } from '../harness/compare.js'
import { CONNECTIONS, request } from '../harness/load.js'
import { median, whole } from '../harness/numbers.js'
import { start } from '../harness/processes.js'
import { clientCredentials, headers } from '../servers/token-shared.js'
import { inTurn } from './guard.js'

const ALGORITHMS = ['ES256', 'EdDSA', 'RS256', 'PS256']
/** RSA with the least and with the usual length. */
const KEYS = ALGORITHMS.flatMap((alg) =>
  /^[RP]S/.test(alg)
    ? [2048, 3072].map((rsaBits) => ({ name: `${alg}, ${rsaBits} bits`, keys: { alg, rsaBits } }))
    : [{ name: alg, keys: { alg } }],
)

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function algorithms(effort) {
  const signing = await compare(
    KEYS.map(({ name, keys }) => ({
      name,
      target: { module: 'guard-aat', kind: /** @type {const} */ ('fixed'), options: { keys } },
      cases: [
        {
          name: 'sign',
          prepare: () => {
            const text = request('POST', '/oauth/token', headers, clientCredentials)
            return { next: () => text }
          },
        },
      ],
    })),
    { ...effort, starts: Math.min(2, effort.starts) },
  )
  const rows = []
  for (const { name, keys } of KEYS) {
    const issuer = await start({ module: 'guard-aat', kind: 'fixed', options: { keys } })
    // Requests with one token at the same time share its verification.
    /** @type {string[]} */
    const tokens = await issuer.ask('mint', 2 * CONNECTIONS)
    const options = { issuer: issuer.url, audience: `${issuer.url}/api`, verifiedTokens: { entries: 0 } }
    const guard = await start({ module: 'guard-remote', kind: 'fixed', options })
    const open = inTurn('/open', tokens)
    const guarded = inTurn('/guarded', tokens)
    await warm(guard, open, effort.warmUp)
    await warm(guard, guarded, effort.warmUp)
    const found = []
    for (let round = 0; round < effort.rounds + 1; round++) {
      const without = await measure(guard, open, effort.seconds, name)
      const one = await measure(guard, guarded, effort.seconds, name)
      found.push({ added: one.cpu - without.cpu, p99: one.p99 })
    }
    await guard.stop()
    await issuer.stop()
    rows.push([
      ...[name, whole(signing.of(name, 'sign', 'cpu')), signing.of(name, 'sign', 'p99').toFixed(1)],
      ...[whole(median(found.map(({ added }) => added))), median(found.map(({ p99 }) => p99)).toFixed(1)],
      `${tokens[0]?.length}`,
    ])
  }
  return {
    title: 'Signing algorithms',
    note: 'On `createServer(app)`; a client-credentials grant in memory, and what a guard elsewhere adds to a request where it remembers no token.',
    tables: [
      {
        heads: [
          'algorithm',
          'grant: CPU µs',
          'p99 ms',
          'verification adds CPU µs',
          'p99 ms',
          'characters of a token',
        ],
        rows,
      },
    ],
  }
}
