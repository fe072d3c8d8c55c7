import { afterEach, describe, expect, test } from '@jest/globals'
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import { memoryStores } from '../../lib/index.ts'
import { until } from '../support/until.ts'
import { headerOf, manualClock, startWorld, type World, type WorldOptions } from '../support/world.ts'

const HOUR = 3600
const keys = {
  rotationInterval: 2 * HOUR,
  publishBefore: HOUR,
  jwksMaxAge: 300,
  verifierCache: 600,
  clockTolerance: 60,
}

/** A verifier elsewhere: jose with the world's time. `current` is the instance that answers at the moment. */
function verifierOf(world: World, current: () => World) {
  let fetches = 0
  const url = new URL(`${world.base}/.well-known/jwks.json`)
  const counting: typeof fetch = (_input, init) => {
    fetches++
    return fetch(`${current().base}${url.pathname}`, init)
  }
  return {
    fetches: () => fetches,
    /** What jose does by the machine's clock is left to the test: neither age nor an unknown `kid` makes it fetch. */
    jwks: createRemoteJWKSet(url, {
      cacheMaxAge: Number.POSITIVE_INFINITY,
      cooldownDuration: Number.POSITIVE_INFINITY,
      [customFetch]: counting,
    }),
    /** No cache, and no pause between fetches for an unknown `kid`. */
    eager: () =>
      createRemoteJWKSet(url, {
        cacheMaxAge: Number.POSITIVE_INFINITY,
        cooldownDuration: 0,
        [customFetch]: counting,
      }),
    verify: (token: string, from: JWTVerifyGetKey) =>
      jwtVerify(token, from, {
        issuer: world.issuer,
        audience: world.resource,
        typ: 'at+jwt',
        requiredClaims: ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id'],
        currentDate: new Date(world.clock.now * 1000),
        clockTolerance: 5,
      }),
  }
}

