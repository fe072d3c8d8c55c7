import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { recordingStores } from '../support/recording-stores.ts'
import { basic, readAnswer, startWorld, type World } from '../support/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const uri = 'https://app.example/cb'
const publicClient = { redirect_uris: [uri], token_endpoint_auth_method: 'none' }
const registered = () => world.eventsNamed('client.registered').length

/** Refused with this error, as RFC 7591 §3.2.2 has it, and nothing stored. */
async function expectRefused(metadata: Record<string, unknown>, error = 'invalid_client_metadata') {
  const before = registered()
  const answer = await world.register(metadata)
  expect([metadata, answer.status, answer.body?.error]).toEqual([metadata, 400, error])
  expect(Object.keys(answer.body).sort()).toEqual(['error', 'error_description'])
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(registered()).toBe(before)
}
const expectUriRefused = (...uris: unknown[]) =>
  expectRefused({ ...publicClient, redirect_uris: uris }, 'invalid_redirect_uri')

describe('what is registered', () => {
  test('DCR-001: a public client', async () => {
    const { status, body, headers } = await world.register({
      ...publicClient,
      client_name: 'App',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      scope: 'a b',
    })
    expect(status).toBe(201)
    expect(body).toEqual({
      client_id: expect.stringMatching(/^dcr_[A-Za-z0-9_-]{22,764}$/),
      registration_client_uri: `${world.endpoint('register')}/${body.client_id}`,
      registration_access_token: expect.stringMatching(/^aat_reg_[A-Za-z0-9_-]{43}$/),
      client_id_issued_at: world.clock.now,
      client_name: 'App',
      redirect_uris: [uri],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
      application_type: 'web',
      scope: 'a b',
    })
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('pragma')).toBe('no-cache')
    expect(headers.get('content-type')).toBe('application/json')
    const { body: tokens } = await world.signInAndGetTokens(
      { client_id: body.client_id, redirect_uri: uri, scope: 'a' },
      { client_id: body.client_id },
    )
    expect((await world.call('/api/a', tokens.access_token)).status).toBe(200)
  })

  test('DCR-002: a confidential client, whose secret works in the way it registered for and no other', async () => {
    for (const method of ['client_secret_basic', 'client_secret_post']) {
      const { status, body } = await world.register({
        redirect_uris: [uri],
        token_endpoint_auth_method: method,
      })
      expect([status, body.client_secret_expires_at]).toEqual([201, 0])
      expect(body.client_secret).toMatch(/^[A-Za-z0-9_-]{43}$/)
      const { code, verifier } = await world.authorize({ client_id: body.client_id, redirect_uri: uri })
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: uri }
      const inForm = { ...form, client_id: body.client_id, client_secret: body.client_secret }
      const inHeader = basic(body.client_id, body.client_secret)
      const answers = [
        await world.post(world.endpoint('token'), { ...form, client_id: body.client_id }),
        await world.post(world.endpoint('token'), form, basic(body.client_id, `${body.client_secret}x`)),
        method === 'client_secret_basic'
          ? await world.post(world.endpoint('token'), inForm)
          : await world.post(world.endpoint('token'), form, inHeader),
        method === 'client_secret_basic'
          ? await world.post(world.endpoint('token'), form, inHeader)
          : await world.post(world.endpoint('token'), inForm),
      ]
      expect(answers.map((answer) => answer.status)).toEqual([401, 401, 401, 200])
    }
  })

  test('DCR-002: without a method it is client_secret_basic (RFC 7591 section 2)', async () => {
    const { body } = await world.register({ redirect_uris: [uri] })
    expect(body.token_endpoint_auth_method).toBe('client_secret_basic')
    expect(body.grant_types).toEqual(['authorization_code'])
    expect(body.client_secret).toMatch(/./)
  })

  test('DCR-004: the answer shows what is in force, not what was asked for', async () => {
    const { body } = await world.register({
      ...publicClient,
      redirect_uris: [uri, uri],
      grant_types: ['authorization_code', 'password', 'implicit', 'authorization_code', 'client_credentials'],
      response_types: ['code', 'token'],
      scope: 'a admin',
    })
    expect(body).toMatchObject({
      redirect_uris: [uri],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      scope: 'a',
    })
  })

  test('DCR-005, DCR-034: ids, secrets and privileges of the caller are not honoured', async () => {
    const chosen = {
      client_id: 'confidential',
      client_secret: 'chosen',
      client_id_issued_at: 1,
      client_secret_expires_at: 1,
      registration_access_token: 'chosen',
      registration_client_uri: 'https://evil.example',
      skip_consent: true,
      trusted: true,
      first_party: true,
      firstParty: true,
      origin: 'configuration',
      introspects: [world.resource],
      allowedScope: ['admin'],
      accessTokenLifetime: 86400,
      tenant: 'x',
      serviceAccount: true,
      secrets: [],
    }
    const { status, body, text } = await world.register({ ...publicClient, ...chosen })
    expect(status).toBe(201)
    expect(body.client_id).toMatch(/^dcr_/)
    expect(body.client_id_issued_at).toBe(world.clock.now)
    expect(text).not.toMatch(/chosen|evil|trust|first|skip|tenant|service|admin|introspects/i)
    expect(await world.aat.clients.get(body.client_id)).toMatchObject({ origin: 'registered' })
    const { browser } = await world.authorize({ client_id: body.client_id, redirect_uri: uri }, { as: 'zoe' })
    const again = await browser.get(
      world.authorizeUrl({ client_id: body.client_id, redirect_uri: uri, scope: 'b' }),
    )
    expect(again.headers.get('location')).toContain('/consent?')
  })

  test('DCR-007, DCR-050: 300 equal registrations are 300 clients, with ids that no URL is like (10,000 in the case)', async () => {
    const ids = new Set<string>()
    for (let round = 0; round < 30; round++)
      for (const { body } of await Promise.all(
        Array.from({ length: 10 }, () => world.register(publicClient)),
      ))
        ids.add(body.client_id)
    expect(ids.size).toBe(300)
    expect([...ids].filter((id) => !/^dcr_[A-Za-z0-9_-]{22,764}$/.test(id))).toEqual([])
  })

  test('DCR-032: a thousand unknown members are neither echoed nor a reason to refuse', async () => {
    const junk = Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => [`foo_${index}`, { deep: [index] }]),
    )
    const { status, text } = await world.register({ ...publicClient, ...junk, __proto__x: 1 })
    expect(status).toBe(201)
    expect(text).not.toContain('foo_')
  })

  test('DCR-040: members in other languages are judged like the plain ones, and told again', async () => {
    const localized = {
      'client_name#ja': 'アプリ',
      'client_name#zh-Hant-TW': '應用',
      'tos_uri#fr': 'https://a.example/fr',
      'logo_uri#de-CH': 'https://a.example/x.png',
    }
    const { status, body } = await world.register({ ...publicClient, client_name: 'App', ...localized })
    expect([status, body]).toEqual([201, expect.objectContaining({ client_name: 'App', ...localized })])
    for (const wrong of [
      { 'tos_uri#fr': 'javascript:alert(1)' },
      { 'client_uri#fr': 'http://a.example' },
      { 'client_name#ja': ' ' },
      { 'client_name#ja': 'a\u202eb' },
      { 'client_name#ja': 5 },
      Object.fromEntries(
        Array.from({ length: 21 }, (_, index) => [`client_name#x${'abcdefghijklmnopqrstu'[index]}`, 'x']),
      ),
    ])
      await expectRefused({ ...publicClient, ...wrong })
    const junk = {
      'client_name#<script>': 'x',
      'client_name#': 'x',
      'client_name#a b': 'x',
      'client_name#__proto__': 'x',
      'redirect_uris#ja': ['https://evil.example'],
      '#ja': 'x',
    }
    const other = await world.register({ ...publicClient, ...junk })
    expect(other.status).toBe(201)
    expect(other.text).not.toMatch(/#|script|evil/)
  })

  test('RFC 7591 section 2: native clients with loopback and private-use redirects', async () => {
    const uris = ['http://127.0.0.1/cb', 'http://localhost:3000/cb', 'com.example.app:/cb']
    const { status, body } = await world.register({ ...publicClient, redirect_uris: uris })
    expect([status, body.redirect_uris, body.application_type]).toEqual([201, uris, 'native'])
  })
})

