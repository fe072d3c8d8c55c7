import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { findRedis } from '../../scripts/ensure-redis.js'
import { isGone, reapAtExit } from './child-reaper.js'
import { freePort } from './free-port.ts'
import { until } from './until.ts'

export interface RedisServerOptions {
  /** More arguments of redis-server; they win over the defaults: `['--maxmemory', '4mb']`. */
  args?: string[]
  /** Default: a free one. */
  port?: number
  /** What a restart brings back: nothing (default), the append-only file, or the last SAVE. */
  persistence?: 'none' | 'aof' | 'rdb'
  /** The server's folder. Default: one of its own in the temp folder, removed by stop(). */
  dir?: string
  /** A configuration file, the first argument; Sentinel needs one. */
  configFile?: string
  /** Ports beside `port` that must be free too, as offsets. */
  portOffsets?: number[]
}

const PERSISTENCE = {
  none: ['--save', '', '--appendonly', 'no'],
  aof: ['--save', '', '--appendonly', 'yes'],
  // Never by itself within a test: only SAVE writes the file.
  rdb: ['--save', '86400 1', '--appendonly', 'no'],
}

// biome-ignore lint/suspicious/noExplicitAny: a reply is whatever the command answers
export type Reply = any

/** The default of 2 s would keep a test process alive when a client's connection is gone already. */
export const QUICK_END = { disconnectTimeout: 50 }
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>

const running = new Set<RedisServer>()

/** A real server as a child process, on 127.0.0.1 only. */
export class RedisServer {
  readonly port: number
  readonly dir: string
  readonly #command: string[]
  readonly #ownsDir: boolean
  readonly #clients = new Set<Redis>()
  #child: ChildProcess | undefined
  #output = ''

  constructor(port: number, { args = [], persistence = 'none', dir, configFile }: RedisServerOptions) {
    this.port = port
    this.#ownsDir = dir === undefined
    this.dir = dir ?? mkdtempSync(join(tmpdir(), 'aat-redis-'))
    this.#command = [
      ...(configFile === undefined ? [] : [configFile]),
      ...['--port', String(port), '--bind', '127.0.0.1', '--protected-mode', 'yes', '--daemonize', 'no'],
      ...['--dir', this.dir, '--loglevel', 'warning', '--maxmemory-policy', 'noeviction'],
      ...PERSISTENCE[persistence],
      ...args,
    ]
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get address(): { host: string; port: number } {
    return { host: '127.0.0.1', port: this.port }
  }

  /** Of the process that runs now; throws when none does. */
  get pid(): number {
    const pid = this.#child?.pid
    if (pid === undefined) throw new Error(`redis-server on ${this.port} does not run`)
    return pid
  }

  get runs(): boolean {
    return this.#child !== undefined
  }

  /** Starts the process and waits until it answers, loading done; false when its port is another's. */
  async start(): Promise<boolean> {
    if (this.#child !== undefined) throw new Error(`redis-server on ${this.port} runs already`)
    const program = process.env.REDIS_SERVER ?? findRedis()
    if (program === undefined) throw new Error('no redis-server: run scripts/ensure-redis.js')
    this.#output = ''
    const child = spawn(program, this.#command, { stdio: ['ignore', 'pipe', 'pipe'], cwd: this.dir })
    this.#child = child
    running.add(this)
    const note = (chunk: Buffer) => {
      this.#output = (this.#output + chunk).slice(-4_000)
    }
    child.stdout?.on('data', note)
    child.stderr?.on('data', note)
    child.once('error', (error) => {
      this.#output = error.message
      if (child.pid === undefined) this.#child = undefined
    })
    child.once('close', () => {
      if (child.pid !== undefined) isGone(child.pid)
      if (this.#child === child) this.#child = undefined
    })
    if (child.pid !== undefined) reapAtExit(child.pid, this.#ownsDir ? this.dir : '')
    await until(
      `redis-server on ${this.port} answers`,
      async () => {
        if (this.#child === undefined) return 'ended'
        const info: string = await this.send('INFO')
        // Another process' server may sit on this port: only our own one counts.
        return info.includes(`process_id:${child.pid}\r`) && !info.includes('loading:1')
      },
      { every: 5 },
    )
    if (this.#child !== undefined) return true
    if (/Address already in use|Failed listening/i.test(this.#output)) return false
    throw new Error(`redis-server did not start: ${this.#output.trim()}`)
  }

  /** Sends a signal; waits for the end where the signal ends it. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill(signal)
    if (signal === 'SIGKILL' || signal === 'SIGTERM' || signal === 'SIGINT') await ended
  }

  /** Ends it for good: kill -9, its clients disconnected, its folder removed. */
  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect()
    this.#clients.clear()
    await this.kill()
    running.delete(this)
    if (this.#ownsDir) rmSync(this.dir, { recursive: true, force: true })
  }

  /** Ends it (by kill -9 unless told otherwise; SIGTERM is an orderly end) and starts it again on the same port. */
  async restart(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await this.kill(signal)
    if (!(await this.start())) throw new Error(`port ${this.port} was taken meanwhile`)
  }

  /** SIGSTOP: the sockets stay open, the kernel goes on to take what is sent, nothing answers. */
  pause(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  /** SIGCONT: everything that was sent in between is executed now. */
  resume(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  /** A plain ioredis for the test's own use; disconnected by stop(). */
  client(options: ClientOptions = {}): Redis {
    const client = new Redis({ ...QUICK_END, ...this.address, ...options })
    client.on('error', () => {}) // A test that kills servers sees the failures at its commands.
    this.#clients.add(client)
    return client
  }

  /** One command on a connection of its own, without retries. */
  send(...command: [string, ...(string | number | Buffer)[]]): Promise<Reply> {
    return sendTo(this.port, ...command)
  }

  /** The fields of INFO. */
  async info(section = 'everything'): Promise<Record<string, string>> {
    const text: string = await this.send('INFO', section)
    return Object.fromEntries(
      text.split('\r\n').flatMap((line) => {
        const colon = line.indexOf(':')
        return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1)]]
      }),
    )
  }
}

/** One command to a port of the loopback interface, on a connection of its own, without retries. */
export async function sendTo(
  port: number,
  ...[name, ...args]: [string, ...(string | number | Buffer)[]]
): Promise<Reply> {
  const client = new Redis({
    ...QUICK_END,
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    protocol: 2,
    retryStrategy: null,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: 2_000,
    commandTimeout: 5_000,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return await client.call(name, args as string[])
  } finally {
    client.disconnect()
  }
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const server = new RedisServer(options.port ?? (await freePort(options.portOffsets)), options)
    try {
      if (await server.start()) return server
    } catch (error) {
      await server.stop()
      throw error
    }
    await server.stop()
    if (options.port !== undefined) break
  }
  throw new Error(`no redis-server could be started on port ${options.port ?? 'any'}: taken`)
}

/** Stops every server of this test file that still runs. */
export async function stopAllServers(): Promise<void> {
  await Promise.all([...running].map((server) => server.stop()))
}
