import { expect, test } from '@jest/globals'
import { aclLine } from '../../lib/stores/redis/acl.ts'
import { checkRedis } from '../../lib/stores/redis/check.ts'
import { keysOf } from '../../lib/stores/redis/keys.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startRedis } from '../support/redis-servers.ts'
import { closeLater, proxiedStores, startRedisWorld } from '../support/redis-world.ts'
import { until } from '../support/until.ts'

async function findingsOf(args: string[], persistence: 'none' | 'aof' = 'aof') {
  const server = await startRedis({ args, persistence })
  closeLater(() => server.stop())
  const { stores } = await proxiedStores({ server })
  return (await stores.check?.()) ?? []
}

const APPEND_ONLY =
  'appendonly is off: a restart of Redis loses what was written since its last snapshot; set "appendonly yes"'

test.each(['allkeys-lru', 'volatile-ttl'])('maxmemory-policy %s: unusable', async (policy) => {
  expect(await findingsOf(['--maxmemory-policy', policy])).toContainEqual({
    severity: 'unusable',
    message: `maxmemory-policy is ${policy}, so Redis may throw away keys, families and revocations; set it to noeviction`,
  })
})

test('appendonly off: advice; on and noeviction: nothing to say of either', async () => {
  expect(await findingsOf([], 'none')).toContainEqual({ severity: 'advice', message: APPEND_ONLY })
  const messages = (await findingsOf([])).map(({ message }) => message)
  expect(messages.filter((message) => /appendonly|maxmemory/.test(message))).toEqual([])
})

test('a policy that is changed while the app runs: it stops being ready, says why once, and is ready when it is put right', async () => {
  const server = await startRedis({ args: [] })
  closeLater(() => server.stop())
  let ahead = 0
  const world = await startRedisWorld({ server, aat: { monotonic: () => performance.now() / 1000 + ahead } })
  expect(world.aat.health().ready).toBe(true)
  await server.send('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  ahead += 60
  await until(
    'it has looked',
    () => !world.aat.health().ready && world.aat.health().problems[0]?.includes('allkeys'),
  )
  await server.send('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
  ahead += 3
  await until('it has looked again', () => world.aat.health().ready)
  const told = world
    .eventsNamed('store.finding')
    .filter((event) => JSON.stringify(event).includes('allkeys-lru'))
  expect(told).toHaveLength(1)
})

test('a server that cannot be reached, and one that does not answer: unusable, in words without its address', async () => {
  const server = await startRedis()
  const proxy = await startFaultProxy(server.port)
  closeLater(() => server.stop())
  const { stores } = await proxiedStores({
    server,
    proxy,
    client: { password: 'a-password' },
    redis: { deadline: 100 },
  })
  await proxy.refuse()
  proxy.cutAll()
  const refused = (await stores.check?.()) ?? []
  expect(refused).toEqual([
    { severity: 'unusable', message: expect.stringMatching(/^Redis (cannot be reached|did not)/) },
  ])
  await proxy.refuse(false)
  proxy.blackhole()
  const silent = (await stores.check?.()) ?? []
  expect(silent).toEqual([
    { severity: 'unusable', message: expect.stringMatching(/^Redis did not answer within 100 ms/) },
  ])
  for (const { message } of [...refused, ...silent]) {
    expect(message).not.toContain('127.0.0.1')
    expect(message).not.toContain('a-password')
  }
})

/** The look at a server that says this of itself. */
async function ofInfo(lines: Record<string, string>, mayReadSettings = false) {
  const info = Object.entries(lines).map(([name, value]) => `${name}:${value}`)
  const text = ['# Server', ...info, ''].join('\r\n')
  const findings = await checkRedis({
    client: {
      call: async (command: string) => {
        if (command === 'INFO') return text
        if (mayReadSettings) return ['maxmemory', '0']
        throw new Error('NOPERM')
      },
    } as never,
    runner: { run: async () => ({ outcome: 'checked', now: 0, rest: [] }), clockOffset: () => 0 } as never,
    keys: keysOf('p:'),
    prefix: 'p:',
    deadline: 500,
    hintsRefusal: () => undefined,
    hasServerClock: true,
  })
  return findings.map(({ severity, message }) => `${severity}: ${message}`)
}

test('versions: too old, flawed, fixed, Valkey', async () => {
  const well = { maxmemory_policy: 'noeviction', aof_enabled: '1' }
  const of = (redis_version: string, more = {}) => ofInfo({ redis_version, ...well, ...more })
  for (const old of ['6.0.16', '5.0.14', '3.2.1', ''])
    expect(await of(old)).toContain(`unusable: Redis ${old} is too old; 6.2 or newer, or Valkey, is needed`)
  for (const flawed of ['6.2.19', '7.0.15', '7.2.10', '7.4.5', '8.0.3', '8.2.1'])
    expect(await of(flawed)).toEqual([
      `advice: Redis ${flawed} may have the flaw CVE-2025-49844 in its Lua (fixed in 6.2.20, 7.2.11, 7.4.6, 8.0.4, 8.2.2; distributions fix it without changing the version): keep it up to date`,
    ])
  for (const fixed of ['6.2.20', '7.2.11', '7.4.6', '8.0.4', '8.2.2', '8.4.0', '9.0.0'])
    expect(await of(fixed)).toEqual([])
  expect(await of('7.2.4', { valkey_version: '8.0.1' })).toEqual([])
  expect(await ofInfo({ redis_version: '8.2.2', ...well }, true)).toEqual([
    `advice: the Redis user may do more than it needs; this is all: ${aclLine('p:')}`,
  ])
})
