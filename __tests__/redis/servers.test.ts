import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { Redis } from 'ioredis'
import {
  type RedisServer,
  sharedRedis,
  startCluster,
  startRedis,
  startReplicated,
} from '../support/redis-servers.ts'
import { until } from '../support/until.ts'

afterAll(async () => {
  // The servers are stopped after the hooks of the test file, not before.
  const server = await sharedRedis()
  expect(await server.send('PING')).toBe('PONG')
})

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('a server is up in 300 ms, on the loopback interface only, and one for the file', async () => {
  const times: number[] = []
  let server: RedisServer | undefined
  // The best of three: others may be busy on this machine.
  for (let run = 0; run < 3; run++) {
    await server?.stop()
    const before = performance.now()
    server = await startRedis({ args: ['--maxmemory', '20mb'] })
    times.push(performance.now() - before)
  }
  if (server === undefined) throw new Error('a server')
  expect(Math.min(...times)).toBeLessThan(300)
  expect(await server.send('CONFIG', 'GET', 'bind')).toEqual(['bind', '127.0.0.1'])
  expect(await server.send('CONFIG', 'GET', 'maxmemory')).toEqual(['maxmemory', String(20 * 1024 ** 2)])
  expect(await server.send('CONFIG', 'GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
  const { pid, dir } = server
  await server.stop()
  expect(lives(pid)).toBe(false)
  expect(existsSync(dir)).toBe(false)

  const shared = await sharedRedis()
  expect(await sharedRedis()).toBe(shared)
  await shared.send('SET', 'key', 'value')
  await shared.flush()
  expect(await shared.send('DBSIZE')).toBe(0)
})

test('a port that another server has is not taken for its own', async () => {
  const { port } = await sharedRedis()
  await expect(startRedis({ port })).rejects.toThrow('taken')
  await expect(startRedis({ args: ['--no-such-option', 'x'] })).rejects.toThrow(
    /no-such-option|Bad directive/,
  )
})

test.each([
  ['none', null],
  ['aof', 'later'],
  ['rdb', 'saved'],
] as const)('a restart after kill -9 with persistence %s', async (persistence, expected) => {
  const server = await startRedis({ persistence })
  const { pid } = server
  await server.send('SET', 'key', 'saved')
  if (persistence === 'rdb') await server.send('SAVE')
  await server.send('SET', 'key', 'later')
  await server.restart()
  expect(server.pid).not.toBe(pid)
  expect(await server.send('GET', 'key')).toBe(expected)
  await server.stop()
})

test('a paused server takes commands and executes them when it goes on', async () => {
  const server = await sharedRedis()
  const client = server.client()
  await client.set('paused', 0)
  server.pause()
  let answer: number | undefined
  const incremented = client.incr('paused').then((value) => {
    answer = value
  })
  const other = new Redis({
    ...server.address,
    connectTimeout: 200,
    commandTimeout: 200,
    retryStrategy: null,
  })
  other.on('error', () => {})
  await expect(other.ping()).rejects.toThrow()
  other.disconnect()
  expect(answer).toBeUndefined()
  server.resume()
  await incremented
  expect(answer).toBe(1)
})

test('servers do not survive a process that is killed', async () => {
  const reaper = resolve(import.meta.dirname, '../support/child-reaper.js')
  const script = `
    import { spawn } from 'node:child_process'
    import { mkdtempSync } from 'node:fs'
    import { isGone, reapAtExit } from ${JSON.stringify(reaper)}
    const start = () => spawn('sleep', ['600'], { stdio: 'ignore' })
    const dir = mkdtempSync(${JSON.stringify(`${(await sharedRedis()).dir}/reaped-`)})
    const kept = start(), gone = start()
    reapAtExit(kept.pid, dir)
    reapAtExit(gone.pid, '')
    isGone(gone.pid)
    console.log(JSON.stringify({ kept: kept.pid, gone: gone.pid, dir }))
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(child.stdout, 'data')
  const { kept, gone, dir } = JSON.parse(String(line))
  expect([lives(kept), lives(gone), existsSync(dir)]).toEqual([true, true, true])
  child.kill('SIGKILL')
  await until('the reaper did its work', () => !existsSync(dir))
  // The kill comes before the removal, but the end of a process nobody waits for is init's business.
  expect(await stateOf(kept)).toMatch(/^(gone|Z)/)
  expect(await stateOf(gone)).not.toMatch(/^(gone|Z)/)
  process.kill(gone, 'SIGKILL')
})

async function stateOf(pid: number): Promise<string> {
  const ps = spawn('ps', ['-o', 'stat=', '-p', String(pid)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  for await (const chunk of ps.stdout) text += chunk
  return text.trim() || 'gone'
}

test('replication: what the primary has, the replica has; acknowledged writes can be lost by a promotion', async () => {
  const set = await startReplicated({ replicas: 2 })
  const [first, second] = set.replicas
  if (first === undefined || second === undefined) throw new Error('two replicas')
  await set.primary.send('SET', 'kept', 1)
  await set.caughtUp()
  expect(await first.send('GET', 'kept')).toBe('1')

  await set.cutReplication(first)
  expect(await set.primary.send('SET', 'lost', 1)).toBe('OK')
  expect(await set.failover('kill')).toBe(first)
  expect(await first.send('MGET', 'kept', 'lost')).toEqual(['1', null])
  await first.send('SET', 'new', 1)
  await set.caughtUp()
  expect(await second.send('MGET', 'lost', 'new')).toEqual([null, '1'])
  await set.stop()
})

test('replication can be cut and joined again, and handed over without loss', async () => {
  const set = await startReplicated()
  const [replica] = set.replicas
  if (replica === undefined) throw new Error('a replica')
  await set.cutReplication()
  await set.primary.send('SET', 'key', 'late')
  expect(await replica.send('GET', 'key')).toBe(null)
  await set.joinReplication()
  expect(await replica.send('GET', 'key')).toBe('late')
  expect(await set.failover('handover')).toBe(replica)
  expect(await replica.send('SET', 'key', 'new')).toBe('OK')
  await set.stop()
})

test('three Sentinels promote a replica after kill -9, and lead an ioredis to it', async () => {
  const set = await startReplicated({ sentinels: 3 })
  const old = set.primary
  const client = new Redis({ sentinels: set.sentinelAddresses, name: set.name })
  client.on('error', () => {})
  await client.set('key', 'value')
  await set.caughtUp()
  const primary = await set.failover('kill')
  expect(primary).not.toBe(old)
  await client.set('key', 'after')
  expect(await primary.send('GET', 'key')).toBe('after')
  client.disconnect()
  await set.stop()
})

test('a cluster answers MOVED, and ASK while a slot moves; a replica takes over from a dead primary', async () => {
  const cluster = await startCluster({ replicas: 1 })
  const [a, b, c] = cluster.nodes
  if (a === undefined || b === undefined || c === undefined) throw new Error('three nodes')
  expect(await Promise.all([0, 8_000, 16_383].map((slot) => cluster.ownerOf(slot)))).toEqual([a, b, c])
  const slot = await cluster.slotOf('{x}1')
  const from = await cluster.ownerOf(slot)
  const to = from === a ? b : a
  for (const key of ['{x}1', '{x}2']) await from.send('SET', key, key)
  await expect(to.send('GET', '{x}1')).rejects.toThrow(`MOVED ${slot} 127.0.0.1:${from.port}`)

  const phases: string[] = []
  await cluster.moveSlot(slot, to, async (phase, key) => {
    phases.push(phase)
    if (phase === 'open') expect(await from.send('GET', '{x}1')).toBe('{x}1')
    if (key !== undefined)
      await expect(from.send('GET', key)).rejects.toThrow(`ASK ${slot} 127.0.0.1:${to.port}`)
    if (phase === 'key_moved' && !phases.includes('keys_moved') && phases.length === 2)
      await expect(from.send('MGET', '{x}1', '{x}2')).rejects.toThrow('TRYAGAIN')
  })
  expect(phases).toEqual(['open', 'key_moved', 'key_moved', 'keys_moved', 'target_owns'])
  expect(await cluster.ownerOf(slot)).toBe(to)
  await expect(from.send('GET', '{x}1')).rejects.toThrow(`MOVED ${slot} 127.0.0.1:${to.port}`)
  expect(await to.send('MGET', '{x}1', '{x}2')).toEqual(['{x}1', '{x}2'])

  const [[replica] = []] = cluster.replicas
  if (replica === undefined) throw new Error('a replica of the first node')
  await cluster.stopNode(0)
  await cluster.failover(replica, 'TAKEOVER')
  await until('the others know', async () => {
    const ranges: [number, number, [string, number]][] = await b.send('CLUSTER', 'SLOTS')
    return ranges.some(([first, , [, port]]) => first === 0 && port === replica.port)
  })
  await cluster.stop()
})
