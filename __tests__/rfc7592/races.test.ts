import { afterEach, describe, expect, test } from '@jest/globals'
import { recordingStores } from '../support/recording-stores.ts'
import { makeSharedStores, makeStores } from '../support/stores.ts'
import { until } from '../support/until.ts'
import {
  basic,
  manualClock,
  REDIRECT_URI,
  startWorld,
  type World,
  type WorldOptions,
} from '../support/world.ts'
import { at, METADATA, manage, type Registration } from './manage.ts'

let open: World[] = []
afterEach(async () => {
  for (const world of open) await world.close()
  open = []
})
async function start(options: WorldOptions = {}): Promise<World> {
  const clock = options.clock ?? manualClock()
  const registration = { quotas: { perSource: false, perRedirectHost: false, global: false } } as const
  const world = await startWorld({
    clock,
    stores: await makeStores(clock),
    aat: { registration },
    ...options,
  })
  open.push(world)
  return world
}
async function startTwo(dcr: WorldOptions['dcr'] = {}): Promise<[World, World]> {
  const clock = manualClock()
  const stores = await makeSharedStores(clock)
  const one = await start({ clock, stores: stores(), dcr })
  return [one, await start({ clock, stores: stores(), dcr, issuer: one.issuer })]
}

const register = async (world: World, more: Record<string, unknown> = {}): Promise<Registration> =>
  at(world.base, (await world.register({ ...METADATA, ...more })).body)
const put = (client: Registration, more: Record<string, unknown> = {}) =>
  manage('PUT', client, { ...METADATA, client_id: client.client_id, ...more })
const withToken = (client: Registration, token: string) => ({ ...client, registration_access_token: token })
const tokensFor = (world: World, { client_id, client_secret }: Registration) =>
  world.signInAndGetTokens({ client_id }, { client_id, client_secret })
const isIn = (body: { error?: string; access_token?: string }) =>
  body.error === undefined || body.error !== 'invalid_client'

describe('MGT-014: registration access tokens that rotate', () => {
  const dcr = { rotateRegistrationAccessTokens: true }

  test('MGT-014: each use gives the next; the one before is refused once that was used', async () => {
    const world = await start({ dcr })
    const one = await register(world)
    const seen = [one.registration_access_token]
    for (const use of [manage.bind(null, 'GET'), put, manage.bind(null, 'GET'), put]) {
      const { status, body } = await use(withToken(one, seen.at(-1) as string))
      expect(status).toBe(200)
      seen.push(body.registration_access_token)
    }
    expect(new Set(seen).size).toBe(5)
    for (const old of seen.slice(0, -2))
      expect((await manage('GET', withToken(one, old))).body.error).toBe('invalid_token')
    expect((await manage('GET', withToken(one, seen.at(-1) as string))).status).toBe(200)
  })

  test('a reply that was lost: the same request gives the same successor, for 300 seconds', async () => {
    const world = await start({ dcr })
    const one = await register(world)
    const first = await put(one, { client_name: 'First' })
    const again = await put(one, { client_name: 'First' })
    expect(again.body).toEqual(first.body)
    world.clock.advance(299)
    expect((await manage('GET', one)).body.registration_access_token).toBe(
      first.body.registration_access_token,
    )
    world.clock.advance(1)
    expect((await manage('GET', one)).status).toBe(401)
    const next = withToken(one, first.body.registration_access_token)
    expect((await manage('GET', next)).body.client_name).toBe('First')
  })

  test('many uses at once, at two instances: one successor, which works', async () => {
    const [a, b] = await startTwo(dcr)
    const one = await register(a)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => manage('GET', at(index % 2 === 0 ? a.base : b.base, one))),
    )
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
    const successors = new Set(answers.map(({ body }) => body.registration_access_token))
    expect(successors.size).toBe(1)
    expect((await manage('GET', withToken(one, [...successors][0] as string))).status).toBe(200)
  })
})

test('secrets that rotate with each update: old and new both work for the overlap, a lost reply costs nothing', async () => {
  const world = await start({ dcr: { rotateClientSecrets: true, clientSecretOverlap: 600 } })
  const one = await register(world)
  const lost = (await put(one)).body.client_secret
  const held = (await put(one)).body.client_secret
  expect(new Set([one.client_secret, lost, held]).size).toBe(3)
  const isGood = async (client_secret: string) =>
    isIn(
      (
        await world.token({
          ...{ grant_type: 'refresh_token', refresh_token: 'x' },
          ...{ client_id: one.client_id, client_secret },
        })
      ).body,
    )
  expect([await isGood(one.client_secret), await isGood(held)]).toEqual([true, true])
  world.clock.advance(600)
  expect([await isGood(one.client_secret), await isGood(held)]).toEqual([false, true])
  expect(world.eventsNamed('client.secret_rotated')).toHaveLength(2)
})

