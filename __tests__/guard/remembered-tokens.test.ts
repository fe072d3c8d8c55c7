import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { getAat, requireAat } from '../../lib/index.ts'
import { type Instance, site, startInstance } from '../revocation-log/instances.ts'
import { claimsOf, headerOf, startWorld, type WorldOptions } from '../support/world.ts'

/** Tokens that a guard has verified and answered before, by the way in which they stop being good. */
let world: Instance
let token: string
const read: string[] = []

const routes: NonNullable<WorldOptions['after']> = (app, aat) => {
  const resource = `${aat.issuer}/api`
  const reader = (name: string) =>
    requireAat(aat, {
      resource,
      readClaims: ({ sub }) => {
        read.push(name)
        return { reader: name, name: `user ${sub}` }
      },
    })
  for (const name of ['one', 'two'])
    app.get(`/read/${name}`, reader(name), (req, res) => {
      const { claims } = getAat<{ reader: string; name: string }>(req)
      res.json({ reader: claims.reader, name: claims.name })
    })
  app.get('/meddle', requireAat(aat, { resource }), (req, res) => {
    const auth = getAat(req)
    const before = auth.resource.href
    auth.resource.pathname = '/changed'
    res.json({ before })
  })
  app.get(
    '/lenient',
    requireAat(aat, { resource, whenRevocationStale: 'accept' }),
    (_req, res) => void res.json({}),
  )
  app.get(
    '/client-only',
    requireAat(aat, { resource, principal: 'client' }),
    (_req, res) => void res.json({}),
  )
}

beforeEach(async () => {
  read.length = 0
  world = await startInstance(site(), {}, { after: routes })
  token = (await world.signInAndGetTokens({ scope: 'a' })).body.access_token
  for (let use = 0; use < 3; use++) expect(await statusOf()).toBe(200)
})
afterEach(() => world.close())

const statusOf = async (path = '/api/a', which = token) => (await world.call(path, which)).status

describe('a token that is remembered', () => {
  test.each<[string, () => unknown]>([
    ['it is revoked', () => world.aat.revoke({ jti: String(claimsOf(token).jti) })],
    ['its grant is revoked', () => world.aat.revoke({ grantId: String(claimsOf(token).grant_id) })],
    ['its client is revoked', () => world.aat.revoke({ clientId: String(claimsOf(token).client_id) })],
    ['its user is revoked', () => world.aat.revoke({ subject: 'alice' })],
    ['everything of before is revoked', () => world.aat.revoke({ before: world.clock() })],
    ['its key is revoked', () => world.aat.keys.revoke(String(headerOf(token).kid))],
    ['it expires', () => world.clock.advance(305)],
  ])('is refused by the next request when %s', async (_what, happens) => {
    await happens()
    await world.tick()
    for (let use = 0; use < 2; use++) expect(await statusOf()).toBe(401)
  })

  test('is good until it expires, to the second', async () => {
    for (let second = 1; second <= 304; second++) {
      world.clock.advance(1)
      world.monotonic.advance(1)
      if (second % 3 === 0) await world.tick()
      if (second % 50 === 0) expect(await statusOf()).toBe(200)
    }
    expect(await statusOf()).toBe(200)
    world.clock.advance(1)
    expect(await statusOf()).toBe(401)
  })

  test('is judged by each route anew', async () => {
    for (let round = 0; round < 2; round++) {
      expect(await statusOf('/api/ab')).toBe(403)
      expect(await statusOf('/client-only')).toBe(403)
      expect(await statusOf('/api/user')).toBe(200)
      expect(await statusOf('/api/a')).toBe(200)
    }
  })

  test('is 503 while revocations are not known, and each request that goes on all the same is counted', async () => {
    world.line.isCut = true
    world.monotonic.advance(5.001)
    for (let use = 0; use < 2; use++) expect(await statusOf()).toBe(503)
    const before = world.aat.health().revocations.acceptedStale
    for (let use = 0; use < 3; use++) expect(await statusOf('/lenient')).toBe(200)
    expect(world.aat.health().revocations.acceptedStale).toBe(before + 3)
  })

  test('has its claims read once by each guard that reads them', async () => {
    for (let round = 0; round < 3; round++)
      for (const name of ['one', 'two'])
        expect((await world.call(`/read/${name}`, token)).body).toEqual({ reader: name, name: 'user alice' })
    expect(read).toEqual(['one', 'two'])
  })

  test('CLM-022: is the same for the next request, whatever a handler does to what it got', async () => {
    for (let round = 0; round < 2; round++)
      expect((await world.call('/meddle', token)).body).toEqual({ before: world.resource })
  })
})

test('where nothing is remembered every request is verified, with the same answers', async () => {
  const forgetful = await startWorld({ aat: { verifiedTokens: { entries: 0 } } })
  try {
    const { access_token: other } = (await forgetful.signInAndGetTokens({ scope: 'a' })).body
    for (let use = 0; use < 3; use++) expect((await forgetful.call('/api/a', other)).status).toBe(200)
    await forgetful.aat.revoke({ jti: String(claimsOf(other).jti) })
    expect((await forgetful.call('/api/a', other)).status).toBe(401)
  } finally {
    await forgetful.close()
  }
})
