import { createServer, type Server, type Socket } from 'node:net'
import type { NatMap } from 'ioredis'
import { type FaultAction, FaultConnection, type ProxiedCommand } from './fault-connection.ts'
import { freePort } from './free-port.ts'

export type { FaultAction, ProxiedCommand } from './fault-connection.ts'

export interface FaultProxyOptions {
  /** For jitter and loss; a seeded one repeats a run. Default: Math.random. */
  random?: () => number
  /** Bytes of any protocol (a replica's link, TLS): whatever is not about commands works. Default: false. */
  raw?: boolean
}

/** Which commands: by name in any case, or by whatever a function sees in it. */
export type CommandMatch = string | ((command: ProxiedCommand) => boolean)

type Direction = 'both' | 'requests' | 'replies'

/**
 * A TCP proxy on a free port of the loopback interface in front of a Redis port, which does what networks do: at a
 * command of the test's choice (onCommand, next), or to everything (blackhole, latency, loss, refuse, cutAll).
 */
export class FaultProxy {
  readonly port: number
  readonly #server: Server
  readonly #connections = new Set<FaultConnection>()
  readonly #handlers: ((command: ProxiedCommand) => FaultAction | undefined)[] = []
  readonly #counts = new Map<string, number>()
  readonly #random: () => number
  readonly #isRaw: boolean
  #target: number
  #accepted = 0
  #commands = 0
  #replies = 0
  #blackholed: Direction | undefined
  #latency = { ms: 0, jitter: 0 }
  #loss = { probability: 0, stall: 0 }

