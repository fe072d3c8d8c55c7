import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { Client, ClientStore } from '../../lib/stores/ports.ts'
import { manualClock } from '../support/world.ts'
import { aHash, anId, type StoresFactory, T } from './contract.ts'

function aClient(over: Partial<Client> = {}): Client {
  return {
    id: `dcr_${anId()}`,
    origin: 'registered',
    name: 'A client — с именем 名',
    applicationType: 'web',
    redirectUris: ['https://client.example/cb', 'https://client.example/other'],
    grantTypes: ['authorization_code', 'refresh_token'],
    authenticationMethod: 'private_key_jwt',
    secrets: [{ hash: aHash(), expiresAt: T + 100 }, { hash: aHash() }],
    jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA', nested: { deep: [1, true, 'x'] } }] },
    refreshPolicy: { issuance: 'rotate', lifetime: 100 },
    firstParty: false,
    createdAt: T,
    ...over,
  }
}

/** What any store of registered clients must do. */
export function clientStoreContract(make: StoresFactory): void {
  let clients: ClientStore
  let close: () => Promise<void>
  beforeEach(async () => {
    const made = await make(manualClock(T))
    clients = made.stores.clients
    close = made.close
  })
  afterEach(() => close())

  test('a client is read as it was created, absent members absent', async () => {
    const client = aClient()
    expect(await clients.create(client)).toBe('created')
    expect(await clients.read(client.id)).toStrictEqual(client)
  })

  test('an id is taken once, and the first client stays', async () => {
    const client = aClient()
    await clients.create(client)
    expect(await clients.create(aClient({ id: client.id, name: 'Another' }))).toBe('exists')
    expect((await clients.read(client.id))?.name).toBe(client.name)
  })

  test('of many creations of one id at once one is created', async () => {
    const id = `dcr_${anId()}`
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => clients.create(aClient({ id }))))
    expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
    expect(outcomes.filter((outcome) => outcome === 'exists')).toHaveLength(19)
  })

  test('deleted once, unknown from then on, and the others stay', async () => {
    const [client, other] = [aClient(), aClient()]
    await clients.create(client)
    await clients.create(other)
    expect(await clients.delete(client.id)).toBe('deleted')
    expect(await clients.delete(client.id)).toBe('unknown')
    expect(await clients.read(client.id)).toBeUndefined()
    expect(await clients.read(other.id)).toStrictEqual(other)
  })

  test.each(['__proto__', 'constructor', 'hasOwnProperty', '', 'dcr_*', 'a\r\nb'])(
    'an id that nobody has is nobody: %j',
    async (id) => {
      expect(await clients.read(id)).toBeUndefined()
      expect(await clients.delete(id)).toBe('unknown')
    },
  )
}
