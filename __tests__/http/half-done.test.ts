import { afterEach, describe, expect, test } from '@jest/globals'
import { createAat, memoryStores, type Stores, StoreUnavailable } from '../../lib/index.ts'
import {
  basic,
  CONFIDENTIAL,
  manualClock,
  RESOURCE_SERVER,
  startWorld,
  type World,
} from '../support/world.ts'

/** What the app's hooks add and what a store that fails half-way leaves behind. */
const open: World[] = []
afterEach(async () => {
  for (const world of open.splice(0)) await world.close()
})
async function world(options: Parameters<typeof startWorld>[0] = {}): Promise<World> {
  const made = await startWorld(options)
  open.push(made)
  return made
}

describe('custom claims cannot pass for anything of ours', () => {
  test('"problem" is a name like any other', async () => {
    const { signInAndGetTokens, call } = await world({ aat: { claims: () => ({ problem: 'none' }) } })
    const { body } = await signInAndGetTokens()
    const answer = await call('/api/a', body.access_token)
    expect([answer.status, answer.body?.claims.problem]).toEqual([200, 'none'])
  })

  test('RFC 7662 section 2.2: "active" and "token_type" of an introspection answer are the server’s', async () => {
    const made = await world({ aat: { claims: () => ({ active: false, token_type: 'x' }) } })
    const { body } = await made.signInAndGetTokens()
    const secret = basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret)
    const answer = await made.post(made.endpoint('introspect'), { token: body.access_token }, secret)
    expect(answer.body).toMatchObject({ active: true, token_type: 'Bearer' })
  })
})

test('RFC 9700 section 2.2.2: a server that keeps refresh tokens registers no public client that gets them', async () => {
  const metadata = {
    redirect_uris: ['https://client.example/cb'],
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
  }
  const clients: never[] = []
  const strict = await world({ aat: { refreshTokens: { issuance: 'keep' }, clients } })
  const refused = await strict.register(metadata)
  expect([refused.status, refused.body.error]).toEqual([400, 'invalid_client_metadata'])
  expect((await strict.register({ ...metadata, grant_types: ['authorization_code'] })).status).toBe(201)
  expect(
    (await strict.register({ ...metadata, token_endpoint_auth_method: 'client_secret_basic' })).status,
  ).toBe(201)

  const lax = { issuance: 'keep', dangerouslyKeepForPublicClients: true } as const
  expect((await (await world({ aat: { refreshTokens: lax, clients } })).register(metadata)).status).toBe(201)
})

describe('an instance that could not read its store yet', () => {
  /** A second instance whose first reads fail, until `recover`. */
  async function behind(first: World, stores: Stores, port: 'ring' | 'revocations') {
    let isAway = true
    const away = async () => {
      throw new StoreUnavailable('away')
    }
    const verb = port === 'ring' ? 'read' : 'since'
    const failing = new Proxy(stores[port], {
      get: (target, name) => (isAway && name === verb ? away : Reflect.get(target, name)),
    })
    const instance = await startWorld({
      stores: { ...stores, [port]: failing },
      clock: first.clock,
      issuer: first.issuer,
      // The timer of the background work never comes.
      aat: { every: () => () => undefined },
      ready: false,
    })
    open.push(instance)
    return {
      instance,
      recover() {
        isAway = false
      },
    }
  }

  async function pair(port: 'ring' | 'revocations') {
    const clock = manualClock()
    const stores = memoryStores({ clock })
    const first = await world({ stores, clock })
    const { body } = await first.signInAndGetTokens()
    return { first, stores, body, ...(await behind(first, stores, port)) }
  }

  test('does not accept a revoked token for want of the revocation log: 503, then 401', async () => {
    const { first, body, instance, recover } = await pair('revocations')
    await first.aat.revoke({ subject: 'alice' })
    expect((await instance.call('/api/a', body.access_token)).status).toBe(503)
    recover()
    expect((await instance.call('/api/a', body.access_token)).status).toBe(401)
  })

  test('does not say that a token was revoked or is inactive for want of the key ring: 503', async () => {
    const { first, body, instance, recover } = await pair('ring')
    const token = { token: body.access_token }
    const asClient = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
    for (const endpoint of ['revoke', 'introspect'])
      expect((await instance.post(`${instance.base}/oauth/${endpoint}`, token, asClient)).status).toBe(503)
    recover()
    expect((await instance.post(instance.endpoint('revoke'), token, asClient)).status).toBe(200)
    expect((await first.call('/api/a', body.access_token)).status).toBe(401)
  })
})

test('a client whose deletion failed half-way can be deleted again, and its tokens end', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  let isAway = false
  const revocations = {
    ...stores.revocations,
    async append(entry: Parameters<Stores['revocations']['append']>[0]) {
      if (isAway) throw new StoreUnavailable('away')
      return stores.revocations.append(entry)
    },
  }
  const made = await world({ stores: { ...stores, revocations }, clock })
  const { body: client } = await made.register({
    redirect_uris: ['https://client.example/cb'],
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'],
  })
  const id = client.client_id
  const { body } = await made.signInAndGetTokens({ client_id: id }, { client_id: id })
  isAway = true
  await expect(made.aat.clients.delete(id)).rejects.toThrow('away')
  isAway = false
  await made.aat.clients.delete(id)
  expect((await made.call('/api/a', body.access_token)).status).toBe(401)
})

test('a refresh token of a revoked subject is inactive and refused even where its family was not found', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  // An index is a hint: it may miss a family.
  const grants = { ...stores.grants, listFamilies: async () => ({ families: [], cursor: undefined }) }
  const made = await world({ stores: { ...stores, grants }, clock })
  const { body } = await made.signInAndGetTokens()
  await made.aat.revoke({ subject: 'alice' })
  const asClient = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
  const answer = await made.post(made.endpoint('introspect'), { token: body.refresh_token }, asClient)
  expect(answer.body).toEqual({ active: false })
  const refused = await made.refresh(body.refresh_token)
  expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant'])
})

test('aat.keys.revoke: a second instance refuses the key’s tokens before it has looked at the ring again', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const first = await world({ stores, clock })
  const second = await world({ stores, clock, issuer: first.issuer, aat: { every: () => () => undefined } })
  const { body } = await first.signInAndGetTokens()
  expect((await second.call('/api/a', body.access_token)).status).toBe(200)
  const active = first.aat.keys.status().keys.find(({ state }) => state === 'active')
  await first.aat.keys.revoke(active?.kid ?? '')
  expect((await second.call('/api/a', body.access_token)).status).toBe(401)
})

test('a driver’s words, which may hold its connection string, reach no event', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const events: unknown[] = []
  const failing = {
    ...stores,
    ring: {
      ...stores.ring,
      read: async () => {
        throw new Error('connect ECONNREFUSED redis://user:hunter2@127.0.0.1')
      },
    },
  }
  const issuer = 'https://shop.example.com'
  const resources = { [`${issuer}/api`]: { scopes: ['a'] } }
  const aat = createAat({ issuer, resources, stores: failing, clock })
  aat.on('ring.unusable', (event) => events.push(event))
  await expect(aat.ready()).rejects.toThrow()
  await aat.close()
  expect(events.length).toBeGreaterThan(0)
  expect(JSON.stringify(events)).not.toContain('hunter2')
})
