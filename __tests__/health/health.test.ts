import { afterEach, describe, expect, test } from '@jest/globals'
import type { Stores } from '../../lib/index.ts'
import type { StoreFinding } from '../../lib/stores/ports.ts'
import { closeAll, type Instance, site, startInstance } from '../revocation-log/instances.ts'
import { recordingStores } from '../support/recording-stores.ts'

const UNUSABLE: StoreFinding = { severity: 'unusable', message: 'the store forgets: set it up to keep' }
const ADVICE: StoreFinding = { severity: 'advice', message: 'the store writes late: think of it' }

let open: Instance[] = []
afterEach(async () => {
  await closeAll(...open)
  open = []
})

/** An instance on stores that find what they are told to find. */
async function start(found: readonly StoreFinding[] = [], ready = true) {
  const place = site()
  const store = { found, looks: 0, closed: 0, error: undefined as Error | undefined }
  const stores: Stores = {
    ...place.stores,
    async check() {
      store.looks++
      if (store.error !== undefined) throw store.error
      return store.found
    },
    async close() {
      store.closed++
    },
  }
  const instance = await startInstance({ ...place, stores }, {}, { stores, ready })
  open.push(instance)
  return { ...instance, store }
}

const told = (world: Pick<Instance, 'eventsNamed'>) =>
  world.eventsNamed('store.finding').map((event) => (event as unknown as StoreFinding).message)

describe('aat.health', () => {
  test('of an instance that is well', async () => {
    const world = await start()
    expect(world.aat.health()).toEqual({
      ready: true,
      problems: [],
      advice: [],
      keys: { canSign: true, revision: 1 },
      revocations: { fresh: true, age: 0, acceptedStale: 0 },
    })
    world.monotonic.advance(1.5)
    expect(world.aat.health().revocations.age).toBe(1.5)
    await world.tick()
    expect(world.aat.health().revocations.age).toBe(0)
  })

  test('asks no store', async () => {
    const place = site()
    const { stores, calls } = recordingStores(place.stores)
    const world = await startInstance({ ...place, stores }, {}, { stores })
    open.push(world)
    calls.length = 0
    const { reads } = world.line
    for (let time = 0; time < 10; time++) world.aat.health()
    expect(calls).toEqual([])
    expect(world.line.reads).toBe(reads)
  })

  test('cut off from the log: not ready, with the reason, until it can be read again', async () => {
    const world = await start()
    world.line.isCut = true
    world.monotonic.advance(5.001)
    await world.tick()
    expect(world.aat.health()).toMatchObject({
      ready: false,
      problems: [expect.stringContaining('revocations')],
      revocations: { fresh: false, age: 5.001 },
    })
    world.line.isCut = false
    await world.tick()
    expect(world.aat.health()).toMatchObject({ ready: true, problems: [], revocations: { fresh: true } })
  })

  test('findings: what is unusable is a problem, advice is advice; each is told once while it lasts', async () => {
    const world = await start([ADVICE])
    expect(world.aat.health()).toMatchObject({ ready: true, problems: [], advice: [ADVICE.message] })
    world.store.found = [ADVICE, UNUSABLE]
    for (let look = 0; look < 3; look++) {
      world.monotonic.advance(60)
      await world.tick()
      expect(world.aat.health()).toMatchObject({
        ready: false,
        problems: [UNUSABLE.message],
        advice: [ADVICE.message],
      })
    }
    expect(world.store.looks).toBe(4)
    expect(told(world)).toEqual([ADVICE.message, UNUSABLE.message])
    world.store.found = []
    world.monotonic.advance(60)
    await world.tick()
    expect(world.aat.health()).toMatchObject({ ready: true, problems: [], advice: [] })
    world.store.found = [UNUSABLE]
    world.monotonic.advance(60)
    await world.tick()
    expect(told(world)).toEqual([ADVICE.message, UNUSABLE.message, UNUSABLE.message])
  })

  test('looks every 15 s while the store is well, every second while it is not', async () => {
    const world = await start()
    const looksIn = async (seconds: number) => {
      const before = world.store.looks
      for (let second = 0; second < seconds; second++) {
        world.monotonic.advance(1)
        await world.tick()
      }
      return world.store.looks - before
    }
    expect(await looksIn(14)).toBe(0)
    world.store.found = [UNUSABLE]
    expect(await looksIn(1)).toBe(1)
    expect(await looksIn(10)).toBe(10)
    world.store.found = []
    expect(await looksIn(1)).toBe(1)
    expect(await looksIn(14)).toBe(0)
  })

  test('a look that fails is a finding in our words: nothing of the driver’s error is told', async () => {
    const world = await start()
    world.store.error = new Error('connect redis://user:secret@host failed')
    world.monotonic.advance(60)
    await world.tick()
    const { ready, problems } = world.aat.health()
    expect({ ready, problems }).toEqual({ ready: false, problems: ['the store failed: Error'] })
    expect(JSON.stringify(world.events)).not.toContain('secret')
    expect(told(world)).toEqual(['the store failed: Error'])
    world.store.error = undefined
    world.monotonic.advance(2)
    await world.tick()
    expect(world.aat.health().ready).toBe(true)
  })
})

describe('aat.ready', () => {
  test('rejects with what is unusable, as often as it is asked, and is fulfilled once that is over', async () => {
    const world = await start([UNUSABLE, ADVICE], false)
    await expect(world.aat.ready()).rejects.toThrow(UNUSABLE.message)
    await expect(world.aat.ready()).rejects.toThrow(UNUSABLE.message)
    expect(told(world)).toEqual([UNUSABLE.message, ADVICE.message])
    world.store.found = [ADVICE]
    world.monotonic.advance(2)
    await world.tick()
    await expect(world.aat.ready()).resolves.toBeUndefined()
  })

  test('advice does not stop it', async () => {
    const world = await start([ADVICE])
    await expect(world.aat.ready()).resolves.toBeUndefined()
  })

  test('rejects while the log is away, and is fulfilled when it is there again', async () => {
    const world = await start()
    world.line.isCut = true
    world.monotonic.advance(6)
    await expect(world.aat.ready()).rejects.toThrow(/revocations are not known/)
    world.line.isCut = false
    world.monotonic.advance(2)
    await expect(world.aat.ready()).resolves.toBeUndefined()
  })
})

test('aat.close closes the stores, once', async () => {
  const world = await start()
  await world.close()
  open = []
  expect(world.store.closed).toBe(1)
})
