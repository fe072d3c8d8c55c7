import { describe, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { manualClock } from '../support/world.ts'
import { anId, openFamily, ROTATE, type StoresFactory, T } from './contract.ts'
import { everyContract } from './every-contract.ts'

const inMemory: StoresFactory = async (clock) => ({
  stores: memoryStores({ clock }),
  close: async () => undefined,
})

describe('stores in memory', () => everyContract(inMemory))

describe('what only memory has: bounds', () => {
  test('retries within one grace window are bounded, and over the bound it is reuse', async () => {
    const stores = memoryStores({ clock: manualClock(T) })
    const family = await openFamily(stores, ROTATE)
    const retry = () => stores.grants.refresh(family.refresh(0, { nonce: anId() }))
    expect((await retry()).outcome).toBe('rotated')
    let retries = 0
    while ((await retry()).outcome === 'retried' && retries <= 65_535) retries++
    expect(retries).toBe(65_535)
    expect((await stores.grants.readFamily(family.grant.id))?.ended).toBe('reused')
  })

  test('clients: full refuses a new one and forgets nobody', async () => {
    const { clients } = memoryStores({ clock: manualClock(T), maxEntries: 2 })
    const create = (id: string) =>
      clients.create({
        id,
        origin: 'registered',
        applicationType: 'web',
        redirectUris: [],
        grantTypes: [],
        authenticationMethod: 'none',
        secrets: [],
        createdAt: T,
      })
    expect([await create('1'), await create('2'), await create('3')]).toEqual(['created', 'created', 'full'])
    expect(await clients.read('1')).toBeDefined()
    await clients.delete('1')
    expect(await create('3')).toBe('created')
  })

  test('families over the bound: the oldest makes room, and its tokens are then unknown', async () => {
    const stores = memoryStores({ clock: manualClock(T), maxEntries: 2 })
    const families = []
    for (let index = 0; index < 3; index++) families.push(await openFamily(stores, ROTATE))
    const outcomes = []
    for (const family of families) outcomes.push((await stores.grants.refresh(family.refresh(0))).outcome)
    expect(outcomes).toEqual(['unknown', 'rotated', 'rotated'])
  })
})