describe('redirect_uris', () => {
  test('DCR-008: schemes that run, however they are spelled', async () => {
    for (const evil of [
      'javascript:alert(1)',
      'JaVaScRiPt:alert(1)',
      'java\tscript:alert(1)',
      'java\nscript:alert(1)',
      ' javascript:alert(1)',
      '\u0001javascript:alert(1)',
      'javascript://app.example/%0aalert(1)',
      'data:text/html,x',
      'vbscript:x',
      'file:///etc/passwd',
      'blob:https://a.example/1',
      'about:blank',
      'view-source:https://a.example',
      'ws://a.example',
      'intent://a.example',
      'urn:ietf:wg:oauth:2.0:oob',
      'myapp:/cb',
    ])
      await expectUriRefused(evil)
  })

  test('DCR-010, DCR-020: http is for loopback only', async () => {
    for (const evil of [
      'http://a.example/cb',
      'http://localhost.evil.test/cb',
      'http://127.0.0.1@evil.test/',
      'http://127.0.0.1.evil.test/',
      'http://127.0.0.1:80@evil.test/',
      'http://localhost@evil.test/cb',
      'http://127.1/cb',
      'http://127.0.0.2/cb',
      'http://0.0.0.0/cb',
      'http://[::]/cb',
      'http://2130706433/cb',
      'http://LOCALHOST/cb',
    ])
      await expectUriRefused(evil)
  })

  test('DCR-011, DCR-013, DCR-014: fragments, wildcards, reserved names', async () => {
    for (const evil of [
      'https://a.example/cb#x',
      'https://a.example/cb#',
      'https://*.example/cb',
      'https://a.example/*',
      'https://a.example/cb*',
      '*',
      'https://a.example/cb?code=x',
      'https://a.example/cb?state=',
      'https://a.example/cb?iss=x',
      'https://a.example/cb?error=x',
      'https://a.example/cb?x=1&Code=x',
      'https://a.example/cb?c%6fde=x',
      'https://a.example/cb#code=x',
      'com.example.app:/cb?code=x',
    ])
      await expectUriRefused(evil)
  })

  test('DCR-016: texts that parsers fold are refused, never normalised', async () => {
    for (const evil of [
      'https://a.example/cb\u0000',
      'https://a.example/cb\r\nX: y',
      'https://a.example/c\tb',
      'https://a.example\\cb',
      'https://a.example/cb ',
      ' https://a.example/cb',
      'https://a.example/x/../cb',
      'https://a.example/%2e%2e/cb',
      'https://a.example/cb%00',
      'https://a.example/cb%zz',
      'https://A.example/cb',
      'HTTPS://a.example/cb',
      'https://a.example:443/cb',
      'https://user:pw@a.example/cb',
      'https://ⓐ.example/cb',
      'https:a.example/cb',
      '//a.example/cb',
      '/cb',
      '',
    ])
      await expectUriRefused(evil)
    for (const evil of [1, null, {}, [uri], true]) await expectUriRefused(evil)
    await expectUriRefused(uri, 'javascript:alert(1)')
  })

  test('DCR-017: length and number have bounds', async () => {
    await expectUriRefused(`https://a.example/${'x'.repeat(2049 - 18)}`)
    await expectUriRefused(...Array.from({ length: 101 }, (_, index) => `https://a.example/${index}`))
    const { status } = await world.register({
      ...publicClient,
      redirect_uris: Array(1000).fill('https://a.example/x'.repeat(60)),
    })
    expect(status).toBe(413)
    const longest = `https://a.example/${'x'.repeat(2048 - 18)}`
    expect((await world.register({ ...publicClient, redirect_uris: [longest] })).body.redirect_uris).toEqual([
      longest,
    ])
  })

  test('DCR-019: missing, empty, of another type', async () => {
    for (const uris of [undefined, [], 'https://a.example/cb', {}, null, 1])
      await expectRefused({ token_endpoint_auth_method: 'none', redirect_uris: uris }, 'invalid_redirect_uri')
  })

  test('DCR-022: application_type web has https redirects only', async () => {
    for (const native of ['com.example.app:/cb', 'http://127.0.0.1/cb', 'http://localhost/cb'])
      await expectRefused(
        { ...publicClient, application_type: 'web', redirect_uris: [native] },
        'invalid_redirect_uri',
      )
    await expectRefused({ ...publicClient, application_type: 'service' })
  })
})

