import { afterEach, describe, expect, test } from '@jest/globals'
import express from 'express'
import { createAat, memoryStores, tokenEndpoint, wellKnown } from '../../lib/index.ts'
import { Browser, manualClock, readAnswer, startWorld, type WorldOptions } from '../support/world.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})
async function world(options: WorldOptions = {}) {
  const made = await startWorld(options)
  cleanups.push(made.close)
  return made
}
const METADATA = '/.well-known/oauth-authorization-server'
const JWKS = '/.well-known/jwks.json'

/** An app whose catch-all says 200 to everything, as single-page apps do. */
const withCatchAll: WorldOptions = {
  after: (app) => app.use((_req, res) => void res.send('<html>the app</html>')),
}

describe('authorization server metadata', () => {
  test('MET-001: the issuer byte for byte, every member, cacheable', async () => {
    const { call, issuer, base, resource, otherResource } = await world()
    const { status, body, headers } = await call(METADATA)
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(headers.get('cache-control')).toBe('public, max-age=300')
    const methods = ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none']
    expect(body).toMatchObject({
      issuer,
      authorization_endpoint: `${base}/oauth/authorize`,
      token_endpoint: `${base}/oauth/token`,
      revocation_endpoint: `${base}/oauth/revoke`,
      introspection_endpoint: `${base}/oauth/introspect`,
      registration_endpoint: `${base}/oauth/register`,
      jwks_uri: `${base}${JWKS}`,
      scopes_supported: ['a', 'b', 'c', 'x'],
      response_types_supported: ['code'],
      response_modes_supported: ['query'],
      grant_types_supported: ['authorization_code', 'refresh_token', 'client_credentials'],
      token_endpoint_auth_methods_supported: methods,
      introspection_endpoint_auth_methods_supported: methods.slice(0, 3),
      code_challenge_methods_supported: ['S256'],
      authorization_response_iss_parameter_supported: true,
      protected_resources: [resource, otherResource],
    })
    expect(body.token_endpoint_auth_signing_alg_values_supported).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^HS|none/)]),
    )
    expect(Object.values(body)).not.toContain(null)
  })

  test('MET-002: an issuer with a path, and nothing at the path of another', async () => {
    const { call, base, issuer } = await world({ issuerPath: '/t1', ...withCatchAll })
    const { status, body } = await call(`${METADATA}/t1`)
    expect([status, body.issuer]).toEqual([200, `${base}/t1`])
    expect(issuer).toBe(`${base}/t1`)
    expect(body.token_endpoint).toBe(`${base}/t1/oauth/token`)
    expect((await call(new URL(body.jwks_uri).pathname)).status).toBe(200)
    for (const path of [
      METADATA,
      `${METADATA}/t2`,
      `${METADATA}/t1/x`,
      `${METADATA}/`,
      `/t2${METADATA}`,
      `${METADATA}/T1`,
    ])
      expect([path, (await call(path)).status]).toEqual([path, 404])
  })

  test('MET-004, MET-005: no header changes a byte of it', async () => {
    for (const trust of [undefined, true, 1]) {
      const { call } = await world({
        issuer: 'https://as.example',
        before: (app) => trust !== undefined && app.set('trust proxy', trust),
      })
      for (const path of [METADATA, JWKS, '/.well-known/oauth-protected-resource/api']) {
        const plain = await call(path)
        expect(plain.status).toBe(200)
        for (const headers of [
          { 'X-Forwarded-Host': 'evil.example' },
          { 'X-Forwarded-Proto': 'javascript' },
          { Forwarded: 'host=evil.example;proto=http' },
          { 'X-Forwarded-Prefix': '/evil', 'X-Original-URL': '/evil', 'X-Forwarded-Port': '1' },
          { 'X-Forwarded-For': 'not-an-ip' },
        ] as Record<string, string>[])
          expect((await call(path, undefined, headers)).text).toBe(plain.text)
      }
      const refused = await call('/api/a', undefined, { 'X-Forwarded-Host': 'evil.example' })
      expect(refused.headers.get('www-authenticate')).not.toContain('evil')
    }
  })

  test('MET-004: nor does a spoofed host reach a redirect', async () => {
    const one = await world({ before: (app) => app.set('trust proxy', true) })
    const response = await new Browser(one.base).send(one.authorizeUrl({ scope: 'nope' }), {
      headers: { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'javascript' },
    })
    expect(response.headers.get('location')).toContain(`iss=${encodeURIComponent(one.issuer)}`)
    expect(response.headers.get('location')).not.toMatch(/evil|javascript/)
  })

  test('MET-010: only what the app has made is advertised', async () => {
    const aat = createAat({
      issuer: 'https://as.example',
      resources: { 'https://as.example/api': { scopes: ['a'] } },
    })
    const app = express().use(wellKnown(aat)).use('/oauth/token', tokenEndpoint(aat))
    const server = app.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    cleanups.push(async () => {
      await aat.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
    const { port } = server.address() as { port: number }
    const { body } = await readAnswer(await fetch(`http://127.0.0.1:${port}${METADATA}`))
    expect(
      Object.keys(body)
        .filter((name) => /endpoint$|_uri$/.test(name))
        .sort(),
    ).toEqual(['jwks_uri', 'token_endpoint'])
    expect(body.grant_types_supported).toEqual(['client_credentials'])
    expect(body.response_types_supported).toEqual([])
    for (const absent of [
      'code_challenge_methods_supported',
      'introspection_endpoint_auth_methods_supported',
      'revocation_endpoint_auth_methods_supported',
      'authorization_response_iss_parameter_supported',
      'response_modes_supported',
      'prompt_values_supported',
      'client_id_metadata_document_supported',
    ])
      expect(body).not.toHaveProperty(absent)
  })

  test('MET-010: each advertised grant type and endpoint answers as what it is', async () => {
    const { call, token, post, endpoint, base } = await world()
    const { body } = await call(METADATA)
    for (const type of body.grant_types_supported)
      expect((await token({ grant_type: type, code: 'x', refresh_token: 'x' })).body.error).not.toBe(
        'unsupported_grant_type',
      )
    for (const type of ['password', 'implicit', 'urn:ietf:params:oauth:grant-type:device_code'])
      expect((await token({ grant_type: type })).body.error).toBe('unsupported_grant_type')
    for (const name of ['token', 'revocation', 'introspection'])
      expect((await post(body[`${name}_endpoint`], { client_id: 'nope' })).status).toBe(401)
    expect((await post(body.registration_endpoint, {})).body.error).toBe('invalid_client_metadata')
    expect(endpoint('token').startsWith(base)).toBe(true)
  })

  test('MET-022: endpoints set by configuration are published there; mounted elsewhere is told', async () => {
    const one = await world({ aat: { endpoints: { token: '/v2/token' } } })
    const { body } = await one.call(METADATA)
    expect(body.token_endpoint).toBe(`${one.base}/v2/token`)
    expect(one.eventsNamed('configuration.warning')).toHaveLength(0)
    await one.token({ grant_type: 'client_credentials' })
    expect(one.eventsNamed('configuration.warning')).toMatchObject([
      { message: expect.stringContaining('mounted at /oauth/token') },
    ])
    const right = await world({ issuerPath: '/auth' })
    await right.token({ grant_type: 'client_credentials' })
    expect(right.eventsNamed('configuration.warning')).toHaveLength(0)
    // Express compares paths without their case: another spelling of the right path is no other place.
    const spelled = await world()
    await spelled.post(`${spelled.base}/OAuth/TOKEN`, { client_id: 'x' })
    expect(spelled.eventsNamed('configuration.warning')).toHaveLength(0)
  })

  test('MET-013: anybody may read the documents, without credentials', async () => {
    const { call } = await world()
    for (const path of [METADATA, JWKS, '/.well-known/oauth-protected-resource/api'])
      for (const origin of ['https://x.example', 'https://y.example']) {
        const { headers } = await call(path, undefined, { Origin: origin })
        expect(headers.get('access-control-allow-origin')).toBe('*')
        expect(headers.get('access-control-allow-credentials')).toBeNull()
      }
  })

  test('MET-019: HEAD, OPTIONS, POST, and a conditional GET', async () => {
    const { base } = await world()
    for (const path of [METADATA, JWKS, '/.well-known/oauth-protected-resource/api']) {
      const get = await fetch(base + path)
      const head = await fetch(base + path, { method: 'HEAD' })
      expect([head.status, await head.text(), head.headers.get('content-length')]).toEqual([
        200,
        '',
        get.headers.get('content-length'),
      ])
      const options = await fetch(base + path, {
        method: 'OPTIONS',
        headers: { Origin: 'https://x.example', 'Access-Control-Request-Method': 'GET' },
      })
      expect([options.status, options.headers.get('access-control-allow-origin')]).toEqual([204, '*'])
      for (const method of ['POST', 'PUT', 'DELETE']) {
        const refused = await fetch(base + path, { method })
        expect([refused.status, refused.headers.get('allow'), refused.headers.get('cache-control')]).toEqual([
          405,
          'GET, HEAD',
          'no-store',
        ])
      }
      const known = await fetch(base + path, {
        headers: { 'If-None-Match': `"x", W/${get.headers.get('etag')}` },
      })
      expect([known.status, await known.text()]).toEqual([304, ''])
    }
  })

  test("MET-020: other spellings are 404 in JSON, never the app's own page", async () => {
    const { call } = await world(withCatchAll)
    for (const path of [
      `${METADATA}/`,
      METADATA.toUpperCase(),
      METADATA.replace('oauth', 'OAuth'),
      METADATA.replace('/oauth', '//oauth'),
      `/${METADATA}`,
      `${METADATA}/nope`,
      '/.well-known/openid-configuration',
      '/x/.well-known/openid-configuration',
      `${JWKS}/`,
      JWKS.toUpperCase(),
      `/x${JWKS}`,
      '/.well-known/oauth-protected-resource',
      '/.well-known/oauth-protected-resource/api/',
      '/.well-known/oauth-protected-resource/nope',
    ]) {
      const { status, headers, text } = await call(path)
      expect([path, status, headers.get('content-type')]).toEqual([path, 404, 'application/json'])
      expect(text).not.toContain('the app')
      expect(headers.get('cache-control')).toBe('no-store')
    }
    expect((await call('/.well-known/security.txt')).text).toContain('the app')
  })
})