test('MGT-020: 50 different updates at once at two instances: in the end it is exactly one of them', async () => {
  const [a, b] = await startTwo()
  const one = await register(a)
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      put(at(index % 2 === 0 ? a.base : b.base, one), {
        client_name: `Client ${index}`,
        redirect_uris: [`https://client.example/${index}`],
        contacts: [`c${index}`],
      }),
    ),
  )
  expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
  const { body } = await manage('GET', one)
  const index = Number(/\d+$/.exec(body.client_name)?.[0])
  expect(body).toEqual(answers[index]?.body)
  expect(body).toMatchObject({ redirect_uris: [`https://client.example/${index}`], contacts: [`c${index}`] })
})

describe('MGT-017: deletion against what is under way', () => {
  test('MGT-017: against refreshes and redemptions: after the 204 nothing of the client works (60 rounds of the 1,000)', async () => {
    const world = await start()
    for (let round = 0; round < 60; round++) {
      const one = await register(world)
      const auth = { client_id: one.client_id, client_secret: one.client_secret }
      const { body } = await tokensFor(world, one)
      const { code, verifier } = await world.authorize({ client_id: one.client_id })
      const redeem = () =>
        world.token({
          ...{ grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI },
          ...auth,
        })
      const refresh = (token: string) =>
        world.token({ grant_type: 'refresh_token', refresh_token: token, ...auth })
      const [deleted, refreshed, redeemed] = await Promise.all([
        manage('DELETE', one),
        refresh(body.refresh_token),
        redeem(),
      ])
      expect(deleted.status).toBe(204)
      for (const got of [body, refreshed.body, redeemed.body]) {
        if (got.access_token === undefined) continue
        expect((await world.call('/api/a', got.access_token)).status).toBe(401)
        expect((await refresh(got.refresh_token)).body.error).toBe('invalid_client')
      }
      expect((await redeem()).body.error).toBe('invalid_client')
      expect(await world.aat.clients.get(one.client_id)).toBeUndefined()
    }
  })

  test('MGT-017: against a first use at another instance: it stays deleted, and what was granted is worth nothing', async () => {
    const [a, b] = await startTwo()
    for (let round = 0; round < 15; round++) {
      const one = await register(a)
      await b.aat.clients.get(one.client_id)
      const [deleted, tokens] = await Promise.all([manage('DELETE', one), tokensFor(b, one)])
      expect(deleted.status).toBe(204)
      expect(await a.aat.clients.get(one.client_id)).toBeUndefined()
      expect(await b.aat.clients.get(one.client_id)).toBeUndefined()
      if (tokens.body?.access_token !== undefined)
        expect((await a.call('/api/a', tokens.body.access_token)).status).toBe(401)
    }
  })

  test('MGT-017: against refreshes at another instance: what they give is worth nothing once it knows', async () => {
    const [a, b] = await startTwo()
    for (let round = 0; round < 15; round++) {
      const one = await register(a)
      const auth = { client_id: one.client_id, client_secret: one.client_secret }
      const { body } = await tokensFor(b, one)
      const refresh = (token: string) =>
        b.token({ grant_type: 'refresh_token', refresh_token: token, ...auth })
      const [deleted, refreshed] = await Promise.all([manage('DELETE', one), refresh(body.refresh_token)])
      expect(deleted.status).toBe(204)
      const got = refreshed.status === 200 ? refreshed.body : body
      await until('it knows', async () => (await b.call('/api/a', got.access_token)).status === 401)
      expect((await refresh(got.refresh_token)).body.error).toBe('invalid_client')
    }
  })

  test('against an update: whichever comes first, it is gone', async () => {
    const [a, b] = await startTwo()
    for (let round = 0; round < 15; round++) {
      const one = await register(a)
      const [deleted, updated] = await Promise.all([manage('DELETE', one), put(at(b.base, one))])
      expect(deleted.status).toBe(204)
      expect([200, 401]).toContain(updated.status)
      for (const base of [a.base, b.base]) expect((await manage('GET', at(base, one))).status).toBe(401)
    }
  })
})

test('MGT-019: at rest there is a hash of a registration access token and of a secret, never one of them', async () => {
  for (const dcr of [
    { rotateRegistrationAccessTokens: true, rotateClientSecrets: true },
    { allow: () => true },
  ]) {
    const clock = manualClock()
    const { stores, calls } = recordingStores(await makeStores(clock))
    const world = await start({ clock, stores, dcr })
    const one = await register(world)
    await tokensFor(world, one)
    const first = await put(one)
    const second = await put(withToken(one, first.body.registration_access_token))
    const dump = JSON.stringify(calls)
    expect(dump).toContain('registrationTokens')
    const hidden = [one, first.body, second.body].flatMap((told) => [
      told.registration_access_token,
      told.client_secret,
    ])
    for (const secret of hidden.filter((value) => value !== undefined)) {
      expect(secret.length).toBeGreaterThan(40)
      const bytes = Buffer.from(secret.replace(/^aat_reg_/, ''), 'base64url')
      for (const form of [
        secret.replace(/^aat_reg_/, ''),
        bytes.toString('hex'),
        bytes.toString('base64').slice(0, 40),
      ])
        expect(dump).not.toContain(form)
    }
  }
})

