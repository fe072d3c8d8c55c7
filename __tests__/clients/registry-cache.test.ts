import { afterEach, describe, expect, test } from '@jest/globals'
import { createClientRegistry } from '../../lib/clients/client-registry.ts'
import { createSelfDescribingIds } from '../../lib/clients/self-describing-id.ts'
import type { Stores } from '../../lib/index.ts'
import { deriveKeys } from '../../lib/protocol/derived-keys.ts'
import { systemRandom } from '../../lib/protocol/random.ts'
import type { Client } from '../../lib/stores/ports.ts'
import {
  closeAll,
  type Instance,
  type Site,
  settled,
  site,
  startInstance,
} from '../revocation-log/instances.ts'
import { recordingStores } from '../support/recording-stores.ts'
import { basic, manualClock, type TokenAnswer } from '../support/world.ts'

let open: Instance[] = []
afterEach(async () => {
  await closeAll(...open)
  open = []
})

async function start(place: Site, stores: Stores = place.stores): Promise<Instance> {
  const registration = { policies: { default: { grantTypes: ['client_credentials' as const] } } }
  const instance = await startInstance(place, { registration }, { stores } as never)
  open.push(instance)
  return instance
}

interface Registered {
  client_id: string
  client_secret: string
}

const register = async (world: Instance): Promise<Registered> =>
  (await world.register({ grant_types: ['client_credentials'], redirect_uris: [] })).body

const getToken = (world: Instance, client: Registered): Promise<TokenAnswer> =>
  world.token({ grant_type: 'client_credentials', scope: 'a' }, basic(client.client_id, client.client_secret))

/** Stores whose reads of clients can fail, can be held, and are counted. */
function watched(stores: Stores) {
  const watch = {
    reads: 0,
    isDown: false,
    held: undefined as Promise<void> | undefined,
    stores: {
      ...stores,
      clients: {
        ...stores.clients,
        async read(id: string) {
          watch.reads++
          if (watch.isDown) throw new Error('away')
          const client = await stores.clients.read(id)
          await watch.held
          return client
        },
      },
    } satisfies Stores,
  }
  return watch
}

describe('a registered client’s record', () => {
  test('is remembered: a second client_credentials request asks no store at all', async () => {
    const place = site()
    const { stores, calls } = recordingStores(place.stores)
    const world = await start(place, stores)
    const client = await register(world)
    expect((await getToken(world, client)).status).toBe(200)
    expect(calls.filter(({ store }) => store === 'clients').map(({ verb }) => verb)).toEqual([
      'read',
      // Behind the answer: it is used now.
      'create',
    ])
    calls.length = 0
    const { reads } = world.line
    expect((await getToken(world, client)).status).toBe(200)
    expect(calls).toEqual([])
    expect(world.line.reads).toBe(reads)
  })

  test('is read again after a minute', async () => {
    const place = site()
    const watch = watched(place.stores)
    const world = await start(place, watch.stores)
    const client = await register(world)
    await getToken(world, client)
    world.monotonic.advance(59.9)
    await getToken(world, client)
    expect(watch.reads).toBe(1)
    world.monotonic.advance(0.1)
    await getToken(world, client)
    expect(watch.reads).toBe(2)
  })

  test('is good for longer while the store cannot answer; one that is not known is 5xx, not invalid_client', async () => {
    const place = site()
    const watch = watched(place.stores)
    const world = await start(place, watch.stores)
    const [known, unknown] = [await register(world), await register(world)]
    await getToken(world, known)
    watch.isDown = true
    for (const seconds of [1, 60, 3600]) {
      world.monotonic.advance(seconds)
      expect((await getToken(world, known)).status).toBe(200)
    }
    expect((await getToken(world, unknown)).status).toBe(500)
    watch.isDown = false
    expect((await getToken(world, unknown)).status).toBe(200)
  })
})

