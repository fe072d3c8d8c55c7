import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { requireAat } from '../../lib/index.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  REDIRECT_URI,
  type TokenAnswer,
  type WorldOptions,
} from '../support/world.ts'
import { type Instance, site, startInstance } from './instances.ts'

let world: Instance
let tokens: { access_token: string; refresh_token: string }
beforeEach(async () => {
  world = await startInstance(site(), {}, { after: lenientRoute })
  tokens = (await world.signInAndGetTokens({ scope: 'a' })).body
})
afterEach(() => world.close())

const lenientRoute: NonNullable<WorldOptions['after']> = (app, aat) => {
  const resource = `${aat.issuer}/api`
  app.get('/lenient', requireAat(aat, { scope: 'a', resource, whenRevocationStale: 'accept' }), (_, res) => {
    res.json({})
  })
}

const guarded = (path = '/api/a') => world.call(path, tokens.access_token)
const asClient = (name: string, token: string) =>
  world.post(world.endpoint(name), { token }, basic(CONFIDENTIAL.id, CONFIDENTIAL.secret))

/** Cut off from the log, for longer than it may be. */
function cutOff(seconds = 5.001): void {
  world.line.isCut = true
  world.monotonic.advance(seconds)
}

function expectUnavailable(answer: TokenAnswer): void {
  expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
  expect(answer.headers.get('retry-after')).toMatch(/^[1-9]$/)
  expect(answer.headers.get('www-authenticate')).toBeNull()
}

describe('a guard that is cut off from the log', () => {
  test('serves for 5 s, then answers 503 with Retry-After, and serves again as soon as it can read', async () => {
    cutOff(5)
    expect((await guarded()).status).toBe(200)
    world.monotonic.advance(0.001)
    expectUnavailable(await guarded())
    world.line.isCut = false
    world.monotonic.advance(1.001)
    expect((await guarded()).status).toBe(200)
  })

  test('a token that is no good is 401 all the same, and no token is 401 too', async () => {
    cutOff()
    expect((await world.call('/api/a', `${tokens.access_token}x`)).status).toBe(401)
    expect((await world.call('/api/a')).status).toBe(401)
  })

  test('each look that succeeds keeps it going', async () => {
    for (let second = 0; second < 20; second++) {
      world.monotonic.advance(1)
      await world.tick()
    }
    world.line.isCut = true
    const { reads } = world.line
    expect((await guarded()).status).toBe(200)
    expect(world.line.reads).toBe(reads)
  })

  test('a step of the machine’s clock, forwards or backwards, is not staleness', async () => {
    world.line.isCut = true
    for (const step of [200, -4000, 3900]) {
      world.clock.advance(step)
      expect((await guarded()).status).not.toBe(503)
    }
  })

  test('a process that stood still reads first: no 503, and what was revoked meanwhile is refused', async () => {
    world.monotonic.advance(3600)
    expect((await guarded()).status).toBe(200)
    await world.line.log.append({ kind: 'subject', id: 'alice', notAfter: world.clock(), until: 2e9 })
    world.monotonic.advance(3600)
    expect((await guarded()).status).toBe(401)
  })

  test('requests do not queue up behind a store that is away: they try once a second at most', async () => {
    cutOff()
    const before = world.line.reads
    for (let request = 0; request < 10; request++) expectUnavailable(await guarded())
    expect(world.line.reads).toBe(before + 1)
    world.monotonic.advance(1.001)
    for (let request = 0; request < 10; request++) expectUnavailable(await guarded())
    expect(world.line.reads).toBe(before + 2)
  })

  test('after the store was away one look makes it fresh, for every request', async () => {
    cutOff()
    await world.tick()
    expectUnavailable(await guarded())
    world.line.isCut = false
    await world.tick()
    expect((await guarded()).status).toBe(200)
  })
})