describe('jose as an outside verifier', () => {
  let world: World
  afterEach(() => world.close())

  const start = async (options: WorldOptions = {}) => {
    world = await startWorld({ aat: { keys }, ...options })
    return verifierOf(world, () => world)
  }
  const issue = async () =>
    (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body.access_token as string
  const published = async () =>
    (await world.call('/.well-known/jwks.json')).body.keys as { kid: string; alg: string }[]
  const kidOf = (token: string) => String(headerOf(token).kid)

  test('verifies what each algorithm signs', async () => {
    for (const alg of ['ES256', 'ES384', 'ES512', 'RS256', 'PS256', 'EdDSA'] as const) {
      const verifier = await start({ aat: { keys: { alg } } })
      const token = await issue()
      const { payload, protectedHeader } = await verifier.verify(token, verifier.jwks)
      expect(protectedHeader).toEqual({ alg, typ: 'at+jwt', kid: kidOf(token) })
      expect(payload.sub).toBe('client:confidential')
      if (alg !== 'EdDSA') await world.close()
    }
  })

  test('KEY-004: over six planned rotations a verifier that fetches only every 15 minutes, and never for an unknown kid, refuses nothing', async () => {
    const { jwks, verify, fetches } = await start()
    const kids = new Set<string>()
    const alive: string[] = []
    let fetchedAt = Number.NEGATIVE_INFINITY
    let verified = 0
    // Each 100 s for six intervals: a token is issued, and each that has not expired verifies.
    for (
      const end = world.clock.now + 6 * keys.rotationInterval;
      world.clock.now < end;
      world.clock.advance(100)
    ) {
      // The longest that is supported: the served copy is max-age old already, and is kept for the verifier's own cache.
      if (world.clock.now - fetchedAt >= keys.jwksMaxAge + keys.verifierCache) {
        await jwks.reload()
        fetchedAt = world.clock.now
      }
      const token = await issue()
      kids.add(kidOf(token))
      alive.push(token)
      if (alive.length > 3) alive.shift()
      for (const each of alive) {
        await verify(each, jwks)
        verified++
      }
    }
    expect(kids.size).toBeGreaterThanOrEqual(6)
    expect(verified).toBeGreaterThan(1000)
    expect(fetches()).toBe(Math.ceil((6 * keys.rotationInterval) / 900))
  })

  test('the successor is published before it signs, and the predecessor until its last token expired', async () => {
    const { verify, jwks } = await start()
    const first = await issue()
    const before = await published()
    expect(before.map(({ kid }) => kid)).toContain(kidOf(first))
    expect(before).toHaveLength(2)
    const standby = before.find(({ kid }) => kid !== kidOf(first))?.kid
    await verify(first, jwks)

    world.clock.advance(keys.rotationInterval - 1)
    const last = await issue()
    expect(kidOf(last)).toBe(kidOf(first))
    world.clock.advance(1)
    const next = await issue()
    expect(kidOf(next)).toBe(standby)
    // From the copy of two hours ago.
    await verify(next, jwks)
    await jwks.reload()
    await verify(last, jwks)
    world.clock.advance(HOUR)
    // The next successor is made in the background of the request that found the ring due.
    const now = await until('a successor beside the key that signs', async () => {
      const kids = (await published()).map(({ kid }) => kid)
      return kids.length === 2 && kids
    })
    expect(now).toContain(standby)
    expect(now).not.toContain(kidOf(first))
  })

  test('another algorithm in the configuration is a planned rotation: nothing is refused across the restart', async () => {
    const clock = manualClock()
    const stores = memoryStores({ clock })
    const { jwks, verify } = await start({ stores, clock })
    const { issuer } = world
    const token = await issue()
    await verify(token, jwks)
    await world.close()
    await start({ stores, clock, issuer, aat: { keys: { ...keys, alg: 'RS256' } } })
    // For as long as verifiers may not know the new key, the old one signs.
    const still = await issue()
    expect(headerOf(still)).toEqual(headerOf(token))
    await verify(still, jwks)
    clock.advance(keys.jwksMaxAge + keys.verifierCache)
    await jwks.reload()
    clock.advance(keys.publishBefore)
    const later = await issue()
    expect(headerOf(later).alg).toBe('RS256')
    await verify(later, jwks)
  })

  test('KEY-020: after an emergency revocation the set lacks the key, and a verifier that fetches refuses its tokens', async () => {
    const { eager, verify } = await start()
    const jwks = eager()
    const old = await issue()
    await verify(old, jwks)
    expect(await world.aat.keys.revoke(kidOf(old))).toBe('revoked')
    expect((await published()).map(({ kid }) => kid)).not.toContain(kidOf(old))

    const fresh = await issue()
    expect(kidOf(fresh)).not.toBe(kidOf(old))
    await verify(fresh, jwks)
    await jwks.reload()
    await expect(verify(old, jwks)).rejects.toBeInstanceOf(errors.JWKSNoMatchingKey)
    await verify(fresh, jwks)
    expect((await world.call('/api/a', old)).status).toBe(401)
    expect((await world.call('/api/a', fresh)).status).toBe(200)
  })

  test('an immediate rotation is found by the unknown kid', async () => {
    const { eager, verify, fetches } = await start()
    const jwks = eager()
    await verify(await issue(), jwks)
    const [, standby] = await published()
    await world.aat.keys.revoke(standby?.kid ?? '')
    world.clock.advance(1)
    await world.aat.keys.rotate({ immediately: true })
    const token = await issue()
    expect(kidOf(token)).not.toBe(standby?.kid)
    await verify(token, jwks)
    expect(fetches()).toBe(2)
  })

  test('the document is a JWK Set of public members that says how long it may be kept', async () => {
    await start()
    const answer = await world.call('/.well-known/jwks.json')
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300')
    expect(answer.headers.get('etag')).toMatch(/^"[^"]+"$/)
    expect(() => createLocalJWKSet(answer.body as JSONWebKeySet)).not.toThrow()
    for (const jwk of answer.body.keys)
      expect(Object.keys(jwk).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
    const again = await world.call('/.well-known/jwks.json', undefined, {
      'If-None-Match': answer.headers.get('etag') ?? '',
    })
    expect([again.status, again.text]).toEqual([304, ''])
  })
})
