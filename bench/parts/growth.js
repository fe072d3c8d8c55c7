/** Time of a refresh while Redis holds more and more families. */

import { measure, warm } from '../harness/compare.js'
import { median, ratio, whole } from '../harness/numbers.js'
import { redisOf } from '../harness/post.js'
import { start } from '../harness/processes.js'
import { chains } from './token.js'

const SIZES = [1_000, 10_000, 100_000, 1_000_000]
const AT_ONCE = 10_000

/** Copies of one real family's keys, each under an id of its own: as large as any, and in nobody's hands. */
const FILL = `
local dumps = {}
for i, key in ipairs(KEYS) do dumps[i] = { redis.call('DUMP', key), redis.call('PTTL', key) } end
for n = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local id = '{' .. redis.sha1hex(n) .. '}'
  for i, key in ipairs(KEYS) do
    redis.call('RESTORE', (string.gsub(key, '{[^}]*}', id)), dumps[i][2], dumps[i][1])
  end
end`

/** @param {import('../harness/compare.js').Effort} effort @returns {Promise<import('../harness/report.js').Part>} */
export async function growth({ quick, rounds, seconds, warmUp }) {
  const server = await start({ module: 'token-express-aat', kind: 'fixed', redis: true })
  const redis = redisOf(server)
  const load = await chains()(server)
  // Servers cannot take turns here, so the compiler has to be done before.
  for (let i = 0; i < 3; i++) await warm(server, load, warmUp)
  const keys = await familyKeys(server)

  const rows = []
  let filled = 0
  for (const size of quick ? SIZES.slice(0, 3) : SIZES) {
    for (; filled < size; filled += AT_ONCE)
      await redis.eval(FILL, keys.length, ...keys, filled, Math.min(filled + AT_ONCE, size) - 1)
    filled = size
    /** @type {(import('../harness/compare.js').Measurement & { redis: number })[]} */
    const measured = []
    for (let round = 0; round < rounds + 2; round++) {
      const before = await redisCpu(redis)
      const one = await measure(server, load, seconds, `${size} families`)
      const redisShare = ((await redisCpu(redis)) - before) / (one.perSecond * seconds)
      measured.push({ ...one, redis: redisShare })
    }
    const of = (/** @type {'cpu' | 'redis' | 'p50' | 'p99'} */ what) =>
      median(measured.map((one) => one[what]))
    rows.push({
      size,
      cpu: of('cpu'),
      redis: of('redis'),
      p50: of('p50'),
      p99: of('p99'),
      memory: await usedMemory(redis),
    })
  }
  await server.stop()

  const [first, last] = [rows[0], rows.at(-1)]
  return {
    title: 'Refreshes while families grow in number',
    note: 'On `createServer(app)`. All but the families under load are copies of a real one.',
    short: [
      [
        `CPU of a refresh with ${whole(last?.size ?? 0)} families in Redis to ${whole(first?.size ?? 0)}: of the server / of Redis`,
        `${ratio((last?.cpu ?? 0) / (first?.cpu ?? 0))} / ${ratio((last?.redis ?? 0) / (first?.redis ?? 0))}`,
      ],
    ],
    tables: [
      {
        heads: [
          'families',
          'CPU µs',
          'to the first',
          'CPU µs of Redis',
          'to the first',
          'p50 ms',
          'p99 ms',
          'MB of Redis',
        ],
        rows: rows.map(({ size, cpu, redis: ofRedis, p50, p99, memory }) => [
          ...[whole(size), whole(cpu), ratio(cpu / (first?.cpu ?? Number.NaN))],
          ...[whole(ofRedis), ratio(ofRedis / (first?.redis ?? Number.NaN))],
          ...[p50.toFixed(1), p99.toFixed(1), whole(memory)],
        ]),
      },
    ],
  }
}

/** The keys that belong to one family alone. @param {import('../harness/processes.js').Server} server */
async function familyKeys(server) {
  const redis = redisOf(server)
  const before = new Set(await redis.keys('*'))
  await server.ask('open', 1)
  const added = (await redis.keys('*')).filter((key) => !before.has(key))
  const lasting = []
  for (const key of added) if ((await redis.ttl(key)) > 3600) lasting.push(key)
  if (lasting.length === 0) throw new Error('a new family left no key')
  return lasting
}

/** Microseconds so far. @param {import('ioredis').Redis} redis */
async function redisCpu(redis) {
  let sum = 0
  for (const [, part] of (await redis.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm))
    sum += Number(part) * 1e6
  return sum
}

/** @param {import('ioredis').Redis} redis */
async function usedMemory(redis) {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]) / 2 ** 20
}
