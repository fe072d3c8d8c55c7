import { expect } from '@jest/globals'
import { type Cluster, Redis } from 'ioredis'
import type { AatEvent } from '../../lib/index.ts'
import { type RedisStoresOptions, redisStores } from '../../lib/redis.ts'
import { until } from '../support/until.ts'
import {
  type ManualClock,
  startWorld,
  type TokenAnswer,
  type World,
  type WorldOptions,
} from '../support/world.ts'

/** The machine's clock, as Redis has its own; `advance` sets it that much further ahead. */
export function machineClock(): ManualClock {
  const clock = Object.assign(() => Date.now() / 1000 + clock.now, {
    now: 0,
    advance(seconds: number) {
      clock.now += seconds
    },
  })
  return clock
}

export type Connect = () => Redis | Cluster
export interface InstanceOptions extends WorldOptions {
  redis?: RedisStoresOptions
  connect?: Connect
}

/** A client of ioredis for a server or a proxy; the stores duplicate it, so it never connects itself. */
export function to({ port }: { port: number }): Connect {
  return () => new Redis({ host: '127.0.0.1', port, lazyConnect: true })
}

/** Instances of one issuer over a real Redis. */
export class Instances {
  readonly worlds: World[] = []
  readonly #connect: Connect
  readonly #options: InstanceOptions
  readonly #closed = new Set<World>()

  constructor(connect: Connect, options: InstanceOptions = {}) {
    this.#connect = connect
    this.#options = options
  }

  async start(more: InstanceOptions = {}): Promise<World> {
    const { redis, connect = this.#connect, ...options } = { ...this.#options, ...more }
    const client = connect()
    client.on('error', () => undefined)
    const [first] = this.worlds
    const world = await startWorld({
      clock: machineClock(),
      dcr: { allow: () => true },
      stores: redisStores(client, { deadline: 2000, ...redis }),
      ...(first !== undefined && { issuer: first.issuer }),
      ...options,
    })
    this.worlds.push(world)
    return world
  }

  async startMany(count: number): Promise<World[]> {
    while (this.worlds.length < count) await this.start()
    return this.worlds
  }

  async stop(world: World): Promise<void> {
    if (this.#closed.has(world)) return
    this.#closed.add(world)
    await world.close()
  }

  eventsNamed<N extends AatEvent['name']>(name: N): Extract<AatEvent, { name: N }>[] {
    return this.worlds.flatMap((world) => world.eventsNamed(name) as Extract<AatEvent, { name: N }>[])
  }

  async close(): Promise<void> {
    for (const world of this.worlds) await this.stop(world)
  }
}

/** A client with its tokens, which does what clients do: where it gets 503 or nothing, it asks again. */
export class Holder {
  /** Every refresh token that it had, the current one last. */
  readonly tokens: string[] = []
  access = ''
  /** Answers that said to come again later. */
  unavailable = 0
  /** ms that it once waited for a good answer. */
  longestWait = 0

  get token(): string {
    return this.tokens.at(-1) ?? ''
  }

  get grantId(): string {
    return Buffer.from(this.token.slice('aat_rt_'.length), 'base64url').subarray(0, 16).toString('base64url')
  }

  take({ body }: TokenAnswer): void {
    this.access = body.access_token
    if (body.refresh_token !== this.token) this.tokens.push(body.refresh_token)
  }

  /** Refreshes, by whichever instance; anything but 200 in the end fails the test. */
  async refresh(worlds: World | World[], timeout = 15_000): Promise<TokenAnswer> {
    const all = [worlds].flat()
    const began = performance.now()
    let turn = Math.floor(Math.random() * all.length)
    const answer = await until(
      'a refresh is answered',
      async () => {
        const said = await (all[turn++ % all.length] as World).refresh(this.token)
        if (said.status !== 503) return said
        this.unavailable++
        return false
      },
      { every: 20, timeout },
    )
    expect(`${answer.status} ${answer.text}`).toMatch(/^200 /)
    this.longestWait = Math.max(this.longestWait, performance.now() - began)
    this.take(answer)
    return answer
  }
}

/** Users that signed in at an instance, each with a family of its own. */
export async function signIn(world: World, count: number, scope = 'a'): Promise<Holder[]> {
  const { browser } = await world.authorize({ scope })
  const holders: Holder[] = []
  for (let index = 0; index < count; index++) {
    const answer = await world.signInAndGetTokens({ scope }, {}, { browser })
    expect(answer.status).toBe(200)
    const holder = new Holder()
    holder.take(answer)
    holders.push(holder)
  }
  return holders
}

/** What a spent, stolen or unknown refresh token gets. */
export async function expectInvalidGrant(world: World, token: string): Promise<void> {
  const { status, body } = await world.refresh(token)
  expect({ status, error: body?.error }).toEqual({ status: 400, error: 'invalid_grant' })
}

export function kidsOf(world: World): Promise<string[]> {
  return world
    .call('/.well-known/jwks.json')
    .then(({ body }) => body.keys.map(({ kid }: { kid: string }) => kid))
}
