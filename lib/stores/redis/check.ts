import { inTime } from '../../protocol/hooks.ts'
import { systemClock } from '../../protocol/time.ts'
import type { StoreFinding } from '../ports.ts'
import { aclLine } from './acl.ts'
import type { RedisClient } from './connection.ts'
import { codeOf, unavailable } from './faults.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const checkPermissions = script('check-permissions')

/** Seconds by which the clock of this machine may differ from the server's: tokens are dated by the one, families by the other. */
const MAX_CLOCK_OFFSET = 30

export interface CheckOptions {
  readonly client: RedisClient
  readonly runner: Runner
  readonly keys: Keys
  readonly prefix: string
  /** Milliseconds. */
  readonly deadline: number
  /** Why there are no hints of revocations, if so. */
  readonly hintsRefusal: () => unknown
  /** The server's clock is used, so it can be compared. */
  readonly hasServerClock: boolean
}

/** Looks at the server: can it be reached, may we do what we must, is it set up to keep what it is given? */
export async function checkRedis({
  client,
  runner,
  keys,
  prefix,
  deadline,
  hintsRefusal,
  hasServerClock,
}: CheckOptions): Promise<StoreFinding[]> {
  const findings: StoreFinding[] = []
  // The nodes of a cluster may all have the same to say.
  const say = (severity: StoreFinding['severity'], message: string) => {
    if (!findings.some((finding) => finding.message === message)) findings.push({ severity, message })
  }
  const unusable = (message: string) => say('unusable', message)
  const advise = (message: string) => say('advice', message)

  try {
    const { rest } = await runner.run(checkPermissions, [keys.probe], [keys.hints])
    if (rest.length > 0)
      unusable(
        `the Redis user may not run ${[...new Set(rest.map(String))].join(', ')}; it needs: ${aclLine(prefix)}`,
      )
  } catch (error) {
    const reason = unavailable(error).message
    unusable(codeOf((error as Error).cause) === 'NOPERM' ? `${reason}: ${aclLine(prefix)}` : reason)
    return findings
  }

  if (codeOf(hintsRefusal()) === 'NOPERM')
    advise(
      `the Redis user may not SUBSCRIBE to ${keys.hints}, so revocations of other instances are noticed within a second instead of at once; it needs: ${aclLine(prefix)}`,
    )

  const offset = runner.clockOffset(systemClock())
  if (hasServerClock && offset !== undefined && Math.abs(offset) > MAX_CLOCK_OFFSET)
    unusable(
      `the clock of this machine and that of Redis differ by ${Math.round(Math.abs(offset))} s; at most ${MAX_CLOCK_OFFSET} are allowed: keep both with NTP`,
    )

  const servers = await Promise.all(serversOf(client).map((server) => infoOf(server, deadline)))
  for (const info of servers) {
    if (info === undefined) {
      advise('the Redis user may not run INFO, so version, maxmemory-policy and persistence are not checked')
      continue
    }
    const problem = problemOfVersion(info)
    if (problem !== undefined) unusable(problem)
    const policy = info.get('maxmemory_policy')
    if (policy !== undefined && policy !== 'noeviction')
      unusable(
        `maxmemory-policy is ${policy}, so Redis may throw away keys, families and revocations; set it to noeviction`,
      )
    if (hasScriptFlaw(info))
      advise(
        `Redis ${info.get('redis_version')} may have the flaw CVE-2025-49844 in its Lua (fixed in 6.2.20, 7.2.11, 7.4.6, 8.0.4, 8.2.2; distributions fix it without changing the version): keep it up to date`,
      )
    if (info.get('aof_enabled') === '0')
      advise(
        'appendonly is off: a restart of Redis loses what was written since its last snapshot; set "appendonly yes"',
      )
  }
  if (await mayDoMore(client, deadline))
    advise(`the Redis user may do more than it needs; this is all: ${aclLine(prefix)}`)
  return findings
}

function serversOf(client: RedisClient): RedisClient[] {
  return 'nodes' in client ? client.nodes('master') : [client]
}

/** INFO as a map, or `undefined` where that is not allowed or not answered in time. */
async function infoOf(
  server: RedisClient,
  deadline: number,
): Promise<ReadonlyMap<string, string> | undefined> {
  const text = await answerOf(server.call('INFO'), deadline)
  if (typeof text !== 'string') return undefined
  return new Map(
    text.split('\r\n').flatMap((line): [string, string][] => {
      const colon = line.indexOf(':')
      return colon > 0 ? [[line.slice(0, colon), line.slice(colon + 1)]] : []
    }),
  )
}

function problemOfVersion(info: ReadonlyMap<string, string>): string | undefined {
  if (info.has('valkey_version')) return undefined
  const version = info.get('redis_version') ?? ''
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 6 || (major === 6 && minor >= 2)
    ? undefined
    : `Redis ${version} is too old; 6.2 or newer, or Valkey, is needed`
}

function hasScriptFlaw(info: ReadonlyMap<string, string>): boolean {
  if (info.has('valkey_version')) return false
  const [major = 0, minor = 0, patch = 0] = (info.get('redis_version') ?? '').split('.').map(Number)
  const fixed: Record<string, number> = { '6.2': 20, '7.2': 11, '7.4': 6, '8.0': 4, '8.2': 2 }
  const patched = fixed[`${major}.${minor}`]
  return patched === undefined ? major < 8 : patch < patched
}

/** A user that may read the server's settings is not the one that the README makes. */
async function mayDoMore(client: RedisClient, deadline: number): Promise<boolean> {
  const [server] = serversOf(client)
  return (
    server !== undefined && Array.isArray(await answerOf(server.call('CONFIG', 'GET', 'maxmemory'), deadline))
  )
}

/** @param deadline ms @returns `undefined` where there is no answer, or none in time */
async function answerOf(asked: Promise<unknown>, deadline: number): Promise<unknown> {
  return inTime(asked, deadline / 1000, 'Redis').catch(() => undefined)
}
