import { afterEach, describe, expect, test } from '@jest/globals'
import type { ClientRecord } from '../../lib/stores/ports.ts'
import {
  closeAll,
  type Instance,
  type Site,
  settled,
  site,
  startInstance,
} from '../revocation-log/instances.ts'
import { until } from '../support/until.ts'
import { basic, REDIRECT_URI } from '../support/world.ts'

const DAY = 86_400
const NEWER = 'another-secret-0123456789-0123456789'
const SECRET = 'test-secret-0123456789-0123456789-0123456789'
let open: Instance[] = []
afterEach(async () => {
  await closeAll(...open)
  open = []
})

async function start(place: Site, aat: Record<string, unknown> = {}, ready = true): Promise<Instance> {
  const instance = await startInstance(place, aat as never, { ready })
  open.push(instance)
  return instance
}

const REGISTRATION = {
  client_name: 'An app',
  redirect_uris: [REDIRECT_URI],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'none',
}
const register = async (world: Instance, more: Record<string, unknown> = {}) =>
  (await world.register({ ...REGISTRATION, ...more })).body
const tokensFor = (world: Instance, clientId: string, secret?: string) =>
  world.signInAndGetTokens(
    { client_id: clientId },
    { client_id: clientId, ...(secret !== undefined && { client_secret: secret }) },
  )
const pass = async (world: Instance, seconds: number) => {
  world.clock.advance(seconds)
  world.monotonic.advance(seconds)
  await world.tick()
}
const refreshWith = (world: Instance, clientId: string, refreshToken: string) =>
  world.token({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: clientId })
const recordOf = (place: Site, id: string) => place.stores.clients.read(id)
const endOf = async (place: Site, id: string) => ((await recordOf(place, id)) as ClientRecord).expiresAt

describe('a registration that anybody may make', () => {
  test('is in no store until a user agrees to it, then it is, and the client may come back for 90 days', async () => {
    const place = site()
    const world = await start(place)
    const { client_id } = await register(world)
    expect(await recordOf(place, client_id)).toBeUndefined()
    const asked = await world.authorize({ client_id }, { scopes: [] })
    expect(asked.parameters.error).toBe('access_denied')
    expect(await recordOf(place, client_id)).toBeUndefined()
    expect((await tokensFor(world, client_id)).status).toBe(200)
    expect(await recordOf(place, client_id)).toMatchObject({
      client: { name: 'An app', firstUsedAt: world.clock() },
      expiresAt: world.clock() + 90 * DAY,
    })
    expect(world.eventsNamed('client.stored')).toMatchObject([{ clientId: client_id }])
  })

  test('a token request of a client that nobody agreed to leaves nothing behind', async () => {
    const place = site()
    const world = await start(place)
    const { client_id } = await register(world)
    const { client_id: other, client_secret } = await register(world, {
      token_endpoint_auth_method: 'client_secret_basic',
    })
    const junk = { grant_type: 'authorization_code', code: 'x', code_verifier: 'x'.repeat(43) }
    expect((await world.token({ ...junk, client_id })).body.error).toBe('invalid_grant')
    expect((await world.token(junk, basic(other, client_secret))).body.error).toBe('invalid_grant')
    expect((await world.token(junk, basic(other, `${client_secret}x`))).status).toBe(401)
    expect([await recordOf(place, client_id), await recordOf(place, other)]).toEqual([undefined, undefined])
  })

  test('works at an instance that has never heard of it, and is stored once by two at once', async () => {
    const place = site()
    const [one, two] = [await start(place), await start(place)]
    const { client_id } = await register(one)
    const answers = await Promise.all([tokensFor(one, client_id), tokensFor(two, client_id)])
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect([...one.eventsNamed('client.stored'), ...two.eventsNamed('client.stored')]).toHaveLength(1)
  })

  test('client_credentials: the first token is its first use', async () => {
    const place = site()
    const world = await start(place, {
      registration: { policies: { default: { grantTypes: ['client_credentials'] } } },
    })
    const { client_id, client_secret } = await register(world, {
      ...{ grant_types: ['client_credentials'], redirect_uris: [] },
      token_endpoint_auth_method: 'client_secret_basic',
    })
    expect(await recordOf(place, client_id)).toBeUndefined()
    const { status } = await world.token(
      { grant_type: 'client_credentials' },
      basic(client_id, client_secret),
    )
    expect(status).toBe(200)
    await until('it is stored', async () => (await recordOf(place, client_id)) !== undefined)
  })
})

