import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { afterEach, expect, jest, test } from '@jest/globals'
import { SignJWT } from 'jose'
import { aDocument, CACHED, CALLBACK, CLIENT_ID, startSite } from '../client-metadata-documents/site.ts'
import { manage } from '../rfc7592/manage.ts'
import { recordingStores } from '../support/recording-stores.ts'
import { makeStores } from '../support/stores.ts'
import { HOST } from '../support/strangers-host.ts'
import { until } from '../support/until.ts'
import { claimsOf, manualClock, startWorld, type World } from '../support/world.ts'

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
let serial = 0
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** An assertion of a client, by a key of its own. */
async function assertionOf(clientId: string, world: World, header: Record<string, unknown>, key: KeyObject) {
  return new SignJWT({ jti: `jti-${serial++}` })
    .setProtectedHeader({ alg: 'ES256', ...header })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(world.issuer)
    .setExpirationTime(world.clock() + 60)
    .sign(key)
}
const newPair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

test('registrations that are refused make no counters, however many hosts they name', async () => {
  const clock = manualClock()
  const stores = await makeStores(clock)
  const touched = new Set<string>()
  const take: typeof stores.counters.take = (key, ...rest) => {
    touched.add(key)
    return stores.counters.take(key, ...rest)
  }
  const world = await startWorld({
    clock,
    stores: { ...stores, counters: { ...stores.counters, take } },
    before: (app) => app.set('trust proxy', 1),
    aat: { registration: { quotas: { perSource: { limit: 2 }, global: { limit: 3 } } } },
  })
  closing.push(world.close)
  let host = 0
  const register = async (source: string) => {
    const redirect_uris = Array.from({ length: 20 }, () => `https://h${host++}.example/cb`)
    const response = await fetch(world.endpoint('register'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Forwarded-For': source },
      body: JSON.stringify({ redirect_uris, token_endpoint_auth_method: 'none' }),
    })
    return response.status
  }
  for (const _ of [1, 2]) expect(await register('192.0.2.1')).toBe(201)
  const before = touched.size
  for (let round = 0; round < 10; round++) expect(await register('192.0.2.1')).toBe(429)
  expect(touched.size).toBe(before)
  expect(await register('192.0.2.2')).toBe(201)
  const full = touched.size
  for (let source = 3; source < 13; source++) expect(await register(`192.0.2.${source}`)).toBe(429)
  // One for each source itself.
  expect(touched.size).toBe(full + 10)
})

test('one assertion is tried with few keys, however many are published: a hundred cost 400 ms', async () => {
  const site = await startSite()
  closing.push(site.close)
  const pairs = Array.from({ length: 6 }, newPair)
  const keys = pairs.map(({ publicKey }, index) => ({
    ...publicKey.export({ format: 'jwk' }),
    kid: `k${index}`,
  }))
  site.host.answerJson(aDocument({ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys } }), CACHED)
  const ask = async (index: number, header: Record<string, unknown>) => {
    const key = pairs[index]?.privateKey as KeyObject
    const { body } = await site.world.token({
      grant_type: 'refresh_token',
      refresh_token: 'none',
      client_id: CLIENT_ID,
      client_assertion_type: TYPE,
      client_assertion: await assertionOf(CLIENT_ID, site.world, header, key),
    })
    return body.error
  }
  expect([await ask(4, {}), await ask(5, { kid: 'k5' }), await ask(5, {})]).toEqual([
    'invalid_grant',
    'invalid_grant',
    'invalid_client',
  ])
})

test('CIM-017: a document that is nested a thousand levels deep is refused like any that is wrong, never 500', async () => {
  const site = await startSite()
  closing.push(site.close)
  const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  for (const [index, member] of ['contacts', 'client_name', 'jwks', 'redirect_uris'].entries()) {
    const id = `${CLIENT_ID}?${index}`
    const text = JSON.stringify(aDocument({ client_id: id, [member]: 'HERE' }))
    site.host.answerJson(text.replace('"HERE"', nested(20_000)), CACHED)
    const answer = await site.ask({ client_id: id, redirect_uri: CALLBACK })
    expect([member, answer.status]).toEqual([member, 400])
  }
  expect(site.world.eventsNamed('fault')).toEqual([])
  expect(site.world.eventsNamed('client.document_refused')).toHaveLength(4)
})