describe('a client that is deleted', () => {
  test('is gone at once where it was deleted', async () => {
    const world = await start(site())
    const client = await register(world)
    const { body } = await getToken(world, client)
    expect(await world.aat.clients.delete(client.client_id)).toBe('deleted')
    expect(await getToken(world, client)).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    expect((await world.call('/api/a', body.access_token)).status).toBe(401)
    expect(await world.aat.clients.get(client.client_id)).toBeUndefined()
  })

  test('is forgotten by an instance that remembers it as soon as the log tells, with every token it got meanwhile', async () => {
    const place = site()
    const [one, two] = [await start(place), await start(place)]
    const client = await register(one)
    await getToken(two, client)
    expect(await one.aat.clients.delete(client.client_id)).toBe('deleted')
    place.clock.advance(2)
    const late = await getToken(two, client)
    expect(late.status).toBe(200)
    expect((await two.call('/api/a', late.body.access_token)).status).toBe(200)
    await two.tick()
    expect(await getToken(two, client)).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    for (const world of [one, two])
      expect((await world.call('/api/a', late.body.access_token)).status).toBe(401)
  })

  test('does not come back while the store is away', async () => {
    const place = site()
    const watch = watched(place.stores)
    const [one, two] = [await start(place), await start(place, watch.stores)]
    const client = await register(one)
    await getToken(two, client)
    await one.aat.clients.delete(client.client_id)
    await two.tick()
    watch.isDown = true
    expect((await getToken(two, client)).status).toBe(500)
  })

  test('is not brought back by a read that was on its way when the deletion was learnt', async () => {
    const place = site()
    const watch = watched(place.stores)
    const [one, two] = [await start(place), await start(place, watch.stores)]
    const client = await register(one)
    let release: () => void = () => undefined
    watch.held = new Promise<void>((resolve) => (release = resolve))
    const pending = getToken(two, client)
    while (watch.reads === 0) await settled()
    await settled()
    expect(await one.aat.clients.delete(client.client_id)).toBe('deleted')
    await two.tick()
    release()
    const { body } = await pending
    // What that one request may have got is covered, and the next one finds nobody.
    if (body?.access_token !== undefined)
      expect((await two.call('/api/a', body.access_token)).status).toBe(401)
    expect(await getToken(two, client)).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    expect(watch.reads).toBe(2)
  })
})

describe('the registry itself', () => {
  const idOf = (index: number) => `dcr_${String(index).padStart(22, '0')}`

  function registryOf(known: (id: string) => boolean) {
    const reads: string[] = []
    const registry = createClientRegistry({
      configured: [],
      documents: undefined,
      inForce: (client) => client,
      emit: () => true,
      ids: createSelfDescribingIds([deriveKeys('x'.repeat(32))], 'https://issuer.example', systemRandom, 768),
      tell: async () => undefined,
      clock: manualClock(),
      monotonic: manualClock(0),
      store: {
        async read(id: string) {
          reads.push(id)
          return known(id) ? { client: { id } as Client, revision: '1' } : undefined
        },
        create: async () => 'created',
        replace: async () => 'changed',
        renew: async () => 'unknown',
        delete: async () => 'unknown',
        list: async () => ({ records: [], cursor: undefined }),
      },
    })
    return { registry, reads }
  }

  test('remembers 10,000 clients, and then the oldest makes room', async () => {
    const { registry, reads } = registryOf(() => true)
    for (let index = 0; index < 10_001; index++) await registry.find(idOf(index))
    reads.length = 0
    for (const index of [1, 10_000]) await registry.find(idOf(index))
    expect(reads).toEqual([])
    await registry.find(idOf(0))
    expect(reads).toEqual([idOf(0)])
  })

  test('does not remember that nobody was there, so a client is found as soon as it is registered', async () => {
    const known = new Set<string>()
    const { registry, reads } = registryOf((id) => known.has(id))
    expect(await registry.find(idOf(1))).toBeUndefined()
    known.add(idOf(1))
    expect(await registry.find(idOf(1))).toEqual({ id: idOf(1) })
    expect(reads).toHaveLength(2)
  })

  test('asks once for any number of requests at once, and never for what is no registered id', async () => {
    const { registry, reads } = registryOf(() => true)
    await Promise.all(Array.from({ length: 50 }, () => registry.find(idOf(1))))
    expect(reads).toEqual([idOf(1)])
    for (const id of ['confidential', 'dcr_short', '__proto__', `${idOf(1)}x`, ''])
      expect(await registry.find(id)).toBeUndefined()
    expect(reads).toHaveLength(1)
  })
})