describe('the JWK Set', () => {
  test('MET-014: public members of public keys, and nothing else', async () => {
    for (const alg of ['ES256', 'RS256'] as const) {
      const { call } = await world({ aat: { keys: { alg } } })
      const { body, headers } = await call(JWKS)
      expect(headers.get('content-type')).toMatch(/^application\/(jwk-set\+)?json$/)
      expect(headers.get('cache-control')).toBe('public, max-age=300')
      expect(Object.keys(body)).toEqual(['keys'])
      expect(body.keys.length).toBeGreaterThanOrEqual(1)
      for (const key of body.keys)
        expect(Object.keys(key).sort()).toEqual(
          alg === 'ES256'
            ? ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']
            : ['alg', 'e', 'kid', 'kty', 'n', 'use'],
        )
    }
  })

  test('MET-017: the same set in the same order from three instances, no kid twice (100 fetches instead of 1,000)', async () => {
    const clock = manualClock()
    const stores = memoryStores({ clock })
    const ticks: (() => void)[] = []
    const aat = {
      every: (_seconds: number, tick: () => void) => {
        ticks.push(tick)
        return () => undefined
      },
    }
    const first = await world({ stores, clock, aat })
    const instances = [first]
    for (let count = 1; count < 3; count++)
      instances.push(await world({ stores, clock, aat, issuer: first.issuer }))
    await first.aat.keys.rotate({ immediately: true })
    clock.advance(10)
    for (const tick of ticks) tick()
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    const texts = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => (await instances[index % 3]?.call(JWKS))?.text ?? ''),
    )
    expect(new Set(texts).size).toBe(1)
    const kids = JSON.parse(texts[0] ?? '').keys.map(({ kid }: { kid: string }) => kid)
    expect(kids.length).toBeGreaterThanOrEqual(2)
    expect(new Set(kids).size).toBe(kids.length)
  })
})
