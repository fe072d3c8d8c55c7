/** The tables. */

import { median, range, ratio, table, whole } from '../harness/numbers.js'

const OURS = 'express-aat'
const LIMIT = 'hand-written'
const PEER = 'oidc-provider'

/** @param {import('./load.js').GrantType} grantType @param {Map<string, import('./load.js').Measurement[]>} measured */
export function loadTable(grantType, measured) {
  const medians = new Map([...measured].map(([name, all]) => [name, mediansOf(all)]))
  const limit = medians.get(LIMIT)
  const rows = [...medians].map(([name, own]) => [
    name,
    whole(own.perSecond),
    ratio(own.perSecond / (limit?.perSecond ?? Number.NaN)),
    whole(own.cpu),
    ratio(own.cpu / (limit?.cpu ?? Number.NaN)),
    whole(own.redisCpu),
    ratio(own.busy),
    `${own.errors}`,
  ])
  const heads = [
    grantType,
    'grants/s',
    `to ${LIMIT}`,
    'CPU µs/grant',
    `to ${LIMIT}`,
    'CPU µs of Redis',
    'CPU busy',
    'errors',
  ]
  const [ours, peer] = [medians.get(OURS), medians.get(PEER)]
  const comparison =
    ours && peer
      ? `\n\n${OURS} to ${PEER}: ${ratio(ours.perSecond / peer.perSecond)} × grants/s, ${ratio(ours.cpu / peer.cpu)} × CPU`
      : ''
  return `${table(heads, rows)}${comparison}\n`
}

/** @param {import('./load.js').Measurement[]} all @returns {import('./load.js').Measurement} */
function mediansOf(all) {
  return {
    perSecond: median(all.map((one) => one.perSecond)),
    cpu: median(all.map((one) => one.cpu)),
    redisCpu: median(all.map((one) => one.redisCpu)),
    busy: median(all.map((one) => one.busy)),
    errors: all.reduce((sum, one) => sum + one.errors, 0),
  }
}

/**
 * @typedef {import('./round-trips.js').RoundTrips} RoundTrips
 * @param {Map<string, { refresh_token: RoundTrips, client_credentials: RoundTrips }>} counted
 */
export function roundTripsTable(counted) {
  const heads = [
    'Redis',
    'round trips a refresh',
    'commands',
    'a client_credentials',
    'commands',
    'background',
  ]
  const rows = [...counted].map(([name, { refresh_token, client_credentials }]) => [
    name,
    `${refresh_token.waits}`,
    commands(refresh_token),
    `${client_credentials.waits}`,
    commands(client_credentials),
    [...refresh_token.background, ...client_credentials.background].join(', '),
  ])
  return `${table(heads, rows)}\n`
}

/** @param {RoundTrips} counted */
function commands({ commands }) {
  const sum = [...commands.values()].reduce((total, times) => total + times, 0)
  const list = [...commands].map(([name, times]) => (times === 1 ? name : `${times} ${name}`)).join(', ')
  return list === '' ? '0' : `${sum}: ${list}`
}

/** @param {Map<string, import('./memory.js').Memory>} memories @param {number} families */
export function memoryTables(memories, families) {
  const limit = memories.get(LIMIT)
  const peer = memories.get(PEER)
  const heads = [
    `bytes that stay, a family of ${whole(families)}`,
    'fresh',
    'rotated 10 ×',
    `to ${LIMIT}`,
    `to ${PEER}`,
    'used_memory in all, fresh',
    'rotated 10 ×',
  ]
  const rows = [...memories].map(([name, own]) => [
    name,
    whole(own.fresh),
    whole(own.rotated),
    ratio(own.rotated / (limit?.rotated ?? Number.NaN)),
    ratio(own.rotated / (peer?.rotated ?? Number.NaN)),
    whole(own.usedFresh),
    whole(own.usedRotated),
  ])
  const kinds = [...memories].flatMap(([name, { kinds }]) =>
    kinds.map((kind) => [
      `${name} \`${kind.kind}\``,
      ratio(kind.keys),
      whole(kind.fresh),
      whole(kind.rotated),
      kind.ttl === Number.POSITIVE_INFINITY ? 'no end' : whole(kind.ttl),
    ]),
  )
  return `${table(heads, rows)}\n\n${table(['kinds of keys, a family', 'keys, fresh', 'bytes, fresh', 'rotated 10 ×', 'seconds that it lives'], kinds)}\n`
}

/** @param {Map<string, import('./convergence.js').Case[]>} cases */
export function convergenceTable(cases) {
  const heads = [
    'one refresh token presented',
    'answers 200',
    'successors',
    'of them alive',
    'family survives',
  ]
  const [first = []] = cases.values()
  const rows = first.flatMap((_, i) =>
    [...cases].map(([name, all]) => {
      const { what = '', presented = 0, trials = [] } = all[i] ?? {}
      const survived = trials.filter(({ alive }) => alive > 0).length
      return [
        `${what}: ${name}`,
        `${range(trials.map(({ good }) => good))} of ${presented}`,
        range(trials.map(({ distinct }) => distinct)),
        range(trials.map(({ alive }) => alive)),
        `${survived} of ${trials.length}`,
      ]
    }),
  )
  return `${table(heads, rows)}\n`
}
