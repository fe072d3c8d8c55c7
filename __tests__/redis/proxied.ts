import { afterEach, beforeEach } from '@jest/globals'
import { Redis } from 'ioredis'
import { type FaultProxy, type FaultProxyOptions, startFaultProxy } from '../support/fault-proxy.ts'
import { type ClientOptions, type RedisServer, sharedRedis } from '../support/redis-servers.ts'

/** The file's server, empty before each test, behind a new proxy for each test. */
export class Proxied {
  server!: RedisServer
  proxy!: FaultProxy
  readonly #clients: Redis[] = []

  constructor(options?: FaultProxyOptions) {
    beforeEach(async () => {
      const shared = await sharedRedis()
      await shared.flush()
      this.server = shared
      this.proxy = await startFaultProxy(shared.port, options)
    })
    afterEach(async () => {
      for (const client of this.#clients.splice(0)) client.disconnect()
      await this.proxy.close()
    })
  }

  /** A client through the proxy. */
  client(options: ClientOptions = {}): Redis {
    const all: ClientOptions = { retryStrategy: () => 10, disconnectTimeout: 50, ...options }
    const client = new Redis({ ...this.proxy.address, ...all })
    client.on('error', () => {})
    this.#clients.push(client)
    return client
  }

  /** The same, ready. */
  async connected(options?: ClientOptions): Promise<Redis> {
    const client = this.client(options)
    await client.ping()
    return client
  }

  /** What the server has, asked past the proxy. */
  stored(key: string): Promise<string | null> {
    return this.server.send('GET', key)
  }
}

export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([promise.catch(() => undefined), Promise.resolve(pending)])) === pending
}
