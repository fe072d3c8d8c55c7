/** The guard on tokens that it sees for the first time, and on 100,000 that it knows. */

import { compare, RUN_IN } from '../harness/compare.js'
import { startIssuer } from '../harness/issuer.js'
import { run } from '../harness/load.js'
import { ratio, whole } from '../harness/numbers.js'
import { get, inTurn } from './guard.js'

const MANY = 100_000
const DRAWS = 1_000_000
/** Tokens a second that are minted ahead: more than any of the servers takes, so that none is minted while it is measured. */
const AHEAD = 12_000
/** @type {import('../harness/processes.js').Kind[]} */
const KINDS = ['stock', 'fixed']

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function miss(effort) {
  const { mint, close, ...trusted } = await startIssuer()
  // All servers see the same tokens, each but once.
  /** @type {string[]} */
  const pool = []
  /** @param {number} i */
  const fresh = (i) => {
    while (pool.length <= i) pool.push(mint())
    return pool[i] ?? ''
  }
  const cases = [
    { name: 'open', prepare: () => inTurn('/open', [fresh(0)]) },
    {
      name: 'first seen',
      prepare() {
        let seen = 0
        fresh(AHEAD * (effort.warmUp + effort.rounds * (effort.seconds + RUN_IN)))
        return { next: () => get('/guarded', fresh(seen++)) }
      },
    },
  ]
  const guards = [
    { name: 'express-aat', module: 'guard-remote' },
    { name: 'jose, a plain middleware', module: 'guard-jose' },
  ]
  const measured = await compare(
    guards.flatMap(({ name, module }) =>
      KINDS.map((kind) => ({ name: `${name} ${kind}`, target: { module, kind, options: trusted }, cases })),
    ),
    effort,
  )
  const many = await knowing(effort.quick ? MANY / 10 : MANY, mint, trusted, effort)
  close()

  return {
    title: 'Guard: tokens seen for the first time, and many of them',
    note: 'The guard of another process than the issuer’s; ES256; ratios within a start.',
    short: [
      [
        'guard, a token seen for the first time, CPU to jose in a plain middleware, stock / fixed',
        KINDS.map((kind) =>
          ratio(
            measured.ratio(
              [`express-aat ${kind}`, 'first seen'],
              [`jose, a plain middleware ${kind}`, 'first seen'],
              'cpu',
            ),
          ),
        ).join(' / '),
      ],
      [
        `guard, ${many.heads[0]}, uniform / Zipf, CPU to no auth`,
        `${many.rows[1]?.[2]} / ${many.rows[2]?.[2]}`,
      ],
    ],
    tables: [
      {
        heads: [
          'first seen',
          ...KINDS.flatMap((kind) => [`${kind}: CPU µs`, 'to jose', 'without the route, to jose', 'p99 ms']),
        ],
        rows: guards.map(({ name }) => [
          name,
          ...KINDS.flatMap((kind) => {
            const jose = /** @type {[string, string]} */ ([`jose, a plain middleware ${kind}`, 'first seen'])
            const own = /** @type {[string, string]} */ ([`${name} ${kind}`, 'first seen'])
            const added = (/** @type {string} */ of) =>
              measured.of(`${of} ${kind}`, 'first seen', 'cpu') - measured.of(`${of} ${kind}`, 'open', 'cpu')
            return [
              ...[whole(measured.of(...own, 'cpu')), ratio(measured.ratio(own, jose, 'cpu'))],
              ratio(added(name) / added('jose, a plain middleware')),
              measured.of(...own, 'p99').toFixed(1),
            ]
          }),
        ]),
      },
      many,
    ],
  }
}

/**
 * On `createServer(app)`, once each has been verified. They are filled in once, so there is one start with more rounds.
 * @param {number} count
 * @param {() => string} mint
 * @param {object} trusted
 * @param {import('../harness/compare.js').Effort} effort
 */
async function knowing(count, mint, trusted, effort) {
  const requests = Array.from({ length: count }, () => get('/guarded', mint()))
  const zipf = zipfDraws(count, DRAWS)
  const draw = (/** @type {() => number} */ index) => ({ next: () => requests[index()] ?? '' })
  let turn = 0
  const measured = await compare(
    [
      {
        name: 'express-aat',
        target: {
          module: 'guard-remote',
          kind: 'fixed',
          options: { ...trusted, verifiedTokens: { entries: 2 * count, bytes: 4096 * 2 * count } },
        },
        cases: [
          {
            name: 'open',
            async prepare(server) {
              let filled = 0
              while (filled < count)
                await run({ url: server.url, seconds: 1, next: () => requests[filled++ % count] ?? '' })
              return openWith(requests)
            },
          },
          { name: 'uniform', prepare: () => draw(() => Math.floor(Math.random() * count)) },
          { name: 'Zipf', prepare: () => draw(() => zipf[turn++ % zipf.length] ?? 0) },
        ],
      },
    ],
    { ...effort, starts: 1, rounds: effort.quick ? 1 : 5 },
  )
  return {
    heads: [`${whole(count)} tokens that are known, createServer(app)`, 'CPU µs', 'to no auth'],
    rows: ['open', 'uniform', 'Zipf'].map((name) => [
      name === 'open' ? 'no auth, the same requests' : name,
      whole(measured.of('express-aat', name, 'cpu')),
      ratio(measured.ratio(['express-aat', name], ['express-aat', 'open'], 'cpu')),
    ]),
  }
}

/** The same headers, to the route without a guard. @param {string[]} requests */
function openWith(requests) {
  return {
    next: () => (requests[Math.floor(Math.random() * requests.length)] ?? '').replace('/guarded', '/open'),
  }
}

/** Indices of which the n-th is drawn 1/n times as often as the first. @param {number} count @param {number} draws */
function zipfDraws(count, draws) {
  const cumulated = new Float64Array(count)
  let sum = 0
  for (let i = 0; i < count; i++) cumulated[i] = sum += 1 / (i + 1)
  return Uint32Array.from({ length: draws }, () => {
    const at = Math.random() * sum
    let [low, high] = [0, count - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cumulated[middle] ?? 0) < at) low = middle + 1
      else high = middle
    }
    return low
  })
}
