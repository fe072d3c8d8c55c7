import { afterEach, describe, expect, test } from '@jest/globals'
import { closeAll, type Instance, type Site, site, startInstance } from '../revocation-log/instances.ts'
import { METADATA, manage } from '../rfc7592/manage.ts'
import { CONFIDENTIAL } from '../support/world.ts'

let open: Instance[] = []
afterEach(async () => {
  await closeAll(...open)
  open = []
})
async function start(place: Site, dcr: Record<string, unknown> = {}): Promise<Instance> {
  const instance = await startInstance(place, {}, { dcr })
  open.push(instance)
  return instance
}
const register = async (world: Instance, more: Record<string, unknown> = {}) =>
  (await world.register({ ...METADATA, ...more })).body
const tokensFor = (world: Instance, client: { client_id: string; client_secret: string }) =>
  world.signInAndGetTokens(
    { client_id: client.client_id },
    { client_id: client.client_id, client_secret: client.client_secret },
  )
const errorOf = async (world: Instance, client_id: string, client_secret: string) =>
  (await world.token({ grant_type: 'refresh_token', refresh_token: 'x', client_id, client_secret })).body
    .error

describe('rotateSecret', () => {
  test('CAU-019: with an overlap of an hour old and new both work until its end, then only the new', async () => {
    const place = site()
    const [one, two] = [await start(place), await start(place)]
    const client = await register(one)
    expect(await errorOf(two, client.client_id, client.client_secret)).toBe('invalid_grant')
    const rotated = await one.aat.clients.rotateSecret(client.client_id, { overlap: 3600 })
    const { clientSecret } = rotated as { clientSecret: string }
    expect(rotated).toEqual({
      clientSecret: expect.stringMatching(/^[\w-]{43}$/),
      clientSecretExpiresAt: undefined,
    })
    await two.tick()
    for (const world of [one, two]) {
      expect(await errorOf(world, client.client_id, client.client_secret)).toBe('invalid_grant')
      expect(await errorOf(world, client.client_id, clientSecret)).toBe('invalid_grant')
    }
    one.clock.advance(3600)
    for (const world of [one, two]) {
      expect(await errorOf(world, client.client_id, client.client_secret)).toBe('invalid_client')
      expect(await errorOf(world, client.client_id, clientSecret)).toBe('invalid_grant')
    }
    expect(one.eventsNamed('client.secret_rotated')).toMatchObject([
      { clientId: client.client_id, by: 'app' },
    ])
    expect(JSON.stringify(one.events)).not.toContain(clientSecret)
  })

  test('without one the old secret ends at once; on request everything that the client holds does, too', async () => {
    const place = site()
    const world = await start(place)
    const client = await register(world)
    const { body } = await tokensFor(world, client)
    const first = await world.aat.clients.rotateSecret(client.client_id, { expiresIn: 500 })
    const { clientSecret, clientSecretExpiresAt } = first as {
      clientSecret: string
      clientSecretExpiresAt: number
    }
    expect(clientSecretExpiresAt).toBe(world.clock() + 500)
    expect(await errorOf(world, client.client_id, client.client_secret)).toBe('invalid_client')
    expect((await world.call('/api/a', body.access_token)).status).toBe(200)
    const second = await world.aat.clients.rotateSecret(client.client_id, {
      overlap: 1000,
      revokeTokens: true,
    })
    expect((await world.call('/api/a', body.access_token)).status).toBe(401)
    const refreshed = await world.token({
      ...{ grant_type: 'refresh_token', refresh_token: body.refresh_token, client_id: client.client_id },
      client_secret: (second as { clientSecret: string }).clientSecret,
    })
    expect(refreshed.body.error).toBe('invalid_grant')
    // An overlap does not prolong what ends before.
    world.clock.advance(500)
    expect(await errorOf(world, client.client_id, clientSecret)).toBe('invalid_client')
  })

  test('with revokeTokens a stolen secret gets nothing that lasts at an instance that does not know of it yet', async () => {
    const place = site()
    const [one, two] = [await start(place), await start(place)]
    const client = await register(one)
    await tokensFor(two, client)
    await one.aat.clients.rotateSecret(client.client_id, { revokeTokens: true })
    one.clock.advance(1)
    const { body } = await tokensFor(two, client)
    expect(body.access_token).toBeDefined()
    await two.tick()
    for (const world of [one, two]) expect((await world.call('/api/a', body.access_token)).status).toBe(401)
    expect(await errorOf(two, client.client_id, client.client_secret)).toBe('invalid_client')
  })

  test('of others it says why not, and wrong options are mistakes', async () => {
    const world = await start(site())
    const { client_id } = await register(world, { token_endpoint_auth_method: 'none' })
    const { rotateSecret } = world.aat.clients
    expect(await rotateSecret(client_id)).toBe('no-secret')
    expect(await rotateSecret('nobody')).toBe('unknown')
    expect(await rotateSecret(CONFIDENTIAL.id)).toBe('configured')
    for (const wrong of [{ overlap: -1 }, { overlap: '1' }, { expiresIn: 0 }, { revokeTokens: 1 }, { x: 1 }])
      await expect(rotateSecret(client_id, wrong as never)).rejects.toThrow(TypeError)
  })
})

