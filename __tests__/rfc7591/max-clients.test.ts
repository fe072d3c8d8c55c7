import { expect, test } from '@jest/globals'
import type { RegistrationPolicyOptions } from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import type { Stores } from '../../lib/stores/ports.ts'
import { makeStores } from '../support/stores.ts'
import { until } from '../support/until.ts'
import { basic, manualClock, startWorld, type World, type WorldOptions } from '../support/world.ts'

const uri = 'https://app.example/cb'
const app = { redirect_uris: [uri], token_endpoint_auth_method: 'none' }

async function withWorld(
  policy: RegistrationPolicyOptions,
  run: (world: World) => Promise<unknown>,
  dcr: WorldOptions['dcr'] = {},
  shared: Pick<WorldOptions, 'stores' | 'clock'> = {},
): Promise<void> {
  const world = await startWorld({
    ...shared,
    dcr,
    aat: {
      registration: { quotas: false, policies: { default: policy, other: {} } },
      ...(shared.clock && { monotonic: shared.clock }),
    },
  })
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

const registerWith = async (world: World, token: string) => {
  const response = await fetch(world.endpoint('register'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify(app),
  })
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: await response.json(),
  }
}

test('by tokens: so many clients, of 20 at once too; deleting one makes room, and a use is not burnt', () =>
  withWorld(
    { maxClients: 5 },
    async (world) => {
      const { token } = await world.aat.initialAccessTokens.create({ uses: 10 })
      const answers = await Promise.all(Array.from({ length: 20 }, () => registerWith(world, token)))
      const made = answers.filter(({ status }) => status === 201)
      expect(made).toHaveLength(5)
      const refused = await registerWith(world, token)
      expect([refused.status, refused.body.error, refused.retryAfter]).toEqual([
        503,
        'temporarily_unavailable',
        '3600',
      ])
      expect((await world.aat.initialAccessTokens.list()).tokens[0]?.used).toBe(5)
      // Nothing is wrong here: strangers cannot make faults of it.
      const reason = 'there are as many clients of this kind as there may be'
      expect([world.eventsNamed('fault'), world.eventsNamed('registration.refused').at(-1)]).toMatchObject([
        [],
        { reason },
      ])
      await world.aat.clients.delete(made[0]?.body.client_id)
      expect([(await registerWith(world, token)).status, (await registerWith(world, token)).status]).toEqual([
        201, 503,
      ])
      const other = await world.aat.initialAccessTokens.create({ policy: 'other' })
      expect((await registerWith(world, other.token)).status).toBe(201)
    },
    { allow: 'initial-access-token' },
  ))

test('by anybody: a place is taken at the first consent, and the ones that were never used take none', () =>
  withWorld({ maxClients: 2 }, async (world) => {
    const ids: string[] = []
    for (let count = 0; count < 10; count++) ids.push((await world.register(app)).body.client_id)
    const ask = (id = '') => world.authorize({ client_id: id, redirect_uri: uri, scope: 'a' })
    const codes = [await ask(ids[0]), await ask(ids[1])]
    expect(codes.every(({ code }) => code !== '')).toBe(true)
    const third = await ask(ids[2])
    // The page says so: nobody is sent to a stranger's redirect for an error.
    expect([third.code, third.location.href]).toEqual(['', 'error:no-location-but-503'])
    // Who has one goes on.
    expect((await ask(ids[0])).code).not.toBe('')
    await world.aat.clients.delete(ids[1] ?? '')
    expect((await ask(ids[2])).code).not.toBe('')
    // A place ends with the record, ninety days after the last use.
    world.clock.advance(91 * 86_400)
    expect((await ask(ids[3])).code).not.toBe('')
  }))

test('by anybody, for client_credentials: a place from the start, since no user is ever asked', () =>
  withWorld({ maxClients: 1, grantTypes: ['client_credentials'] }, async (world) => {
    const machine = { grant_types: ['client_credentials'] }
    const { body } = await world.register(machine)
    expect((await world.register(machine)).status).toBe(503)
    const token = await world.token(
      { grant_type: 'client_credentials', scope: 'a' },
      basic(body.client_id, body.client_secret),
    )
    expect(token.status).toBe(200)
  }))

/** Stores of which a test says when they go away: as a client is written, or right after one was deleted. */
async function startFragile() {
  const clock = manualClock()
  const stores = await makeStores(clock)
  const { clients, places } = stores
  const state = { goesAt: 'never' as 'never' | 'create' | 'created' | 'deleted', isAway: false }
  const answer = <Answer>(ask: () => Promise<Answer>) =>
    state.isAway ? Promise.reject(new StoreUnavailable('away')) : ask()
  const fragile: Stores = {
    ...stores,
    clients: {
      ...clients,
      async create(...parameters) {
        state.isAway ||= state.goesAt === 'create'
        const outcome = await answer(() => clients.create(...parameters))
        state.isAway ||= state.goesAt === 'created'
        return outcome
      },
      async delete(...parameters) {
        const outcome = await answer(() => clients.delete(...parameters))
        state.isAway ||= state.goesAt === 'deleted'
        return outcome
      },
    },
    places: {
      take: (...parameters) => answer(() => places.take(...parameters)),
      leave: (...parameters) => answer(() => places.leave(...parameters)),
    },
  }
  return { shared: { stores: fragile, clock }, clock, state }
}