describe('what strangers may leave in the store', () => {
  test('changes and deletions of registrations that nobody used: 500 a day at all instances, then 429', async () => {
    const [a, b] = await startTwo({ rateLimit: false })
    for (const { app } of [a, b]) app.set('trust proxy', 1)
    const clients = await Promise.all(Array.from({ length: 502 }, () => register(a)))
    const used = await register(a)
    await tokensFor(a, used)
    const statuses: number[] = []
    for (const [index, client] of clients.entries()) {
      const target = at(index % 2 === 0 ? a.base : b.base, client)
      const from = { 'X-Forwarded-For': `192.0.2.${index % 9}` }
      const answer =
        index % 3 === 0
          ? await manage('PUT', target, { ...METADATA, client_id: client.client_id }, from)
          : await manage('DELETE', target, undefined, from)
      statuses.push(answer.status)
      if (answer.status === 429) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    }
    expect(statuses.filter((status) => status === 429)).toHaveLength(2)
    expect(statuses.slice(500)).toEqual([429, 429])
    // Nobody who is used is in their way; what has a record may go on changing.
    expect((await put(used)).status).toBe(200)
    expect((await put(clients[0] as Registration)).status).toBe(200)
    expect((await manage('GET', clients[501] as Registration)).status).toBe(200)
    a.clock.advance(86_400)
    expect((await manage('DELETE', clients[501] as Registration)).status).toBe(204)
  }, 120_000)

  test('a registration that is too long for an id is stored for 30 days, and for longer once it is used; too long for that is 400', async () => {
    const world = await start()
    const uris = (length: number) =>
      Array.from({ length: 4 }, (_, i) => `https://a.example/${i}${'x'.repeat(length)}`)
    const [used, unused] = [
      await register(world, { redirect_uris: uris(300) }),
      await register(world, { redirect_uris: uris(300) }),
    ]
    expect(used.client_id).toMatch(/^dcr_[\w-]{22}$/)
    const { client_id, client_secret } = used
    const way = { client_id, redirect_uri: uris(300)[0] }
    expect((await world.signInAndGetTokens(way, { client_id, client_secret })).status).toBe(200)
    const { status, body } = await world.register({ ...METADATA, redirect_uris: uris(2020) })
    expect([status, body.error]).toEqual([400, 'invalid_client_metadata'])
    for (const client of [await register(world), used, unused]) {
      const updated = await put(client, { redirect_uris: uris(2020) })
      expect([updated.status, updated.body.error]).toEqual([400, 'invalid_client_metadata'])
    }
    world.clock.advance(31 * 86_400)
    expect(await world.aat.clients.get(unused.client_id)).toBeUndefined()
    expect(await world.aat.clients.get(used.client_id)).toBeDefined()
  })
})

test('a client that was changed does not come back as it was, however long it was away', async () => {
  const world = await start()
  const one = await register(world, { redirect_uris: ['https://old.example/cb'] })
  await put(one, { redirect_uris: [REDIRECT_URI] })
  for (const days of [1, 31, 366, 600]) {
    world.clock.now = 1_800_000_000 + days * 86_400
    const client = await world.aat.clients.get(one.client_id)
    expect(client?.redirectUris ?? 'gone').toEqual(days < 30 ? [REDIRECT_URI] : 'gone')
  }
})

test('an id that was handed out before, at an instance that remembers it, is judged by what it is now within a look', async () => {
  const [a, b] = await startTwo()
  const one = await register(a)
  expect(
    (
      await b.token({
        grant_type: 'refresh_token',
        refresh_token: 'x',
        client_id: one.client_id,
        client_secret: one.client_secret,
      })
    ).body.error,
  ).toBe('invalid_grant')
  await put(one, { token_endpoint_auth_method: 'client_secret_basic' })
  // Told by the log: by its record of before it would be invalid_client.
  await until('it knows', async () => {
    const request = { grant_type: 'refresh_token', refresh_token: 'x' }
    return (await b.token(request, basic(one.client_id, one.client_secret))).body.error === 'invalid_grant'
  })
})

test('the secrets of the server rotate: registration access tokens and secrets of before stay good, and rotate on', async () => {
  const clock = manualClock()
  const stores = await makeSharedStores(clock)
  const [OLD, NEW] = ['the-older-secret-0123456789-0123456789', 'the-newer-secret-0123456789-0123456789']
  const dcr = { rotateRegistrationAccessTokens: true }
  const before = await start({ clock, stores: stores(), dcr, aat: { secrets: [OLD] } })
  const one = await register(before)
  const during = await start({
    ...{ clock, stores: stores(), dcr, issuer: before.issuer },
    aat: { secrets: [NEW, OLD] },
  })
  const first = await put(at(during.base, one))
  expect(first.status).toBe(200)
  // The old deploy derives another successor: it says that it cannot, and not that the client is wrong.
  const stale = await manage('GET', one)
  expect([stale.status, stale.body.error]).toEqual([503, 'temporarily_unavailable'])
  const after = await start({
    ...{ clock, stores: stores(), dcr, issuer: before.issuer, ready: false },
    aat: { secrets: [NEW] },
  })
  const held = withToken(at(after.base, one), first.body.registration_access_token)
  expect((await manage('GET', held)).status).toBe(200)
})
