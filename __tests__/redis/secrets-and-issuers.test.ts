import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { type RedisServer, sharedRedis } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { headerOf } from '../support/world.ts'
import { expectInvalidGrant, Instances, kidsOf, signIn, to } from './instances.ts'

const OLD = 'the-old-secret-0123456789-0123456789-0123456789'
const NEW = 'the-new-secret-0123456789-0123456789-0123456789'
const RING = 'aat:{ring}:r'

let server: RedisServer
let instances: Instances
beforeEach(async () => {
  const shared = await sharedRedis()
  await shared.flush()
  server = shared
  instances = new Instances(to(server), { aat: { secrets: [OLD] } })
})
afterEach(() => instances.close())

const clientCredentials = { grant_type: 'client_credentials', scope: 'a' }

test('FLT-046: the active key is revoked under load: refused here within a second, elsewhere once fetched; refreshes go on', async () => {
  const worlds = await instances.startMany(3)
  const [one, two] = worlds as [(typeof worlds)[0], (typeof worlds)[0]]
  const holders = await signIn(one, 6)
  // A verifier elsewhere, with a cache as short as a test needs it.
  const jwks = createRemoteJWKSet(new URL(`${one.base}/.well-known/jwks.json`), {
    cacheMaxAge: 1000,
    cooldownDuration: 0,
  })
  const verify = (token: string) => jwtVerify(token, jwks, { issuer: one.issuer })
  const stolen = (await one.token(clientCredentials)).body.access_token
  await verify(stolen)
  let isDone = false
  const load = Promise.all(
    holders.map(async (holder) => {
      while (!isDone) await holder.refresh(worlds)
    }),
  )
  load.catch(() => undefined)
  const began = performance.now()
  await two.aat.keys.revoke(String(headerOf(stolen).kid))
  for (const world of worlds)
    await until('refused', async () => (await world.call('/api/a', stolen)).status === 401, { timeout: 2000 })
  expect(performance.now() - began).toBeLessThan(1000)
  await until(
    'refused elsewhere',
    () =>
      verify(stolen).then(
        () => false,
        () => true,
      ),
    { timeout: 3000 },
  )
  isDone = true
  await load
  for (const holder of holders) {
    await holder.refresh(worlds)
    expect(headerOf(holder.access).kid).not.toBe(headerOf(stolen).kid)
    for (const world of worlds) expect((await world.call('/api/a', holder.access)).status).toBe(200)
    await verify(holder.access)
  }
})

test('FLT-047: the secret is lost: no competing ring, running instances go on; a new ring once the old one is taken away', async () => {
  const one = await instances.start()
  const [holder] = await signIn(one, 1)
  const before = await server.send('HGETALL', RING)
  const two = await instances.start({ aat: { secrets: [NEW] }, ready: false })
  await expect(two.aat.ready()).rejects.toThrow('sealed with a secret that is not configured here')
  expect((await two.token(clientCredentials)).status).toBe(503)
  expect(await server.send('HGETALL', RING)).toEqual(before)
  expect((await one.call('/api/a', holder?.access)).status).toBe(200)
  await holder?.refresh(one)
  expect((await one.token(clientCredentials)).status).toBe(200)

  await instances.stop(one)
  await server.send('DEL', RING)
  await until('it is ready', () =>
    two.aat.ready().then(
      () => true,
      () => false,
    ),
  )
  for (const kid of await kidsOf(two)) expect(JSON.stringify(before)).not.toContain(kid)
  const [next] = await signIn(two, 1)
  await next?.refresh(two)
  // The secret read refresh tokens too.
  await expectInvalidGrant(two, holder?.token ?? '')
})

test('FLT-048: the secret leaked: secret and signing keys are replaced in rolling deploys, and nobody signs in again', async () => {
  const one = await instances.start()
  const [holder] = await signIn(one, 1)
  const leaked = await kidsOf(one)
  const two = await instances.start({ aat: { secrets: [OLD, NEW] } })
  await holder?.refresh([one, two])
  await instances.stop(one)
  const three = await instances.start({ aat: { secrets: [NEW, OLD] } })
  await holder?.refresh([two, three])
  await instances.stop(two)
  // Records are sealed anew once no deploy can be under way.
  three.clock.advance(700)
  await until('sealed anew', () => {
    const [byNew, byOld] = Object.values(three.aat.keys.status().sealedBy)
    return byNew === leaked.length && byOld === 0
  })
  for (const kid of leaked) await three.aat.keys.revoke(kid)
  for (const kid of await kidsOf(three)) expect(leaked).not.toContain(kid)
  await holder?.refresh(three)
  expect(leaked).not.toContain(headerOf(holder?.access ?? '').kid)
  const four = await instances.start({ aat: { secrets: [NEW] } })
  four.clock.advance(700)
  await holder?.refresh(four)
  await holder?.refresh([three, four])
}, 30_000)

test('FLT-052: two issuers on one prefix: the second is not ready, says whose stores they are, and changes nothing', async () => {
  const one = await instances.start()
  await signIn(one, 1)
  const before = await server.send('HGETALL', RING)
  const other = new Instances(to(server))
  try {
    const two = await other.start({ ready: false })
    await expect(two.aat.ready()).rejects.toThrow(`these stores belong to ${one.issuer}`)
    expect((await two.token(clientCredentials)).status).toBe(503)
    await expect(two.aat.keys.rotate()).rejects.toThrow()
    expect(await server.send('HGETALL', RING)).toEqual(before)
    const three = await other.start({ redis: { prefix: 'other:' }, issuer: two.base })
    expect((await three.token(clientCredentials)).status).toBe(200)
    for (const kid of await kidsOf(three)) expect(JSON.stringify(before)).not.toContain(kid)
  } finally {
    await other.close()
  }
})