test.each([
  ['a client could not be written', 'create', [503, 503]],
  ['deleted clients could not leave', 'deleted', [201, 201]],
] as const)('places that are held since %s are free an hour later', async (_name, goesAt, expected) => {
  const { shared, clock, state } = await startFragile()
  await withWorld(
    { maxClients: 2 },
    async (world) => {
      const { token } = await world.aat.initialAccessTokens.create({ uses: 100, lifetime: 30 * 86_400 })
      state.goesAt = goesAt
      for (const status of expected) {
        const made = await registerWith(world, token)
        expect(made.status).toBe(status)
        if (status === 201) expect(await world.aat.clients.delete(made.body.client_id)).toBe('deleted')
        Object.assign(state, { isAway: false })
      }
      state.goesAt = 'never'
      expect((await registerWith(world, token)).status).toBe(503)
      clock.advance(3600)
      const statuses = []
      for (let count = 0; count < 3; count++) statuses.push((await registerWith(world, token)).status)
      expect(statuses).toEqual([201, 201, 503])
      // Those stay: they are held for clients that are there.
      clock.advance(20 * 86_400)
      expect((await registerWith(world, token)).status).toBe(503)
    },
    { allow: 'initial-access-token' },
    shared,
  )
})

test('a client that cannot be told to leave is not deleted, and holds its place', async () => {
  const { shared, clock, state } = await startFragile()
  await withWorld(
    { maxClients: 1 },
    async (world) => {
      const { token } = await world.aat.initialAccessTokens.create({ uses: 100, lifetime: 86_400 })
      const { body } = await registerWith(world, token)
      state.isAway = true
      await expect(world.aat.clients.delete(body.client_id)).rejects.toThrow('away')
      state.isAway = false
      clock.advance(7200)
      expect((await registerWith(world, token)).status).toBe(503)
      expect(await world.aat.clients.delete(body.client_id)).toBe('deleted')
      expect((await registerWith(world, token)).status).toBe(201)
    },
    { allow: 'initial-access-token' },
    shared,
  )
})

test('a client that is there is not refused where its place could not be held for good', async () => {
  const { shared, clock, state } = await startFragile()
  await withWorld(
    { maxClients: 1 },
    async (world) => {
      const { token } = await world.aat.initialAccessTokens.create({ uses: 100, lifetime: 86_400 })
      state.goesAt = 'created'
      const { status, body } = await registerWith(world, token)
      expect(status).toBe(201)
      Object.assign(state, { goesAt: 'never', isAway: false })
      expect((await registerWith(world, token)).status).toBe(503)
      // Its next change holds the place for good.
      expect((await world.aat.clients.get(body.client_id))?.clientId).toBe(body.client_id)
      await world.aat.clients.disable(body.client_id)
      clock.advance(7200)
      expect((await registerWith(world, token)).status).toBe(503)
    },
    { allow: 'initial-access-token' },
    shared,
  )
})

/** Stores of which a test says what happens in the middle of a change: before it takes its place, or once it is written. */
async function startInterrupted() {
  const clock = manualClock()
  const stores = await makeStores(clock)
  const { clients, places } = stores
  type Moment = 'take' | 'renewed'
  const state: { next: { at: Moment; run: () => Promise<unknown> } | undefined } = { next: undefined }
  async function happensNow(at: Moment): Promise<void> {
    const { next } = state
    if (next?.at !== at) return
    state.next = undefined
    await next.run()
  }
  const interrupted: Stores = {
    ...stores,
    clients: {
      ...clients,
      async renew(...parameters) {
        const outcome = await clients.renew(...parameters)
        await happensNow('renewed')
        return outcome
      },
    },
    places: {
      ...places,
      async take(...parameters) {
        // Not where a place is only held for longer, which the change before may still be about to do.
        if (parameters[3] > 0) await happensNow('take')
        return places.take(...parameters)
      },
    },
  }
  return { shared: { stores: interrupted, clock }, clock, state }
}

test.each([
  ['its record is about to be prolonged', 'take', 'renew'],
  ['its record has just been prolonged', 'renewed', 'renew'],
  ['it is about to be changed', 'take', 'replace'],
] as const)('a client that is deleted while %s leaves no place behind', async (_name, at, verb) => {
  const { shared, clock, state } = await startInterrupted()
  await withWorld(
    { maxClients: 1, grantTypes: ['client_credentials'] },
    async (world) => {
      const machine = { grant_types: ['client_credentials'] }
      const { body } = await world.register(machine)
      const use = async () => {
        const form = { grant_type: 'client_credentials', scope: 'a' }
        expect((await world.token(form, basic(body.client_id, body.client_secret))).status).toBe(200)
      }
      await use()
      const isUsed = async () => (await world.aat.clients.get(body.client_id))?.firstUsedAt !== undefined
      await until('the first use', isUsed)
      // More than half of the time for which it is kept.
      clock.advance(200 * 86_400)
      let outcome: string | undefined
      const run = async () => {
        outcome = await world.aat.clients.delete(body.client_id)
      }
      state.next = { at, run }
      if (verb === 'renew') await use()
      else expect(await world.aat.clients.disable(body.client_id)).toBe('unknown')
      expect(await until('the deletion', () => outcome)).toBe('deleted')
      await until('room for another', async () => (await world.register(machine)).status === 201)
      expect((await world.register(machine)).status).toBe(503)
    },
    {},
    shared,
  )
})