describe('a client that is used', () => {
  test('is written down again when half of its time is over, and not with each request', async () => {
    const place = site()
    const world = await start(place, { refreshTokens: { lifetime: 300 * DAY } })
    const { client_id } = await register(world)
    let { refresh_token } = (await tokensFor(world, client_id)).body
    const first = await endOf(place, client_id)
    const refresh = async () => {
      const { body, status } = await refreshWith(world, client_id, refresh_token)
      expect(status).toBe(200)
      refresh_token = body.refresh_token
      await settled()
    }
    for (let day = 0; day < 44; day++) {
      await pass(world, DAY)
      await refresh()
    }
    expect(await endOf(place, client_id)).toBe(first)
    await pass(world, 2 * DAY)
    await refresh()
    await until('it is renewed', async () => (await endOf(place, client_id)) === world.clock() + 90 * DAY)
  })

  test('comes back by itself after its record was forgotten: the id says who it is', async () => {
    const place = site()
    const world = await start(place)
    const { client_id } = await register(world)
    await tokensFor(world, client_id)
    await pass(world, 91 * DAY)
    const other = await start(place)
    expect(await recordOf(place, client_id)).toBeUndefined()
    expect((await tokensFor(other, client_id)).status).toBe(200)
    expect(await recordOf(place, client_id)).toMatchObject({ client: { redirectUris: [REDIRECT_URI] } })
    expect(other.eventsNamed('client.stored')).toHaveLength(1)
  })

  test('reaped while a refresh is on its way: the refresh works, and the record is back', async () => {
    const place = site()
    const world = await start(place, { refreshTokens: { lifetime: 300 * DAY } })
    const { client_id } = await register(world)
    const { refresh_token } = (await tokensFor(world, client_id)).body
    await pass(world, 91 * DAY)
    const other = await start(place, { refreshTokens: { lifetime: 300 * DAY } })
    const answers = await Promise.all([1, 2].map(() => refreshWith(other, client_id, refresh_token)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    await until('it is stored', async () => (await recordOf(place, client_id)) !== undefined)
  })

  test('an id that is two years old is believed no more, but a record lives on', async () => {
    const place = site()
    const world = await start(place, { refreshTokens: { lifetime: 800 * DAY } })
    const [used, unused] = [await register(world), await register(world)]
    let { refresh_token } = (await tokensFor(world, used.client_id)).body
    for (let month = 0; month < 25; month++) {
      await pass(world, 30 * DAY)
      const { body } = await refreshWith(world, used.client_id, refresh_token)
      refresh_token = body.refresh_token
      await settled()
    }
    const later = await start(place)
    expect(await later.aat.clients.get(unused.client_id)).toBeUndefined()
    expect((await tokensFor(later, used.client_id)).status).toBe(200)
    // Its id would not bring it back any more, so it is kept for longer.
    expect(await endOf(place, used.client_id)).toBeGreaterThan(world.clock() + 180 * DAY)
  })

  test('the secrets of the server rotate: without the one that sealed it, a client lives by its record only', async () => {
    const place = site()
    const world = await start(place)
    const [used, unused] = [
      await register(world, { token_endpoint_auth_method: 'client_secret_post' }),
      await register(world),
    ]
    await tokensFor(world, used.client_id, used.client_secret)
    const second = await start(place, { secrets: [NEWER, SECRET] })
    expect(await second.aat.clients.get(unused.client_id)).toBeDefined()
    // The ring is none of its own here; clients are.
    const third = await start(place, { secrets: [NEWER] }, false)
    expect(await third.aat.clients.get(unused.client_id)).toBeUndefined()
    expect(await third.aat.clients.get(used.client_id)).toBeDefined()
    const status = async (secret: string) =>
      (
        await third.token({
          grant_type: 'none',
          client_id: used.client_id,
          client_secret: secret,
        })
      ).status
    expect([await status(used.client_secret), await status(`${used.client_secret}x`)]).toEqual([400, 401])
  })
})

describe('a client that was deleted', () => {
  test('does not come back by its id, used or not, at any instance, however long', async () => {
    const place = site()
    const [one, two] = [await start(place), await start(place)]
    const [used, unused] = [await register(one), await register(one)]
    const { refresh_token } = (await tokensFor(one, used.client_id)).body
    for (const { client_id } of [used, unused]) {
      expect(await two.aat.clients.get(client_id)).toBeDefined()
      expect(await one.aat.clients.delete(client_id)).toBe('deleted')
      expect(await one.aat.clients.delete(client_id)).toBe('unknown')
    }
    await two.tick()
    for (const at of [0, 1, 100 * DAY, 600 * DAY, 731 * DAY, 1000 * DAY]) {
      one.clock.now = 1_800_000_000 + at
      const fresh = await start(place)
      for (const { client_id } of [used, unused]) {
        expect(await fresh.aat.clients.get(client_id)).toBeUndefined()
        expect((await fetch(fresh.authorizeUrl({ client_id }), { redirect: 'manual' })).status).toBe(400)
      }
      expect((await refreshWith(fresh, used.client_id, refresh_token)).body.error).toBe('invalid_client')
    }
  })
})
