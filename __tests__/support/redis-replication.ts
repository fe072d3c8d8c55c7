import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { RedisServer, type RedisServerOptions, sendTo, startRedis } from './redis-process.ts'
import { until } from './until.ts'

export interface ReplicatedOptions {
  replicas?: number
  /** 0 (default): the test promotes by hand. 1 or 3: they watch `mymaster` and promote. */
  sentinels?: 0 | 1 | 3
  /** More arguments of each server that holds data. */
  args?: string[]
  persistence?: RedisServerOptions['persistence']
  /** ms of silence after which Sentinel takes a server for dead. Default 500. */
  downAfter?: number
}

const NAME = 'mymaster'

/** A primary with replicas, with or without Sentinel. */
export class ReplicatedRedis {
  readonly name = NAME
  readonly servers: RedisServer[]
  readonly sentinels: RedisServer[] = []
  readonly #auth = new Map<RedisServer, [string, string]>()
  #primary: RedisServer

  constructor(primary: RedisServer, replicas: RedisServer[]) {
    this.#primary = primary
    this.servers = [primary, ...replicas]
  }

  /** The server that is the primary since the last failover(), promote() or newPrimary(). */
  get primary(): RedisServer {
    return this.#primary
  }

  get replicas(): RedisServer[] {
    return this.servers.filter((server) => server !== this.#primary)
  }

  /** For `new Redis({ sentinels, name })`. */
  get sentinelAddresses(): { host: string; port: number }[] {
    return this.sentinels.map((sentinel) => sentinel.address)
  }

  /** Waits until each replica that is linked to the primary has everything the primary has. */
  async caughtUp(): Promise<void> {
    const offset = Number((await this.primary.info('replication')).master_repl_offset)
    for (const replica of this.replicas.filter((server) => server.runs))
      await until('the replica has caught up', async () => {
        const { master_repl_offset: at, master_link_status: link } = await replica.info('replication')
        return link === 'up' && Number(at) >= offset
      })
  }

  /**
   * From now on this replica gets nothing more from its primary, which goes on to acknowledge writes: those are lost
   * when this replica is promoted. (A mere SIGSTOP would not do: the kernel still takes the bytes for it.)
   */
  async cutReplication(replica = this.#replica()): Promise<void> {
    const get = async (name: string): Promise<string> => (await replica.send('CONFIG', 'GET', name))[1] ?? ''
    if (!this.#auth.has(replica)) this.#auth.set(replica, [await get('masteruser'), await get('masterauth')])
    await replica.send('CONFIG', 'SET', 'masteruser', 'nobody')
    await replica.send('CONFIG', 'SET', 'masterauth', 'wrong')
    await until('the link is down', async () => {
      await replica.send('CLIENT', 'KILL', 'TYPE', 'master')
      return (await replica.info('replication')).master_link_status === 'down'
    })
  }

  /** Ends cutReplication(); waits until the replica has its primary's data. */
  async joinReplication(replica = this.#replica()): Promise<void> {
    await this.#restoreAuth(replica)
    await this.caughtUp()
  }

  /**
   * The primary goes: by SIGKILL ('kill'), by SIGSTOP ('pause': it comes back with resume() and for a while takes itself
   * for the primary), or in an orderly way without loss ('handover'). Sentinel promotes, or, where there is none, this
   * does. Returns the new primary when it takes writes.
   */
  async failover(how: 'kill' | 'pause' | 'handover' = 'kill'): Promise<RedisServer> {
    const old = this.#primary
    const sentinel = this.sentinels.find(({ runs }) => runs)
    if (how === 'kill') await old.kill()
    if (how === 'pause') old.pause()
    if (sentinel === undefined) {
      if (how !== 'handover') return this.promote()
      await old.send('FAILOVER')
    } else if (how === 'handover') {
      await sentinel.send('SENTINEL', 'FAILOVER', NAME)
    }
    return this.newPrimary(old)
  }

  /** Makes this replica the primary by hand, and the other replicas follow it. The old primary is not told. */
  async promote(replica = this.#replica()): Promise<RedisServer> {
    const old = this.#primary
    await this.#restoreAuth(replica)
    await replica.send('REPLICAOF', 'NO', 'ONE')
    this.#primary = replica
    for (const other of this.replicas.filter((server) => server !== old && server.runs)) {
      await this.#restoreAuth(other)
      await other.send('REPLICAOF', '127.0.0.1', replica.port)
    }
    return replica
  }

  /** Waits until another server than `old` is the primary: all Sentinels say so where there are some. */
  async newPrimary(old: RedisServer): Promise<RedisServer> {
    this.#primary = await until(
      'there is a new primary',
      async () => {
        for (const server of this.servers.filter((one) => one !== old && one.runs)) {
          const [role] = await server.send('ROLE')
          if (role !== 'master') continue
          const said = await Promise.all(
            this.sentinels
              .filter(({ runs }) => runs)
              .map((one) => one.send('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)),
          )
          if (said.every(([, port]) => Number(port) === server.port)) return server
        }
        return undefined
      },
      { timeout: 20_000, every: 20 },
    )
    return this.#primary
  }

  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((server) => server.stop()))
  }

  #replica(): RedisServer {
    const [first] = this.replicas.filter((server) => server.runs)
    if (first === undefined) throw new Error('there is no replica')
    return first
  }

