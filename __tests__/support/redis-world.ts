import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { inspect } from 'node:util'
import { afterEach, expect } from '@jest/globals'
import { Redis } from 'ioredis'
import { type RedisStoresOptions, redisStores } from '../../lib/redis.ts'
import { type Script, script } from '../../lib/stores/redis/script.ts'
import { type CommandMatch, type FaultProxy, startFaultProxy } from './fault-proxy.ts'
import { type ClientOptions, type RedisServer, sharedRedis } from './redis-servers.ts'
import { type ManualClock, startWorld, type TokenAnswer, type World, type WorldOptions } from './world.ts'

const folder = new URL('../../lib/stores/redis/scripts/', import.meta.url)
const scripts: Script[] = readdirSync(folder)
  .map((name) => name.replace('.lua', ''))
  .filter((name) => name !== 'prologue')
  .map(script)

/** The machine's clock where a world wants one, ahead by some seconds. */
export function realClock(ahead = 0): ManualClock {
  return Object.assign(() => Date.now() / 1000 + ahead, { now: 0, advance: () => undefined })
}

export interface RedisWorldOptions extends WorldOptions {
  redis?: RedisStoresOptions
  /** Options of the app's own client. */
  client?: ClientOptions
  /** Default: the file's shared server. */
  server?: RedisServer
  /** Default: a new proxy. */
  proxy?: FaultProxy
  /** Default true: the server knows the scripts already, so that a test sees one command for each. */
  loaded?: boolean
}

export type RedisWorld = World & {
  proxy: FaultProxy
  redis: RedisServer
  prefix: string
  stores: ReturnType<typeof redisStores>
}

const closers: (() => Promise<unknown>)[] = []
export function closeLater(close: () => Promise<unknown>): void {
  closers.push(close)
}
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

export async function loadScripts(server: Pick<RedisServer, 'send'>): Promise<void> {
  await Promise.all(scripts.map(({ body }) => server.send('SCRIPT', 'LOAD', body)))
}

/** Stores in a real server behind a fault proxy; closed after the test. */
export async function proxiedStores({
  redis = {},
  client = {},
  server,
  proxy,
}: Pick<RedisWorldOptions, 'redis' | 'client' | 'server' | 'proxy'> = {}) {
  const target = server ?? (await sharedRedis())
  const front = proxy ?? (await startFaultProxy(target.port))
  const prefix = redis.prefix ?? `${randomBytes(9).toString('base64url')}:`
  const app = new Redis({ ...front.address, lazyConnect: true, disconnectTimeout: 50, ...client })
  const stores = redisStores(app, { ...redis, prefix })
  closeLater(async () => {
    front.release()
    await stores.close?.()
    if (proxy === undefined) await front.close()
  })
  return { stores, proxy: front, redis: target, prefix }
}

/** The whole suite over HTTP, on Redis behind a fault proxy, by the machine's clock; closed after the test. */
export async function startRedisWorld(options: RedisWorldOptions = {}): Promise<RedisWorld> {
  const { redis: _redis, client: _client, server: _server, proxy: _proxy, loaded, ...rest } = options
  if (loaded !== false) await loadScripts(options.server ?? (await sharedRedis()))
  const parts = await proxiedStores(options)
  const world = await startWorld({
    clock: realClock(),
    // Registered with a yes of the app: stored at once.
    dcr: { allow: () => true },
    ...rest,
    stores: parts.stores,
  })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= world.close()
    return closed
  }
  closeLater(close)
  return { ...world, ...parts, close }
}

/** More instances of the same app: the same issuer, the same keys in Redis. */
export function anotherInstance(of: RedisWorld, options: RedisWorldOptions = {}): Promise<RedisWorld> {
  return startRedisWorld({
    ...options,
    server: of.redis,
    issuer: of.issuer,
    redis: { ...options.redis, prefix: of.prefix },
  })
}

/** Runs of one script, by EVALSHA or by EVAL. */
export function runsOf(name: string): CommandMatch {
  const { sha, body } = script(name)
  return ({ name: command, text }) =>
    (command === 'EVALSHA' && text[0] === sha) || (command === 'EVAL' && text[0] === body)
}

/** 503 with `Retry-After`, in OAuth's words: never the client's fault. */
export function expectUnavailable(answer: TokenAnswer): void {
  expect({ status: answer.status, error: answer.body?.error }).toEqual({
    status: 503,
    error: 'temporarily_unavailable',
  })
  expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d?$/)
}

export async function timed<T>(work: () => Promise<T>): Promise<{ answer: T; ms: number }> {
  const began = performance.now()
  const answer = await work()
  return { answer, ms: performance.now() - began }
}

/** Everything that listeners were told, errors with their causes and members included. */
export function toldBy(world: Pick<World, 'events'>): string {
  return inspect(world.events, { depth: 20, maxArrayLength: null, maxStringLength: null, showHidden: true })
}

/** What the suite stores in Redis under its prefix. */
export async function keysIn({ redis, prefix }: Pick<RedisWorld, 'redis' | 'prefix'>): Promise<string[]> {
  return (await redis.send('KEYS', `${prefix.replace(/[[\]?*\\^-]/g, '\\$&')}*`)).sort()
}

/** How often the one family was rotated, by its record. */
export async function generationOf(world: RedisWorld): Promise<number> {
  const families = (await keysIn(world)).filter((key) => key.endsWith(':f'))
  expect(families).toHaveLength(1)
  return (await world.redis.client().getBuffer(families[0] ?? ''))?.readUInt32BE(2) ?? -1
}

/** The private reasons of the faults so far. */
export function reasonsOf(world: RedisWorld): string[] {
  return world
    .eventsNamed('fault')
    .map((event) => String((event as unknown as { error: Error }).error.message))
}