describe('other metadata', () => {
  test('DCR-023: pages are https', async () => {
    for (const name of ['logo_uri', 'client_uri', 'tos_uri', 'policy_uri']) {
      for (const value of [
        'javascript:alert(1)',
        'data:text/html,x',
        'http://a.example',
        '/x',
        '',
        1,
        null,
        'https://',
        `https://a.example/${'x'.repeat(2048)}`,
        'https://a.example/"x',
        'https://a.example/\n',
      ])
        await expectRefused({ ...publicClient, [name]: value })
      expect((await world.register({ ...publicClient, [name]: 'https://a.example/x' })).body[name]).toBe(
        'https://a.example/x',
      )
    }
  })

  test('DCR-025: a jwks_uri that is no https URL of a public host is refused, and nothing is fetched while registering', async () => {
    let connections = 0
    const server = createServer((_req, res) => res.end('{}')).on('connection', () => connections++)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = server.address() as AddressInfo
      for (const host of [
        `127.0.0.1:${port}`,
        `localhost:${port}`,
        `[::ffff:7f00:1]:${port}`,
        '169.254.169.254',
        '10.0.0.1',
        '100.64.0.1',
        '[fd00::1]',
        '0.0.0.0',
      ])
        for (const scheme of ['http', 'https'])
          await expectRefused({
            redirect_uris: [uri],
            token_endpoint_auth_method: 'private_key_jwt',
            jwks_uri: `${scheme}://${host}/jwks`,
          })
      const registered = await world.register({
        redirect_uris: [uri],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks_uri: 'https://keys.client-host.com/jwks?v=1',
      })
      expect(registered.body.jwks_uri).toBe('https://keys.client-host.com/jwks?v=1')
      for (const page of ['logo_uri', 'client_uri'])
        await world.register({ ...publicClient, [page]: `https://127.0.0.1:${port}/x` })
      expect(connections).toBe(0)
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })

  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const good = ec.publicKey.export({ format: 'jwk' })

  test('DCR-029, DCR-031: jwks are public, strong, few, and alone', async () => {
    const rsa = (bits: number) =>
      generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'jwk' })
    const withKeys = (...keys: unknown[]) => ({
      redirect_uris: [uri],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys },
    })
    await expectRefused({ ...withKeys(good), jwks_uri: 'https://a.example/jwks' })
    for (const weak of [
      rsa(512),
      rsa(1024),
      { ...rsa(2048), e: 'AQ' },
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' }),
      { ...good, crv: 'P-192' },
      { ...good, y: good.x },
      { kty: 'oct', k: 'AAAA' },
      ec.privateKey.export({ format: 'jwk' }),
      { ...good, d: '' },
      { ...good, use: 'enc' },
      {},
      null,
      'x',
    ])
      await expectRefused(withKeys(weak))
    await expectRefused(withKeys(good, rsa(1024)))
    await expectRefused(withKeys())
    await expectRefused(withKeys(...Array(11).fill(good)))
    for (const jwks of [null, [], 'x', { keys: {} }, undefined])
      await expectRefused({ ...withKeys(good), jwks })
    const { status, body } = await world.register(withKeys(good, rsa(2048)))
    expect([status, body.jwks.keys.length, body.client_secret]).toEqual([201, 2, undefined])
    await expectRefused({ ...withKeys(good), token_endpoint_auth_signing_alg: 'HS256' })
    await expectRefused({ ...withKeys(good), token_endpoint_auth_signing_alg: 'none' })
  })

  test('DCR-035: grants that open registration does not give', async () => {
    for (const type of [
      'password',
      'implicit',
      'client_credentials',
      'urn:ietf:params:oauth:grant-type:jwt-bearer',
      'refresh_token',
      '',
      '__proto__',
    ])
      await expectRefused({ redirect_uris: [uri], grant_types: [type] })
    for (const types of ['authorization_code', {}, [1], [null], [['authorization_code']]])
      await expectRefused({ redirect_uris: [uri], grant_types: types })
    for (const types of [['token'], 'code', [], [1]])
      await expectRefused({ redirect_uris: [uri], response_types: types })
  })

  test('DCR-035: client_credentials where the configuration gives it, and only to clients that authenticate', async () => {
    const open = await startWorld({
      aat: { registration: { policies: { default: { grantTypes: ['client_credentials'], scopes: ['a'] } } } },
    })
    try {
      const machine = await open.register({ grant_types: ['client_credentials'] })
      expect([machine.status, machine.body.redirect_uris, machine.body.response_types]).toEqual([201, [], []])
      const { client_id: id, client_secret: secret } = machine.body
      const token = await open.token({ grant_type: 'client_credentials', scope: 'a' }, basic(id, secret))
      expect(token.status).toBe(200)
      const wide = await open.token({ grant_type: 'client_credentials', scope: 'b' }, basic(id, secret))
      expect(wide.body.error).toBe('invalid_scope')
      const none = await open.register({
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'none',
      })
      expect([none.status, none.body.error]).toEqual([400, 'invalid_client_metadata'])
    } finally {
      await open.close()
    }
  })

  test('DCR-037: token_endpoint_auth_method', async () => {
    for (const method of ['foo', 1, [], {}, '', 'client_secret_jwt', 'tls_client_auth', ['none']])
      await expectRefused({ redirect_uris: [uri], token_endpoint_auth_method: method })
  })

  test('DCR-038: scope beyond the policy is left out and cannot be had', async () => {
    const narrow = await startWorld({ aat: { registration: { policies: { default: { scopes: ['a'] } } } } })
    try {
      const { body } = await narrow.register({ ...publicClient, scope: 'a b admin' })
      expect(body.scope).toBe('a')
      const ask = await narrow.authorize({ client_id: body.client_id, redirect_uri: uri, scope: 'a' })
      expect(ask.code).not.toBe('')
      const more = await ask.browser.get(
        narrow.authorizeUrl({ client_id: body.client_id, redirect_uri: uri, scope: 'a b' }),
      )
      expect(more.headers.get('location')).toContain('error=invalid_scope')
    } finally {
      await narrow.close()
    }
    for (const scope of [1, {}, ['a'], 'a  b', 'a"b', 'x'.repeat(3000)])
      await expectRefused({ ...publicClient, scope })
  })

  test('DCR-041: client_name', async () => {
    for (const name of [
      '',
      ' ',
      '\t',
      'x'.repeat(201),
      'x'.repeat(10_000),
      'a\nb',
      'a\u0000b',
      'a\u202eb',
      'a\u200bb',
      'a\u2066b',
      '\u00a0\u3000',
      '\u3164',
      '\u2800',
      '\u180e',
      '\u115f\u1160',
      '\u{e0041}',
      'a\u2028b',
      1,
      {},
      ['App'],
      null,
    ])
      await expectRefused({ ...publicClient, client_name: name })
    for (const name of ['Google', '<b>', 'Café 💥 日本', 'x'.repeat(200)])
      expect((await world.register({ ...publicClient, client_name: name })).body.client_name).toBe(name)
  })

  test('RFC 7591 section 2: contacts, software_id, software_version', async () => {
    for (const [name, value] of [
      ['contacts', 'a@b.example'],
      ['contacts', Array(11).fill('a')],
      ['contacts', ['a\nb']],
      ['contacts', ['x'.repeat(201)]],
      ['software_id', 1],
      ['software_id', ''],
      ['software_version', 'x'.repeat(201)],
    ] as const)
      await expectRefused({ ...publicClient, [name]: value })
    const all = { contacts: ['a@b.example'], software_id: 'id', software_version: '1' }
    expect((await world.register({ ...publicClient, ...all })).body).toMatchObject(all)
  })
})