describe('revocationStaleAfter', () => {
  test.each([2, 60, 300])('%d s', async (revocationStaleAfter) => {
    const other = await startInstance(site(), { revocationStaleAfter })
    const { body } = await other.signInAndGetTokens({ scope: 'a' })
    other.line.isCut = true
    other.monotonic.advance(revocationStaleAfter)
    expect((await other.call('/api/a', body.access_token)).status).toBe(200)
    other.monotonic.advance(0.001)
    expect((await other.call('/api/a', body.access_token)).status).toBe(503)
    await other.close()
  })

  test.each([1, 301, Number.NaN, '5'])('%j is refused at the start', async (revocationStaleAfter) => {
    await expect(
      startInstance(site(), { revocationStaleAfter: revocationStaleAfter as number }),
    ).rejects.toThrow(/revocationStaleAfter/)
  })
})

describe('whenRevocationStale: accept', () => {
  test('goes on with what is known, counts it, and still refuses what it knows to be revoked', async () => {
    const other = (await world.signInAndGetTokens({ scope: 'a' })).body
    await world.aat.revoke({ grantId: String(claimsOf(tokens.access_token).grant_id) })
    expect((await guarded('/lenient')).status).toBe(401)
    expect(world.aat.health().revocations.acceptedStale).toBe(0)
    cutOff()
    expect((await world.call('/lenient', other.access_token)).status).toBe(200)
    expect((await guarded('/lenient')).status).toBe(401)
    expect(world.aat.health().revocations).toMatchObject({ fresh: false, acceptedStale: 2 })
    expectUnavailable(await world.call('/api/a', other.access_token))
    expect(world.aat.health().revocations.acceptedStale).toBe(2)
  })

  test('an instance that never read the log has nothing to go on with: 503', async () => {
    const place = site()
    const first = await startInstance(place)
    const { body } = await first.signInAndGetTokens({ scope: 'a' })
    const log = { ...place.stores.revocations, since: () => Promise.reject(new Error('away')) }
    const deaf = await startInstance(
      { ...place, stores: { ...place.stores, revocations: log } },
      {},
      {
        ready: false,
        after(app, aat) {
          const options = {
            scope: 'a',
            resource: `${first.issuer}/api`,
            whenRevocationStale: 'accept',
          } as const
          app.get('/lenient', requireAat(aat, options), (_, res) => void res.json({}))
        },
      },
    )
    expectUnavailable(await deaf.call('/lenient', body.access_token))
    expect(deaf.aat.health().revocations).toEqual({ fresh: false, age: undefined, acceptedStale: 0 })
    await deaf.close()
    await first.close()
  })

  test('another value is refused at the start', () => {
    const options = { scope: 'a', resource: world.resource, whenRevocationStale: 'ignore' as 'accept' }
    expect(() => requireAat(world.aat, options)).toThrow(/whenRevocationStale/)
  })
})

describe('endpoints that are cut off from the log', () => {
  test('code and refresh are 503 and use nothing up; client credentials go on', async () => {
    const { code, verifier } = await world.authorize({ scope: 'a' })
    const redeem = () =>
      world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      })
    cutOff()
    expectUnavailable(await redeem())
    expectUnavailable(await world.refresh(tokens.refresh_token))
    expect((await world.token({ grant_type: 'client_credentials', scope: 'a' })).status).toBe(200)
    world.line.isCut = false
    await world.tick()
    expect((await redeem()).status).toBe(200)
    expect((await world.refresh(tokens.refresh_token)).status).toBe(200)
    expect(world.eventsNamed('token.retried')).toEqual([])
  })

  test('introspection and the revocation of an access token are 503', async () => {
    cutOff()
    expectUnavailable(await asClient('introspect', tokens.access_token))
    expectUnavailable(await asClient('introspect', tokens.refresh_token))
    expectUnavailable(await asClient('revoke', tokens.access_token))
    world.line.isCut = false
    await world.tick()
    for (const token of [tokens.access_token, tokens.refresh_token])
      expect((await asClient('introspect', token)).body.active).toBe(true)
    expect((await asClient('revoke', tokens.access_token)).status).toBe(200)
    expect((await guarded()).status).toBe(401)
  })
})