describe('disable and enable', () => {
  test('nobody gets anything while it is off, at any instance; what it held is over; consent is remembered', async () => {
    const place = site()
    const [one, two] = [await start(place), await start(place)]
    const client = await register(one)
    const { body } = await tokensFor(one, client)
    expect(await errorOf(two, client.client_id, client.client_secret)).toBe('invalid_grant')
    expect(await one.aat.clients.disable(client.client_id)).toBe('disabled')
    await two.tick()
    for (const world of [one, two]) {
      expect((await world.call('/api/a', body.access_token)).status).toBe(401)
      expect(await errorOf(world, client.client_id, client.client_secret)).toBe('invalid_client')
      const page = await fetch(world.authorizeUrl({ client_id: client.client_id }), { redirect: 'manual' })
      expect(page.status).toBe(400)
      expect(await world.aat.clients.get(client.client_id)).toMatchObject({ disabledAt: world.clock() })
    }
    for (const method of ['GET', 'PUT', 'DELETE'])
      expect((await manage(method, client, method === 'PUT' ? METADATA : undefined)).status).toBe(403)
    one.clock.advance(10)
    expect(await one.aat.clients.enable(client.client_id)).toBe('enabled')
    await two.tick()
    const again = await tokensFor(two, client)
    expect(again.status).toBe(200)
    expect((await two.call('/api/a', again.body.access_token)).status).toBe(200)
    expect((await one.call('/api/a', body.access_token)).status).toBe(401)
    expect([one.eventsNamed('client.disabled'), one.eventsNamed('client.enabled')]).toMatchObject([
      [{ clientId: client.client_id }],
      [{ clientId: client.client_id }],
    ])
  })

  test('what an instance grants that does not know of it yet is worth nothing', async () => {
    const place = site()
    const [one, two] = [await start(place), await start(place)]
    const client = await register(one)
    await tokensFor(two, client)
    await one.aat.clients.disable(client.client_id)
    one.clock.advance(1)
    const { body } = await tokensFor(two, client)
    expect(body.access_token).toBeDefined()
    await two.tick()
    for (const world of [one, two]) expect((await world.call('/api/a', body.access_token)).status).toBe(401)
  })

  test('a client that is off stays off when it is not looked at for years: its id does not bring it back', async () => {
    const place = site()
    const world = await start(place)
    const unused = await register(world)
    await world.aat.clients.disable(unused.client_id)
    for (const days of [100, 364, 400, 700, 800]) {
      world.clock.now = 1_800_000_000 + days * 86_400
      const fresh = await start(place)
      expect(await errorOf(fresh, unused.client_id, unused.client_secret)).toBe('invalid_client')
    }
  })

  test('of others it says why not', async () => {
    const { aat } = await start(site())
    expect(await aat.clients.disable('nobody')).toBe('unknown')
    expect(await aat.clients.enable(`dcr_${'A'.repeat(22)}`)).toBe('unknown')
    expect(await aat.clients.disable(CONFIDENTIAL.id)).toBe('configured')
    expect(await aat.clients.delete(CONFIDENTIAL.id)).toBe('configured')
  })
})

describe('list', () => {
  test('in pages with cursors, those that are used; searched by name, redirect URI and id', async () => {
    const place = site()
    const world = await start(place, { allow: () => true })
    const made = []
    for (let index = 0; index < 25; index++)
      made.push(
        await register(world, {
          client_name: index % 5 === 0 ? `Special ${index}` : `Client ${index}`,
          redirect_uris: [`https://host-${index}.example/cb`],
        }),
      )
    const found: string[] = []
    let cursor: string | undefined
    do {
      const page = await world.aat.clients.list({ limit: 10, cursor })
      expect(page.clients.length).toBeLessThanOrEqual(10)
      found.push(...page.clients.map(({ clientId }) => clientId))
      cursor = page.cursor
    } while (cursor !== undefined)
    expect(found.sort()).toEqual(made.map(({ client_id }) => client_id).sort())
    const names = async (search: string) =>
      (await world.aat.clients.list({ search })).clients.map(({ name }) => name).sort()
    expect(await names('sPECial')).toEqual([
      'Special 0',
      'Special 10',
      'Special 15',
      'Special 20',
      'Special 5',
    ])
    expect(await names('host-7.')).toEqual(['Client 7'])
    expect(await names(made[3].client_id)).toEqual(['Client 3'])
    expect(await names('none of these')).toEqual([])
    const text = JSON.stringify(await world.aat.clients.list())
    expect(text).not.toMatch(/secrets|hash|registrationToken/i)
    for (const { client_secret } of made) expect(text).not.toContain(client_secret)
  })

  test('configured ones by their origin; wrong queries are mistakes', async () => {
    const { aat } = await start(site())
    const first = await aat.clients.list({ origin: 'configuration', limit: 2 })
    expect(first.clients.map(({ clientId }) => clientId)).toEqual(['confidential', 'public'])
    const { cursor } = first
    const second = await aat.clients.list({ origin: 'configuration', limit: 2, cursor })
    expect([second.clients.map(({ clientId }) => clientId), second.cursor]).toEqual([
      ['api-server'],
      undefined,
    ])
    for (const wrong of [
      ...[{ limit: 0 }, { limit: 1001 }, { limit: 'x' }, { cursor: 'x' }, { cursor: 1 }, { origin: 'x' }],
      ...[
        { search: '' },
        { search: 'x'.repeat(201) },
        { page: 1 },
        { origin: 'configuration', cursor: '-1' },
      ],
    ])
      await expect(aat.clients.list(wrong as never)).rejects.toThrow(TypeError)
  })
})