describe('the request', () => {
  const send = async (
    body: string,
    headers: Record<string, string> = { 'Content-Type': 'application/json' },
  ) =>
    readAnswer(
      await fetch(world.endpoint('register'), {
        method: 'POST',
        body: new TextEncoder().encode(body),
        headers,
      }),
    )
  const json = JSON.stringify(publicClient)

  test('DCR-043: just application/json', async () => {
    const before = registered()
    for (const headers of [
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      { 'Content-Type': 'text/plain' },
      {},
      { 'Content-Type': 'application/jsonx' },
      { 'Content-Type': 'application/json; charset=utf-16' },
    ] as Record<string, string>[]) {
      const { status, body } = await send(json, headers)
      expect([headers, status, body.error]).toEqual([headers, 400, 'invalid_client_metadata'])
    }
    expect(registered()).toBe(before)
    expect((await send(json, { 'Content-Type': 'Application/JSON; charset=UTF-8' })).status).toBe(201)
  })

  test('HTP-010: malformed JSON, in our words', async () => {
    for (const body of [
      '{',
      '',
      'null',
      '[]',
      '"x"',
      '1',
      '{}x',
      `\ufeff${json}`,
      '{"a":}',
      '['.repeat(30_000),
    ]) {
      const answer = await send(body)
      expect([body.slice(0, 20), answer.status]).toEqual([body.slice(0, 20), 400])
      expect(answer.body.error).toMatch(/^invalid_(client_metadata|redirect_uri)$/)
      expect(answer.text).not.toMatch(/JSON at|token|SyntaxError|Unexpected/)
    }
  })

  test("HTP-010: the same behind the app's own body parser", async () => {
    const express = (await import('express')).default
    const parsed = await startWorld({ before: (app) => app.use(express.json()) })
    try {
      expect((await parsed.register(publicClient)).status).toBe(201)
      const response = await fetch(parsed.endpoint('register'), {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: '[]',
      })
      expect(response.status).toBe(400)
    } finally {
      await parsed.close()
    }
  })

  test('DCR-044: other methods are 405 with Allow', async () => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']) {
      const response = await fetch(world.endpoint('register'), { method })
      expect([method, response.status, response.headers.get('allow')]).toEqual([method, 405, 'POST'])
      expect(response.headers.get('cache-control')).toBe('no-store')
    }
  })
})

