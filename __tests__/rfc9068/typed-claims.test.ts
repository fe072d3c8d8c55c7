import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Request } from 'express'
import { getAat, memoryStores, requireAat } from '../../lib/index.ts'
import { type Forger, forgerOf } from '../support/forge.ts'
import { manualClock, startWorld, type World } from '../support/world.ts'

interface Tenancy {
  tenant: string
  seats: number
}

const directory = { north: { name: 'North', seats: [1, 2] } }
let world: World
let forger: Forger
const seen: unknown[] = []
const problems: string[] = []

/** Tries to write, and says what came of it. */
function attempt(name: string, write: () => void): void {
  try {
    write()
    problems.push(`${name} could be written`)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
  }
}

beforeAll(async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  world = await startWorld({
    clock,
    stores,
    after: (app, aat) => {
      const tenancy = requireAat(aat, {
        scope: 'a',
        readClaims: ({ tenant, seats }): Tenancy => {
          if (typeof tenant !== 'string') throw new Error('CANARY: no tenant')
          return { tenant, seats: Number(seats) }
        },
      })
      app.get('/api/typed', tenancy, (req, res) => {
        const { claims } = getAat<Tenancy>(req)
        // Typed: this does not compile where the type is lost.
        res.json({ tenant: claims.tenant.toUpperCase(), seats: claims.seats + 1, sub: claims.sub })
      })
      app.get('/api/frozen', requireAat(aat, { scope: 'a' }), (req, res) => {
        const auth = getAat<Record<string, unknown>>(req)
        attempt('subject', () => Object.assign(auth, { subject: 'root' }))
        attempt('scopes', () => (auth.scopes as string[]).push('b'))
        attempt('claims', () => Object.assign(auth.claims, { sub: 'root' }))
        attempt('a nested claim', () => Object.assign(auth.claims.nested as object, { role: 'root' }))
        attempt('an array in a claim', () => (auth.claims.list as string[]).push('root'))
        attempt('extra', () => Object.assign(auth.extra as object, { subject: 'root' }))
        attempt('a new member', () => Object.assign(auth, { isAdmin: true }))
        seen.push(auth.claims)
        res.json({ subject: auth.subject, scopes: auth.scopes, claims: auth.claims })
      })
      app.get(
        '/api/reader',
        requireAat(aat, {
          scope: 'a',
          readClaims: (claims) => {
            attempt('claims in readClaims', () => Object.assign(claims, { sub: 'root' }))
            return {}
          },
        }),
        (req, res) => void res.json({ subject: getAat(req).subject }),
      )
      app.get(
        '/api/lookup',
        requireAat(aat, {
          scope: 'a',
          readClaims: () => ({ tenant: directory.north, bytes: Buffer.from('xy') }),
        }),
        (req, res) => void res.json({ name: getAat<{ tenant: { name: string } }>(req).claims.tenant.name }),
      )
      app.get(
        '/api/late',
        requireAat(aat, {
          scope: 'a',
          readClaims: (async () => Promise.reject(new Error('CANARY'))) as never,
        }),
        (_req, res) => void res.json({ ok: true }),
      )
      app.get(
        '/api/later',
        requireAat(aat, {
          scope: 'a',
          readClaims: () => ({
            // biome-ignore lint/suspicious/noThenProperty: it is what is tested
            then: (_: unknown, fail: (error: Error) => void) => fail(new Error('CANARY')),
          }),
        }),
        (_req, res) => void res.json({ ok: true }),
      )
      app.get('/api/unguarded', (req, res) => {
        try {
          getAat(req)
          res.json({ ok: true })
        } catch (error) {
          res.status(500).json({ message: (error as Error).message })
        }
      })
    },
  })
  forger = await forgerOf(world, stores)
})
afterAll(() => world.close())

test("readClaims gives custom claims the app's types", async () => {
  const answer = await world.call('/api/typed', forger.withClaims({ tenant: 'north', seats: '4' }))
  expect(answer.body).toEqual({ tenant: 'NORTH', seats: 5, sub: 'alice' })
})

test('readClaims that throws refuses the token, without saying why', async () => {
  const answer = await world.call('/api/typed', forger.withClaims({ tenant: 7 }))
  expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
  expect(answer.text + answer.headers.get('www-authenticate')).not.toContain('CANARY')
})

test('CLM-022: what the handler gets is frozen to the ground, and a second request with the same token sees the original', async () => {
  const token = forger.withClaims({ nested: { role: 'guest' }, list: ['x'] })
  for (let round = 0; round < 2; round++) {
    const { body } = await world.call('/api/frozen', token)
    expect(body).toMatchObject({
      subject: 'alice',
      scopes: ['a'],
      claims: { sub: 'alice', nested: { role: 'guest' }, list: ['x'] },
    })
  }
  expect(problems).toEqual([])
  expect(seen).toHaveLength(2)
})

test('CLM-022: readClaims cannot change the claims that it reads', async () => {
  expect((await world.call('/api/reader', forger.withClaims({}))).body).toEqual({ subject: 'alice' })
  expect(problems).toEqual([])
})

test("CLM-022: what readClaims adds from the app's own data is not frozen: it is the app's", async () => {
  expect((await world.call('/api/lookup', forger.withClaims({}))).body).toEqual({ name: 'North' })
  expect(Object.isFrozen(directory.north)).toBe(false)
})

test('a readClaims that is asynchronous by mistake lets nobody in', async () => {
  // Also one whose promises are a library's own.
  for (const path of ['/api/late', '/api/later']) {
    const answer = await world.call(path, forger.withClaims({}))
    expect([path, answer.status]).toEqual([path, 503])
    expect(answer.text).not.toContain('CANARY')
  }
  const fault = { where: 'requireAat', error: { name: 'ConfigurationError' } }
  expect(world.eventsNamed('fault')).toMatchObject([fault, fault])
})

test('getAat says what is wrong where no guard ran', async () => {
  expect((await world.call('/api/unguarded')).body).toEqual({
    message: 'getAat: requireAat did not run before this handler',
  })
  expect(() => getAat({ auth: { token: 'x' } } as unknown as Request)).toThrow(/requireAat did not run/)
})
