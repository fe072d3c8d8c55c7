import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { Client, ClientRecord, ClientStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
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
  let clock: ManualClock
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    clients = made.stores.clients
    close = made.close
  })
  afterEach(() => close())

  const clientOf = async (id: string) => {
    const record = await clients.read(id)
    return typeof record === 'object' ? record.client : record
  }
  const revisionOf = async (id: string) => ((await clients.read(id)) as ClientRecord).revision

  test('a client is read as it was created, absent members absent', async () => {
    const client = aClient()
    expect(await clients.create(client)).toBe('created')
    expect(await clientOf(client.id)).toStrictEqual(client)
    expect(await clients.read(client.id)).not.toHaveProperty('expiresAt')
  })

  test('every member comes back', async () => {
    const client: Required<Client> = {
      ...aClient(),
      ...{
        name: 'n',
        uri: 'https://a/1',
        logoUri: 'https://a/2',
        policyUri: 'https://a/3',
        tosUri: 'https://a/4',
      },
      localized: { 'client_name#ja': 'アプリ' },
      ...{ contacts: ['c'], softwareId: 'i', softwareVersion: '', softwareStatement: 'a.b.c' },
      ...{
        jwks: { keys: [] },
        jwksUri: 'https://a/5',
        assertionAlg: 'ES256',
        defaultScope: [],
        allowedScope: ['a'],
      },
      ...{
        refreshPolicy: { issuance: 'keep', lifetime: 1 },
        refreshTokens: { lifetime: 2 },
        boundToIdpSession: false,
      },
      ...{
        accessTokenLifetime: 1,
        accessTokenFormat: 'opaque',
        dpopBoundAccessTokens: true,
        tlsClientCertificateBoundAccessTokens: true,
        policy: 'p',
        firstParty: true,
        introspects: ['x'],
        mayDeny: true,
      },
      ...{
        registrationTokens: [{ hash: aHash(), expiresAt: T + 0.5 }],
        firstUsedAt: T,
        changedAt: T + 0.25,
        disabledAt: 0,
      },
    }
    await clients.create(client)
    expect(await clientOf(client.id)).toStrictEqual(client)
  })

  test('an id is taken once, and the first client stays', async () => {
    const client = aClient()
    await clients.create(client)
    expect(await clients.create(aClient({ id: client.id, name: 'Another' }))).toBe('exists')
    expect(await clientOf(client.id)).toMatchObject({ name: client.name })
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
    expect(['gone', undefined]).toContain(await clients.read(client.id))
    expect(await clientOf(other.id)).toStrictEqual(other)
  })

  test('a record ends at its end, unless it is renewed; renewing never shortens', async () => {
    const [client, other] = [aClient(), aClient()]
    for (const each of [client, other]) await clients.create(each, T + 100)
    expect(await clients.read(client.id)).toMatchObject({ expiresAt: T + 100 })
    expect(await clients.renew(client.id, T + 200)).toBe('renewed')
    expect(await clients.renew(client.id, T + 150)).toBe('renewed')
    clock.now = T + 100
    expect(await clients.read(other.id)).toBeUndefined()
    expect(await clients.renew(other.id, T + 300)).toBe('unknown')
    expect(await clients.read(client.id)).toMatchObject({ client, expiresAt: T + 200 })
    clock.now = T + 200
    expect(await clients.read(client.id)).toBeUndefined()
    expect(await clients.create(client, T + 300)).toBe('created')
  })

  test('what never ends is not renewed into an end', async () => {
    const client = aClient()
    await clients.create(client)
    expect(await clients.renew(client.id, T + 200)).toBe('renewed')
    expect(await clients.read(client.id)).not.toHaveProperty('expiresAt')
  })

  test('a change needs the known state, and of many at once one is made', async () => {
    const client = aClient()
    await clients.create(client)
    const first = await revisionOf(client.id)
    const names = Array.from({ length: 20 }, (_, index) => `Client ${index}`)
    const outcomes = await Promise.all(
      names.map((name) => clients.replace({ ...client, name }, first, T + 100)),
    )
    expect(outcomes.filter((outcome) => outcome === 'replaced')).toHaveLength(1)
    const winner = names[outcomes.indexOf('replaced')]
    expect(await clients.read(client.id)).toMatchObject({ client: { name: winner }, expiresAt: T + 100 })
    expect(await clients.replace(client, first)).toBe('changed')
    expect(await clients.replace(client, undefined)).toBe('changed')
    expect(await clients.replace(client, await revisionOf(client.id))).toBe('replaced')
    expect(await clients.read(client.id)).toMatchObject({ client })
  })

  test('what was deleted or has ended cannot be changed', async () => {
    const [client, other] = [aClient(), aClient()]
    await clients.create(client)
    await clients.create(other, T + 10)
    const [known, ended] = [await revisionOf(client.id), await revisionOf(other.id)]
    await clients.delete(client.id, T + 1000)
    clock.now = T + 10
    expect(await clients.replace(client, known)).toBe('changed')
    expect(await clients.replace(other, ended)).toBe('changed')
    expect([await clients.read(client.id), await clients.read(other.id)]).toEqual(['gone', undefined])
  })

  test('a deleted id stays marked until then: never created, changed or deleted again', async () => {
    const client = aClient()
    expect(await clients.delete(client.id, T + 1000)).toBe('deleted')
    expect(await clients.delete(client.id, T + 1000)).toBe('unknown')
    clock.now = T + 999
    expect(await clients.read(client.id)).toBe('gone')
    expect(await clients.create(client)).toBe('gone')
    expect(await clients.replace(client, undefined)).toBe('changed')
    clock.now = T + 1000
    expect(await clients.read(client.id)).toBeUndefined()
    expect(await clients.create(client)).toBe('created')
  })

  test('a change that marks its id leaves the mark when its record ends', async () => {
    const client = aClient()
    expect(await clients.replace(client, undefined, T + 100, T + 1000)).toBe('replaced')
    expect(await clients.read(client.id)).toMatchObject({ client, expiresAt: T + 100 })
    clock.now = T + 100
    expect(await clients.read(client.id)).toBe('gone')
    expect(await clients.create(client)).toBe('gone')
    expect(await clients.delete(client.id, T + 1000)).toBe('unknown')
  })

  test('deletion against first use: whichever comes first, it is gone afterwards', async () => {
    for (let round = 0; round < 20; round++) {
      const client = aClient()
      const [created, deleted] = await Promise.all([
        clients.create(client, T + 100),
        clients.delete(client.id, T + 1000),
      ])
      expect(['created', 'gone']).toContain(created)
      expect(deleted).toBe('deleted')
      expect(await clients.read(client.id)).toBe('gone')
    }
  })

  test('lists all that have a record, in pages, each once', async () => {
    const made = Array.from({ length: 25 }, (_, index) => ({ client: aClient(), end: T + 100 + (index % 5) }))
    for (const { client, end } of made) await clients.create(client, end)
    const forEver = aClient()
    await clients.create(forEver)
    const deleted = aClient()
    await clients.create(deleted, T + 102)
    await clients.delete(deleted.id, T + 1000)
    const found: ClientRecord[] = []
    let cursor: string | undefined
    let pages = 0
    do {
      const page = await clients.list({ limit: 10, cursor })
      found.push(...page.records)
      cursor = page.cursor
      pages++
    } while (cursor !== undefined)
    expect(pages).toBe(3)
    expect(found.map(({ client }) => client.id).sort()).toEqual(
      [...made.map(({ client }) => client.id), forEver.id].sort(),
    )
    expect(found.at(-1)?.client.id).toBe(forEver.id)
    const ends = found.slice(0, -1).map(({ expiresAt }) => expiresAt)
    expect(ends).toEqual([...ends].sort())
    clock.now = T + 103
    expect((await clients.list({})).records).toHaveLength(6)
  })

  test('renewed and changed clients stay in the list', async () => {
    const [renewed, changed] = [aClient(), aClient()]
    for (const client of [renewed, changed]) await clients.create(client, T + 100)
    await clients.renew(renewed.id, T + 300)
    await clients.replace({ ...changed, name: 'New' }, await revisionOf(changed.id), T + 400)
    clock.now = T + 200
    expect((await clients.list({})).records.map(({ client }) => client.id)).toEqual([renewed.id, changed.id])
  })

  test.each(['', 'x', `${T}.short`, `${T}.${'x'.repeat(22)}.`, null, 5] as never[])(
    'a cursor that no page gave is refused: %j',
    async (cursor) => {
      await expect(clients.list({ cursor })).rejects.toThrow(TypeError)
      await expect(clients.list({ limit: Number.NaN })).rejects.toThrow(TypeError)
    },
  )

  test.each(['__proto__', 'constructor', 'hasOwnProperty', '', 'dcr_*', 'a\r\nb'])(
    'an id that nobody has is nobody: %j',
    async (id) => {
      expect(await clients.read(id)).toBeUndefined()
      expect(await clients.delete(id)).toBe('unknown')
      expect(await clients.renew(id, T + 100)).toBe('unknown')
    },
  )
}