describe('who may register', () => {
  test('the callback decides: only true opens', async () => {
    let answer: unknown
    const asked = await startWorld({ dcr: { allow: (() => answer) as () => boolean } })
    try {
      for (const no of [false, undefined, null, 0, 1, 'yes', {}, Promise.resolve(false)]) {
        answer = no
        const { status, body } = await asked.register(publicClient)
        expect([no, status, body.error]).toEqual([no, 403, 'access_denied'])
      }
      expect(asked.eventsNamed('registration.refused')).toHaveLength(8)
      answer = Promise.reject(new Error('SELECT secret'))
      const fault = await asked.register(publicClient)
      expect([fault.status, fault.body.error]).toEqual([500, 'server_error'])
      expect(fault.text).not.toContain('SELECT')
      answer = Promise.resolve(true)
      expect((await asked.register(publicClient)).status).toBe(201)
    } finally {
      await asked.close()
    }
  })

  test('DCR-047: a flood of open registrations takes no room in the store (40 instead of 100,000)', async () => {
    const { memoryStores } = await import('../../lib/index.ts')
    const { calls, stores } = recordingStores(memoryStores({ maxEntries: 20 }))
    const small = await startWorld({ stores })
    try {
      calls.length = 0
      const answers = []
      for (let count = 0; count < 40; count++) answers.push(await small.register(publicClient))
      expect(answers.map(({ status }) => status)).toEqual(Array(40).fill(201))
      expect(calls.filter(({ store }) => store === 'clients')).toEqual([])
      for (const { body } of answers)
        expect(await small.aat.clients.get(body.client_id)).toMatchObject({ origin: 'registered' })
      expect((await small.token({ grant_type: 'client_credentials' })).status).toBe(200)
    } finally {
      await small.close()
    }
  })

  test('DCR-047: where others than anybody register, a full store says so, and old clients still work', async () => {
    const { memoryStores } = await import('../../lib/index.ts')
    const small = await startWorld({ stores: memoryStores({ maxEntries: 20 }), dcr: { allow: () => true } })
    try {
      const answers = []
      for (let count = 0; count < 40; count++) answers.push(await small.register(publicClient))
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(20)
      const refused = answers.filter(({ status }) => status === 503)
      expect(refused).toHaveLength(20)
      expect(refused[0]?.body.error).toBe('temporarily_unavailable')
      expect(refused[0]?.headers.get('retry-after')).toMatch(/^\d+$/)
      expect(await small.aat.clients.get(answers[0]?.body.client_id)).toMatchObject({ origin: 'registered' })
      expect((await small.token({ grant_type: 'client_credentials' })).status).toBe(200)
    } finally {
      await small.close()
    }
  })

  test('DCR-047: by default 60 registrations a minute from one address, then 429', async () => {
    const limited = await startWorld({ dcr: { rateLimit: {} } })
    try {
      const statuses = []
      for (let count = 0; count < 62; count++) statuses.push((await limited.register(publicClient)).status)
      expect(statuses).toEqual([...Array(60).fill(201), 429, 429])
      expect((await limited.token({ grant_type: 'client_credentials' })).status).toBe(200)
    } finally {
      await limited.close()
    }
  })
})