test('one source alone does not use up what all may leave unused in the store in a day', async () => {
  const clock = manualClock()
  const world = await startWorld({
    clock,
    stores: await makeStores(clock),
    before: (app) => app.set('trust proxy', 1),
  })
  closing.push(world.close)
  const register = async (source: string) => {
    const redirect_uris = Array.from(
      { length: 8 },
      (_, index) => `https://${index}${'x'.repeat(150)}.example/cb`,
    )
    const response = await fetch(world.endpoint('register'), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Forwarded-For': source },
      body: JSON.stringify({ redirect_uris, token_endpoint_auth_method: 'none' }),
    })
    return response.status
  }
  const flood: number[] = []
  for (let round = 0; round < 510; round++) flood.push(await register('192.0.2.1'))
  expect(flood.filter((status) => status === 201)).toHaveLength(100)
  expect(await register('192.0.2.2')).toBe(201)
})

test('by anybody: what nobody used takes no place of maxClients, too long for an id or changed', async () => {
  const clock = manualClock()
  const world = await startWorld({
    clock,
    stores: await makeStores(clock),
    aat: { registration: { quotas: false, policies: { default: { maxClients: 1 } } } },
  })
  closing.push(world.close)
  const uri = 'https://app.example/cb'
  const app = { redirect_uris: [uri], token_endpoint_auth_method: 'none' }
  const long = { ...app, redirect_uris: [uri, `https://app.example/${'x'.repeat(900)}`] }
  const changed = (await world.register(app)).body
  for (const _ of [1, 2]) expect((await world.register(long)).status).toBe(201)
  expect((await manage('PUT', changed, { ...app, client_id: changed.client_id })).status).toBe(200)
  const good = (await world.register(long)).body
  const ask = (client_id: string) => world.authorize({ client_id, redirect_uri: uri, scope: 'a' })
  expect((await ask(good.client_id)).code).not.toBe('')
  // From its first use on it has the one place that there is.
  expect((await ask(changed.client_id)).code).toBe('')
  expect((await manage('PUT', good, { ...app, client_id: good.client_id })).status).toBe(200)
  await world.aat.clients.delete(good.client_id)
  expect((await ask(changed.client_id)).code).not.toBe('')
})

test('keys of a client by its document that no user agreed to take no room in the store', async () => {
  const clock = manualClock()
  const { stores, calls } = recordingStores(await makeStores(clock))
  const site = await startSite({ clock, stores })
  closing.push(site.close)
  const { publicKey, privateKey } = newPair()
  const keysUrl = `https://${HOST}/keys.json`
  site.host.answer((req, res) => {
    res.writeHead(200, { 'Content-Type': 'application/json', ...CACHED })
    res.end(
      JSON.stringify(
        req.url === '/keys.json'
          ? { keys: [publicKey.export({ format: 'jwk' })] }
          : aDocument({ token_endpoint_auth_method: 'private_key_jwt', jwks_uri: keysUrl }),
      ),
    )
  })
  const credentials = async () => ({
    client_id: CLIENT_ID,
    client_assertion_type: TYPE,
    client_assertion: await assertionOf(CLIENT_ID, site.world, {}, privateKey),
  })
  const saved = () => calls.filter(({ store, verb }) => store === 'documents' && verb === 'save').length
  const stranger = await site.world.token({
    grant_type: 'refresh_token',
    refresh_token: 'none',
    ...(await credentials()),
  })
  expect([stranger.body.error, saved()]).toEqual(['invalid_grant', 0])
  expect((await site.signIn({}, await credentials())).status).toBe(200)
  await until('the keys are in the store', () => saved() === 2)
})

test('of a forged token nothing is made but what tells that it is one, however many things are in it', async () => {
  const world = await startWorld()
  closing.push(world.close)
  const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
  const [header, , signature] = body.access_token.split('.')
  const claims = { ...claimsOf(body.access_token), things: Array.from({ length: 1000 }, () => []) }
  const payload = Buffer.from(JSON.stringify(claims)).toString('base64url')
  const freeze = jest.spyOn(Object, 'freeze')
  expect((await world.call('/api/a', `${header}.${payload}.${signature}`)).status).toBe(401)
  const frozen = freeze.mock.calls.filter(([value]) => Array.isArray(value)).length
  freeze.mockRestore()
  expect(frozen).toBeLessThan(100)
})