  async #restoreAuth(replica: RedisServer): Promise<void> {
    const [user, password] = this.#auth.get(replica) ?? []
    this.#auth.delete(replica)
    if (user === undefined || password === undefined) return
    await replica.send('CONFIG', 'SET', 'masteruser', user)
    await replica.send('CONFIG', 'SET', 'masterauth', password)
  }
}

export async function startReplicated(options: ReplicatedOptions = {}): Promise<ReplicatedRedis> {
  const { replicas = 1, sentinels = 0, args = [], persistence = 'none', downAfter = 500 } = options
  // No wait for more replicas before the first synchronisation starts.
  const quick = [
    '--repl-diskless-sync',
    'yes',
    '--repl-diskless-sync-delay',
    '0',
    '--repl-ping-replica-period',
    '1',
  ]
  const primary = await startRedis({ args: [...quick, ...args], persistence })
  const follow = ['--replicaof', '127.0.0.1', String(primary.port)]
  const set = new ReplicatedRedis(
    primary,
    await Promise.all(
      Array.from({ length: replicas }, () =>
        startRedis({ args: [...quick, ...follow, ...args], persistence }),
      ),
    ),
  )
  try {
    await set.caughtUp()
    for (let index = 0; index < sentinels; index++)
      set.sentinels.push(await startSentinel(primary.port, Math.floor(sentinels / 2) + 1, downAfter))
    await Promise.all(set.sentinels.map((sentinel) => knowsAll(sentinel, replicas, sentinels - 1)))
    return set
  } catch (error) {
    await set.stop()
    throw error
  }
}

async function startSentinel(primary: number, quorum: number, downAfter: number): Promise<RedisServer> {
  const port = await freePort()
  const sentinel = new RedisServer(port, { args: ['--sentinel'], configFile: 'sentinel.conf' })
  // Sentinel rewrites this file, so it has to be one, in the folder that it starts in.
  const lines = [
    `sentinel monitor ${NAME} 127.0.0.1 ${primary} ${quorum}`,
    `sentinel down-after-milliseconds ${NAME} ${downAfter}`,
    `sentinel failover-timeout ${NAME} 3000`,
    `sentinel parallel-syncs ${NAME} 5`,
  ]
  writeFileSync(join(sentinel.dir, 'sentinel.conf'), `${lines.join('\n')}\n`)
  if (!(await sentinel.start())) throw new Error(`port ${port} was taken meanwhile`)
  // Sentinels look around every few seconds; Redis 7 can be asked for more. Older ones just take longer.
  await sendTo(port, 'SENTINEL', 'DEBUG', 'info-period', 200, 'publish-period', 200).catch(() => {})
  return sentinel
}

/** Waits until a Sentinel knows the replicas and the other Sentinels: before that it cannot promote. */
async function knowsAll(sentinel: RedisServer, replicas: number, others: number): Promise<void> {
  const fields = (list: string[]) =>
    Object.fromEntries(list.flatMap((key, index) => (index % 2 === 0 ? [[key, list[index + 1]]] : [])))
  await until(
    'Sentinel knows everybody',
    async () => {
      const master = fields(await sentinel.send('SENTINEL', 'MASTER', NAME))
      const known: string[][] = await sentinel.send('SENTINEL', 'REPLICAS', NAME)
      const linked = known
        .map(fields)
        .filter((one) => one['master-link-status'] === 'ok' && one.flags === 'slave')
      return Number(master['num-other-sentinels']) === others && linked.length === replicas
    },
    { timeout: 20_000, every: 20 },
  )
}
