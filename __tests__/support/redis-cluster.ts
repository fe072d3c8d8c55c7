import type { RedisServer, RedisServerOptions } from './redis-process.ts'
import { startRedis } from './redis-process.ts'
import { until } from './until.ts'

export interface ClusterOptions {
  /** Primaries. Default 3. */
  nodes?: number
  /** For each primary. Default 0. */
  replicas?: number
  /** More arguments of each node. */
  args?: string[]
  persistence?: RedisServerOptions['persistence']
  /** ms of silence after which a node counts as failed. Default 1000. */
  nodeTimeout?: number
}

/**
 * How far moveSlot() is. `open`: both nodes know of the move, every key is still at the source. `key_moved`: after each
 * key. `keys_moved`: no key is at the source any more, which now answers ASK for everything. `target_owns`: the target
 * counts as the owner and the source does not know yet.
 */
export type SlotPhase = 'open' | 'key_moved' | 'keys_moved' | 'target_owns'

const SLOTS = 16_384

/** A real Redis Cluster; `nodes` are its primaries, `replicas` the replicas of each. */
export class RedisCluster {
  readonly nodes: RedisServer[]
  readonly replicas: RedisServer[][] = []
  readonly #ids = new Map<RedisServer, string>()

  constructor(nodes: RedisServer[]) {
    this.nodes = nodes
  }

  get all(): RedisServer[] {
    return [...this.nodes, ...this.replicas.flat()]
  }

  get ports(): number[] {
    return this.nodes.map(({ port }) => port)
  }

  /** For `new Cluster(addresses)`. */
  get addresses(): { host: string; port: number }[] {
    return this.nodes.map(({ address }) => address)
  }

  /** The slot of a key. */
  slotOf(key: string): Promise<number> {
    return this.#anyone().send('CLUSTER', 'KEYSLOT', key)
  }

  /** The node that owns a slot, as a node that runs sees it. */
  async ownerOf(slot: number): Promise<RedisServer> {
    const ranges: [number, number, [string, number]][] = await this.#anyone().send('CLUSTER', 'SLOTS')
    const port = ranges.find(([first, last]) => first <= slot && slot <= last)?.[2][1]
    const owner = this.all.find((node) => node.port === port)
    if (owner === undefined) throw new Error(`nobody owns slot ${slot}`)
    return owner
  }

  /**
   * Moves a slot with its keys to another node by the real protocol, key by key. The hook is awaited between the steps;
   * while it runs the move stands still.
   */
  async moveSlot(
    slot: number,
    to: RedisServer,
    hook: (phase: SlotPhase, key?: string) => unknown = () => {},
  ): Promise<void> {
    const from = await this.ownerOf(slot)
    if (from === to) return
    await to.send('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await this.idOf(from))
    await from.send('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await this.idOf(to))
    await hook('open')
    for (;;) {
      const [key]: string[] = await from.send('CLUSTER', 'GETKEYSINSLOT', slot, 1)
      if (key === undefined) break
      await from.send('MIGRATE', '127.0.0.1', to.port, key, 0, 5_000)
      await hook('key_moved', key)
    }
    await hook('keys_moved')
    const owner = await this.idOf(to)
    await to.send('CLUSTER', 'SETSLOT', slot, 'NODE', owner)
    await hook('target_owns')
    for (const node of this.nodes.filter((one) => one !== to && one.runs))
      await node.send('CLUSTER', 'SETSLOT', slot, 'NODE', owner)
  }

  /** kill -9 of the i-th primary; restart() of `nodes[i]` brings it back. */
  async stopNode(index: number): Promise<void> {
    await this.nodes[index]?.kill()
  }

  /** Makes a replica the primary of its slots: orderly, or, where the primary is gone, at once ('TAKEOVER'). */
  async failover(replica: RedisServer, how: 'orderly' | 'TAKEOVER' = 'orderly'): Promise<void> {
    await replica.send('CLUSTER', 'FAILOVER', ...(how === 'orderly' ? [] : [how]))
    await until('the replica is a primary', async () => (await replica.send('ROLE'))[0] === 'master')
  }

  async idOf(node: RedisServer): Promise<string> {
    const id = this.#ids.get(node) ?? (await node.send('CLUSTER', 'MYID'))
    this.#ids.set(node, id)
    return id
  }

  /** Waits until every node that runs says that the cluster works, and knows `known` nodes. */
  async isOk(known = this.all.length): Promise<void> {
    for (const node of this.all.filter(({ runs }) => runs))
      await until(
        'the cluster works',
        async () => {
          const info: string = await node.send('CLUSTER', 'INFO')
          return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${known}\r`)
        },
        { timeout: 20_000, every: 20 },
      )
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((node) => node.stop()))
  }

  #anyone(): RedisServer {
    const node = this.nodes.find(({ runs }) => runs)
    if (node === undefined) throw new Error('no node runs')
    return node
  }
}

export async function startCluster(options: ClusterOptions = {}): Promise<RedisCluster> {
  const { nodes = 3, replicas = 0, args = [], persistence = 'none', nodeTimeout = 1_000 } = options
  const start = () =>
    startRedis({
      // The nodes talk to each other on a second port.
      portOffsets: [10_000],
      persistence,
      args: [
        ...['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf'],
        ...['--cluster-node-timeout', String(nodeTimeout), '--cluster-announce-ip', '127.0.0.1'],
        ...['--repl-diskless-sync-delay', '0'],
        ...args,
      ],
    })
  const cluster = new RedisCluster(await Promise.all(Array.from({ length: nodes }, start)))
  try {
    for (const [index, node] of cluster.nodes.entries()) {
      // Nodes with one epoch would have to settle first who is who.
      await node.send('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
      const first = Math.ceil((index * SLOTS) / nodes)
      const last = Math.ceil(((index + 1) * SLOTS) / nodes) - 1
      await addSlots(node, first, last)
    }
    await meet(cluster.nodes)
    for (let index = 0; index < nodes; index++)
      cluster.replicas.push(await Promise.all(Array.from({ length: replicas }, start)))
    if (replicas > 0) await attachReplicas(cluster)
    await cluster.isOk()
    return cluster
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

async function addSlots(node: RedisServer, first: number, last: number): Promise<void> {
  try {
    await node.send('CLUSTER', 'ADDSLOTSRANGE', first, last)
  } catch {
    // Redis 6.2 takes them one by one.
    const slots = Array.from({ length: last - first + 1 }, (_, index) => first + index)
    await node.send('CLUSTER', 'ADDSLOTS', ...slots)
  }
}

/** Everybody meets everybody: quicker than to wait until the word has spread. */
async function meet(nodes: RedisServer[]): Promise<void> {
  for (const [index, node] of nodes.entries())
    for (const other of nodes.slice(index + 1)) await node.send('CLUSTER', 'MEET', '127.0.0.1', other.port)
}

async function attachReplicas(cluster: RedisCluster): Promise<void> {
  await meet(cluster.all)
  for (const [index, primary] of cluster.nodes.entries()) {
    const id = await cluster.idOf(primary)
    for (const replica of cluster.replicas[index] ?? []) {
      await until(
        'the replica knows its primary',
        async () => (await replica.send('CLUSTER', 'REPLICATE', id)) === 'OK',
      )
      await until(
        'the replica is linked',
        async () => (await replica.info('replication')).master_link_status === 'up',
      )
    }
  }
}
