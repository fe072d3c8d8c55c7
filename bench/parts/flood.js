/** A flood of forged tokens: what each costs, and what it does to those who are honest. */

import { randomBytes } from 'node:crypto'
import { measure, warm } from '../harness/compare.js'
import { startIssuer } from '../harness/issuer.js'
import { run } from '../harness/load.js'
import { median, ratio, whole } from '../harness/numbers.js'
import { loadMayStayAwake } from '../harness/placement.js'
import { start } from '../harness/processes.js'
import { get, inTurn } from './guard.js'

/** Requests a second of the honest, and of the attackers beside them: what one CPU can serve. */
const [HONEST, ATTACKERS] = [400, 1200]
const HONEST_TOKENS = 100
/** @type {import('../harness/processes.js').Kind[]} */
const KINDS = ['stock', 'fixed']
const REFUSED = { status: 401 }

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function flood(effort) {
  const { mint, close, ...trusted } = await startIssuer()
  const honest = Array.from({ length: HONEST_TOKENS }, () => mint())
  const known = mint()
  /** @type {Record<string, () => import('../harness/compare.js').CaseLoad>} */
  const loads = {
    'honest, seen before': () => inTurn('/guarded', honest),
    'honest, first seen': () => ({ next: () => get('/guarded', mint()) }),
    'forged signature': () => ({ next: () => get('/guarded', mint({ forged: true })), ...REFUSED }),
    'the same forged token': () => ({ ...inTurn('/guarded', [mint({ forged: true })]), ...REFUSED }),
    'known claims, another signature': () => ({ next: () => get('/guarded', resigned(known)), ...REFUSED }),
    'unknown kid': () => ({ next: () => get('/guarded', mint({ forged: true, kid: random() })), ...REFUSED }),
    garbage: () => ({ next: () => get('/guarded', random()), ...REFUSED }),
  }
  const names = Object.keys(loads)
  /** @type {Map<string, number[]>} */
  const found = new Map()
  const add = (/** @type {string} */ key, /** @type {number} */ value) =>
    found.set(key, [...(found.get(key) ?? []), value])

  for (let i = 0; i < Math.min(2, effort.starts); i++) {
    for (const kind of KINDS) {
      const server = await start({ module: 'guard-remote', kind, options: trusted })
      await warm(server, inTurn('/guarded', honest), effort.warmUp)
      for (const name of names) {
        const load = /** @type {() => import('../harness/compare.js').CaseLoad} */ (loads[name])()
        await warm(server, load, effort.warmUp)
        add(`${name} ${kind}`, (await measure(server, load, effort.seconds, name)).cpu)
      }
      const seconds = 3 * effort.seconds
      const ask = () =>
        run({
          url: server.url,
          seconds,
          rate: HONEST,
          connections: 8,
          isAwake: loadMayStayAwake(false),
          ...inTurn('/guarded', honest),
        })
      const alone = await ask()
      // As many requests as before, but honest ones: what load alone does to the others.
      const crowd = { url: server.url, seconds, rate: ATTACKERS, connections: 16 }
      const [beside] = await Promise.all([ask(), run({ ...crowd, ...inTurn('/guarded', honest) })])
      // Made ahead: what the load has to do for them would hold up its other requests.
      const texts = Array.from({ length: ATTACKERS * (seconds + 1) }, () =>
        get('/guarded', mint({ forged: true })),
      )
      const forged = { next: () => texts.pop() ?? '', ...REFUSED }
      const [attacked] = await Promise.all([ask(), run({ ...crowd, ...forged })])
      add(`alone ${kind}`, alone.p99)
      add(`beside ${kind}`, beside.p99)
      add(`attacked ${kind}`, attacked.p99)
      await server.stop()
    }
  }
  close()

  const of = (/** @type {string} */ name, /** @type {string} */ kind) =>
    median(found.get(`${name} ${kind}`) ?? [])
  const to = (/** @type {string} */ name, /** @type {string} */ other, /** @type {string} */ kind) =>
    ratio(of(name, kind) / of(other, kind))
  return {
    title: 'A flood of forged tokens',
    note: 'The guard of another process than the issuer’s; ES256.',
    short: [
      [
        'a forged token, CPU to an honest one that is seen for the first time, stock / fixed',
        KINDS.map((kind) => to('forged signature', 'honest, first seen', kind)).join(' / '),
      ],
      [
        'p99 of the honest beside a flood, to the same number of honest requests, stock / fixed',
        KINDS.map((kind) => to('attacked', 'beside', kind)).join(' / '),
      ],
    ],
    tables: [
      {
        heads: [
          'request',
          ...KINDS.flatMap((kind) => [`${kind}: CPU µs`, 'to honest, first seen', 'to honest, seen before']),
        ],
        rows: names.map((name) => [
          name,
          ...KINDS.flatMap((kind) => [
            ...[whole(of(name, kind)), to(name, 'honest, first seen', kind)],
            to(name, 'honest, seen before', kind),
          ]),
        ]),
      },
      {
        heads: [
          `p99 ms of ${HONEST} honest requests a second`,
          ...[
            'alone',
            `beside ${ATTACKERS} honest ones`,
            `beside ${ATTACKERS} forged ones`,
            'forged to alone',
            'forged to honest',
          ],
        ],
        rows: KINDS.map((kind) => [
          kind,
          ...['alone', 'beside', 'attacked'].map((name) => of(name, kind).toFixed(2)),
          ...[to('attacked', 'alone', kind), to('attacked', 'beside', kind)],
        ]),
      },
    ],
  }
}

/** @param {string} token */
const resigned = (token) =>
  `${token.slice(0, token.lastIndexOf('.') + 1)}${randomBytes(64).toString('base64url')}`
const random = () => randomBytes(32).toString('base64url')