  constructor(port: number, target: number, { random = Math.random, raw = false }: FaultProxyOptions) {
    this.port = port
    this.#target = target
    this.#random = random
    this.#isRaw = raw
    this.#server = createServer((socket) => this.#accept(socket))
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: this.port }
  }

  /** How many connections were accepted, and how many are open. */
  get accepted(): number {
    return this.#accepted
  }
  get open(): number {
    return this.#connections.size
  }

  /** How many commands came from clients, of one name or of all; handshakes count too. */
  count(name?: string): number {
    return name === undefined ? this.#commands : (this.#counts.get(name.toUpperCase()) ?? 0)
  }

  /** How many replies came from the server. */
  get replies(): number {
    return this.#replies
  }

  resetCounts(): void {
    this.#accepted = this.#commands = this.#replies = 0
    this.#counts.clear()
  }

  /**
   * Asked about each command before it is forwarded; the first handler's answer that is neither undefined nor 'pass'
   * counts. Returns a function that takes the handler away.
   */
  onCommand(handler: (command: ProxiedCommand) => FaultAction | undefined): () => void {
    this.#handlers.push(handler)
    return () => {
      const index = this.#handlers.indexOf(handler)
      if (index >= 0) this.#handlers.splice(index, 1)
    }
  }

  /** Does this to the next command that matches, once; resolves with it when it comes. */
  next(match: CommandMatch, action: FaultAction): Promise<ProxiedCommand> {
    return new Promise((resolve) => {
      const remove = this.onCommand((command) => {
        if (!matches(match, command)) return undefined
        remove()
        resolve(command)
        return action
      })
    })
  }

  /** Does this to every command that matches; returns a function that ends it. */
  always(match: CommandMatch, action: FaultAction): () => void {
    return this.onCommand((command) => (matches(match, command) ? action : undefined))
  }

  /**
   * From now on nothing gets through, the sockets stay open, and new connections are accepted by nobody's hand: half-open
   * TCP. 'requests' or 'replies' does it in one direction only. Ends with release().
   */
  blackhole(direction: Direction = 'both'): void {
    this.#blackholed = direction
    for (const connection of this.#connections) this.#hold(connection)
  }

  /**
   * Ends blackhole(), and what 'swallow_request' and 'swallow_reply' hold back. With `deliver` (the default) everything
   * held is delivered now: requests of clients that have given up and gone are executed too. Without it the held
   * bytes are dropped, and the connections that lost some are cut, since TCP never goes on after a hole.
   */
  release({ deliver = true }: { deliver?: boolean } = {}): void {
    this.#blackholed = undefined
    for (const connection of [...this.#connections]) {
      const pipes = [connection.requests, connection.replies]
      if (!deliver && pipes.some((pipe) => pipe.held && pipe.hasBytes)) connection.cut()
      else for (const pipe of pipes) pipe.release()
    }
  }

  /** Each chunk needs so many ms in each direction, and up to `jitter` ms more; the order stays. */
  latency(ms: number, jitter = 0): void {
    this.#latency = { ms, jitter }
  }

  /** Each chunk is lost with this probability, which TCP shows as a wait until it is sent again. */
  loss(probability: number, stall = 200): void {
    this.#loss = { probability, stall }
  }

  /** Whether new connections are refused by the operating system (ECONNREFUSED); open ones stay. */
  async refuse(refuses = true): Promise<void> {
    if (refuses === !this.#server.listening) return
    // Not its callback: that waits for the end of every open connection.
    if (refuses) this.#server.close()
    else await listen(this.#server, this.port)
  }

  /** New connections go to this port: an address that moves to another server. */
  retarget(port: number): void {
    this.#target = port
  }

  cutAll(): void {
    for (const connection of [...this.#connections]) connection.cut()
  }

  async close(): Promise<void> {
    for (const connection of [...this.#connections]) connection.destroy()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
    open.delete(this)
  }

  /** For startFaultProxy(). */
  async start(): Promise<void> {
    await listen(this.#server, this.port)
    open.add(this)
  }

  #accept(socket: Socket): void {
    const connection = new FaultConnection(this.#accepted++, socket, this.#target, {
      decide: this.#isRaw ? undefined : (command) => this.#decide(command),
      transit: () => this.#transit(),
      replied: () => {
        this.#replies++
      },
      ended: (ended) => this.#connections.delete(ended),
    })
    this.#connections.add(connection)
    if (this.#blackholed !== undefined) this.#hold(connection)
  }

  #hold(connection: FaultConnection): void {
    if (this.#blackholed !== 'replies') connection.requests.hold()
    if (this.#blackholed !== 'requests') connection.replies.hold()
  }

  #decide(seen: Omit<ProxiedCommand, 'total'>): FaultAction {
    const command = Object.assign(seen, { total: this.#commands++ })
    this.#counts.set(command.name, (this.#counts.get(command.name) ?? 0) + 1)
    for (const handler of [...this.#handlers]) {
      const action = handler(command)
      if (action !== undefined && action !== 'pass') return action
    }
    return 'pass'
  }

  #transit(): number {
    const stall = this.#random() < this.#loss.probability ? this.#loss.stall : 0
    return this.#latency.ms + this.#random() * this.#latency.jitter + stall
  }
}

const open = new Set<FaultProxy>()

/** A proxy in front of a port of the loopback interface. */
export async function startFaultProxy(target: number, options: FaultProxyOptions = {}): Promise<FaultProxy> {
  for (let attempt = 0; ; attempt++) {
    const proxy = new FaultProxy(await freePort(), target, options)
    try {
      await proxy.start()
      return proxy
    } catch (error) {
      if (attempt === 4) throw error
    }
  }
}

/** Closes every proxy of this test file that is still open. */
export async function closeAllProxies(): Promise<void> {
  await Promise.all([...open].map((proxy) => proxy.close()))
}

/** ioredis' natMap: a Cluster's or a Sentinel set's servers are reached through these proxies. */
export function natMapThrough(pairs: [server: { port: number }, proxy: FaultProxy][]): NatMap {
  return Object.fromEntries(pairs.map(([server, proxy]) => [`127.0.0.1:${server.port}`, proxy.address]))
}

function matches(match: CommandMatch, command: ProxiedCommand): boolean {
  return typeof match === 'string' ? command.name === match.toUpperCase() : match(command)
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject)
      resolve()
    })
  })
}
