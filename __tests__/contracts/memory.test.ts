import { describe, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { manualClock } from '../support/world.ts'
import { clientStoreContract } from './client-store.contract.ts'
import { consentStoreContract } from './consent-store.contract.ts'
import { anId, openFamily, ROTATE, type StoresFactory, T } from './contract.ts'
import { grantStoreContract } from './grant-store.contract.ts'
import { replayStoreContract } from './replay-store.contract.ts'
import { requestStoreContract } from './request-store.contract.ts'
import { revocationStoreContract } from './revocation-store.contract.ts'
import { ringStoreContract } from './ring-store.contract.ts'

const inMemory: StoresFactory = async (clock) => ({
  stores: memoryStores({ clock }),
  close: async () => undefined,
})

describe('grants in memory', () => grantStoreContract(inMemory))
describe('clients in memory', () => clientStoreContract(inMemory))
describe('pending requests in memory', () => requestStoreContract(inMemory))
describe('consents in memory', () => consentStoreContract(inMemory))
describe('replays in memory', () => replayStoreContract(inMemory))
describe('revocations in memory', () => revocationStoreContract(inMemory))
describe('the ring in memory', () => ringStoreContract(inMemory))

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
        secretHashes: [],
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
