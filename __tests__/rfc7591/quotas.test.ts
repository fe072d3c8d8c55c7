import { expect, test } from '@jest/globals'
import type { AatOptions, RegistrationQuotaOptions } from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { makeSharedStores, makeStores } from '../support/stores.ts'
import {
  manualClock,
  readAnswer,
  startWorld,
  type TokenAnswer,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const NONE = { perSource: false, perRedirectHost: false, global: false } as const

async function withWorld(
  quotas: RegistrationQuotaOptions | undefined,
  run: (world: World) => Promise<unknown>,
  more: WorldOptions = {},
): Promise<void> {
  const world = await startWorld({
    before: (app) => app.set('trust proxy', 1),
    ...more,
    aat: {
      registration: {
        policies: { other: {} },
        ...(quotas !== undefined && { quotas: { ...NONE, ...quotas } }),
      },
      ...(more.aat as Partial<AatOptions>),
    },
  })
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

async function register(
  world: World,
  source: string,
  uris: string[] = ['https://app.example/cb'],
  headers: Record<string, string> = {},
): Promise<TokenAnswer> {
  return readAnswer(
    await fetch(world.endpoint('register'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Forwarded-For': source, ...headers },
      body: JSON.stringify({ redirect_uris: uris, token_endpoint_auth_method: 'none' }),
    }),
  )
}

/** Statuses of several, one after the other. */
async function statuses(run: () => Promise<TokenAnswer>, count: number): Promise<number[]> {
  const found: number[] = []
  for (let index = 0; index < count; index++) found.push((await run()).status)
  return found
}

function expectTooMany(answer: TokenAnswer, seconds: number): void {
  expect([answer.status, answer.body.error]).toEqual([429, 'temporarily_unavailable'])
  expect(answer.headers.get('retry-after')).toBe(String(seconds))
}

test('perSource: so many from one address in a window, an IPv6 network being one', () =>
  withWorld({ perSource: { limit: 3, windowSeconds: 100 } }, async (world) => {
    expect(await statuses(() => register(world, '192.0.2.1'), 4)).toEqual([201, 201, 201, 429])
    expect((await register(world, '192.0.2.2')).status).toBe(201)
    let host = 1
    expect(await statuses(() => register(world, `2001:db8::${host++}`), 4)).toEqual([201, 201, 201, 429])
    world.clock.advance(40)
    expectTooMany(await register(world, '192.0.2.1'), 60)
    world.clock.advance(60)
    expect((await register(world, '192.0.2.1')).status).toBe(201)
  }))

test('by default 100 an hour from one address', () =>
  withWorld(undefined, async (world) => {
    const answers = await Promise.all(Array.from({ length: 101 }, () => register(world, '192.0.2.1')))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(100)
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(1)
    expectTooMany(refused[0] as TokenAnswer, 3600)
  }))

test('perRedirectHost: each host of a registration counts once, and one source has a tenth of it', () =>
  withWorld({ perRedirectHost: { limit: 20, windowSeconds: 100 } }, async (world) => {
    const twice = ['https://app.example/1', 'https://app.example/2']
    // One source alone comes to two, and shuts nobody out.
    expect(await statuses(() => register(world, '192.0.2.1', twice), 4)).toEqual([201, 201, 429, 429])
    for (let source = 2; source <= 10; source++)
      expect(await statuses(() => register(world, `192.0.2.${source}`), 2)).toEqual([201, 201])
    expectTooMany(await register(world, '192.0.2.99'), 100)
    expectTooMany(
      await register(world, '192.0.2.99', ['https://other.example/cb', 'https://app.example/cb']),
      100,
    )
    // What that one would have counted for the other host is not counted.
    expect(await statuses(() => register(world, '192.0.2.99', ['https://other.example/cb']), 2)).toEqual([
      201, 201,
    ])
    expect((await register(world, '192.0.2.99', ['https://app.example:8443/cb'])).status).toBe(201)
  }))

test('no number of sources uses up the loopback host or a private-use scheme for others', () =>
  withWorld({ perRedirectHost: { limit: 20, windowSeconds: 100 } }, async (world) => {
    for (const uris of [['http://127.0.0.1/cb', 'http://localhost/cb'], ['com.example.app:/cb']]) {
      for (let source = 1; source <= 30; source++)
        expect(await statuses(() => register(world, `192.0.2.${source}`, uris), 3)).toEqual([201, 201, 429])
      expect((await register(world, '192.0.2.99', uris)).status).toBe(201)
    }
  }))

test('global: whoever asks, for each policy by itself', () =>
  withWorld(
    { perSource: { limit: 1, windowSeconds: 1000 }, global: { limit: 2, windowSeconds: 100 } },
    async (world) => {
      const { token } = await world.aat.initialAccessTokens.create({ policy: 'other', uses: 5 })
      const holder = { Authorization: `Bearer ${token}` }
      for (const source of ['192.0.2.1', '192.0.2.2'])
        expect((await register(world, source)).status).toBe(201)
      expectTooMany(await register(world, '192.0.2.3'), 100)
      // A flood of strangers leaves partners alone; who has uses is not counted by source.
      expect(await statuses(() => register(world, '192.0.2.9', undefined, holder), 3)).toEqual([
        201, 201, 429,
      ])
      expect((await world.aat.initialAccessTokens.list()).tokens[0]?.used).toBe(2)
      world.clock.advance(100)
      // The one that was refused by the server's quota has not used its own.
      expect((await register(world, '192.0.2.3')).status).toBe(201)
      expectTooMany(await register(world, '192.0.2.3'), 900)
    },
    { dcr: { allow: ['initial-access-token', 'anyone'] } },
  ))

test('what is refused for another reason is not counted', () =>
  withWorld({ perSource: { limit: 1, windowSeconds: 100 } }, async (world) => {
    for (const uris of [['javascript:alert(1)'], ['http://a.example'], []])
      expect((await register(world, '192.0.2.1', uris)).status).toBe(400)
    expect(await statuses(() => register(world, '192.0.2.1'), 2)).toEqual([201, 429])
    expect(world.eventsNamed('registration.refused').at(-1)).toMatchObject({
      reason: 'too many registrations from this source, try again later',
    })
  }))

test('DCR-047: instances count together', async () => {
  const clock = manualClock()
  const makeStores = await makeSharedStores(clock)
  const start = () =>
    startWorld({
      clock,
      stores: makeStores(),
      issuer: 'http://127.0.0.1:1',
      before: (app) => app.set('trust proxy', 1),
      aat: { registration: { quotas: { perSource: { limit: 10 } } } },
    })
  const worlds = [await start(), await start()]
  try {
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => register(worlds[index % 2] as World, '192.0.2.1')),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(10)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(20)
  } finally {
    for (const world of worlds) await world.close()
  }
})

test('counters that cannot be reached are 503, and what was counted is given back', async () => {
  const clock = manualClock()
  const stores = await makeStores(clock)
  let broken = true
  let calls = 0
  const take: typeof stores.counters.take = async (...parameters) => {
    if (broken && ++calls % 2 === 0) throw new StoreUnavailable('away')
    return stores.counters.take(...parameters)
  }
  await withWorld(
    { perSource: { limit: 1 }, global: { limit: 1 } },
    async (world) => {
      const { status, headers } = await register(world, '192.0.2.1')
      expect([status, headers.get('retry-after')]).toEqual([503, '1'])
      broken = false
      expect(await statuses(() => register(world, '192.0.2.1'), 2)).toEqual([201, 429])
    },
    { clock, stores: { ...stores, counters: { ...stores.counters, take } } },
  )
})
