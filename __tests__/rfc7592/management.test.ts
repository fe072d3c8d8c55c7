import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { makeStores } from '../support/stores.ts'
import { basic, manualClock, REDIRECT_URI, startWorld, type World } from '../support/world.ts'
import { METADATA, manage, type Registration } from './manage.ts'

let open: World
let trusted: World
let worlds: [string, World][]
beforeAll(async () => {
  const aat = {
    registration: { quotas: { perSource: false, perRedirectHost: false, global: false } },
  } as const
  open = await startWorld({ aat })
  trusted = await startWorld({ aat, dcr: { allow: () => true } })
  worlds = [
    ['a client that its id describes', open],
    ['a client that was stored at once', trusted],
  ]
})
afterAll(() => Promise.all([open.close(), trusted.close()]))
beforeEach(() => {
  for (const [, world] of worlds) world.events.length = 0
})

const register = async (world: World, more: Record<string, unknown> = {}): Promise<Registration> =>
  (await world.register({ ...METADATA, ...more })).body
const credentials = ({ client_id, client_secret }: Registration) => ({ client_id, client_secret })
const tokensFor = (world: World, client: Registration, parameters: Record<string, string> = {}) =>
  world.signInAndGetTokens(
    { client_id: client.client_id, ...parameters },
    { ...credentials(client), redirect_uri: parameters.redirect_uri ?? REDIRECT_URI },
  )
const refresh = (world: World, client: Registration, token: string, more: Record<string, string> = {}) =>
  world.token({ grant_type: 'refresh_token', refresh_token: token, ...credentials(client), ...more })

describe.each(['open', 'trusted'])('over plain fetch, as in RFC 7592: %s', (kind) => {
  const worldOf = () => (kind === 'open' ? open : trusted)

  test('a registration says where and with what it is managed (RFC 7592 section 3)', async () => {
    const world = worldOf()
    const client = await register(world)
    expect(client.registration_client_uri).toBe(`${world.endpoint('register')}/${client.client_id}`)
    expect(client.registration_access_token).toMatch(/^aat_reg_[A-Za-z0-9_-]{43}$/)
  })

  test('MGT-001: reads its own: 200 with what is registered, never stored on the way', async () => {
    const world = worldOf()
    const client = await register(world)
    const { status, body, headers } = await manage('GET', client)
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('pragma')).toBe('no-cache')
    const { client_secret, ...told } = client
    expect(body).toEqual(told)
    expect(JSON.stringify(body)).not.toContain(client_secret)
  })

  test('MGT-002: a wrong token is 401 invalid_token, and nothing changes', async () => {
    const world = worldOf()
    const [one, other] = [await register(world), await register(world)]
    const before = (await manage('GET', one)).body
    for (const method of ['GET', 'PUT', 'DELETE']) {
      for (const token of [
        other.registration_access_token,
        `aat_reg_${'A'.repeat(43)}`,
        `${one.registration_access_token}x`,
        one.registration_access_token.slice(0, -1),
        one.client_secret,
        '',
      ]) {
        const body = method === 'PUT' ? { ...METADATA, client_id: one.client_id } : undefined
        const answer = await manage(method, { ...one, registration_access_token: token }, body)
        expect([method, answer.status, answer.body.error]).toEqual([method, 401, 'invalid_token'])
        expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer /)
      }
      const none = await manage(method, { registration_client_uri: one.registration_client_uri })
      expect(none.status).toBe(401)
      expect(none.headers.get('www-authenticate')).toBe('Bearer realm="registration"')
    }
    expect((await manage('GET', one)).body).toEqual(before)
  })

  test('MGT-004: a client that is not there is 401, like a wrong token, and takes no room', async () => {
    const world = worldOf()
    const one = await register(world)
    const wrong = await manage('GET', { ...one, registration_access_token: `aat_reg_${'A'.repeat(43)}` })
    const first = one.client_id.at(4)
    const alike = `dcr_${first === 'A' ? 'B' : 'A'}${one.client_id.slice(5)}`
    for (const id of [`dcr_${'A'.repeat(22)}`, `dcr_${'A'.repeat(100)}`, alike]) {
      for (const method of ['GET', 'DELETE']) {
        const uri = `${world.endpoint('register')}/${id}`
        const answer = await manage(method, { ...one, registration_client_uri: uri })
        expect([answer.status, answer.text]).toEqual([401, wrong.text])
      }
    }
    for (const path of ['x', 'dcr_', `${one.client_id}/x`, `${one.client_id}%00`, `dcr_${'A'.repeat(2000)}`])
      expect((await fetch(`${world.endpoint('register')}/${path}`)).status).toBe(404)
  })

  test('MGT-005: an access token is no registration access token, whatever its scope', async () => {
    const world = worldOf()
    const one = await register(world)
    const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a b c' })
    const answer = await manage('GET', { ...one, registration_access_token: body.access_token })
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
  })

  test('MGT-007: an update replaces: what is left out is gone, the id and the secret stay', async () => {
    const world = worldOf()
    const one = await register(world)
    const { status, body, headers } = await manage('PUT', one, {
      client_id: one.client_id,
      client_secret: one.client_secret,
      redirect_uris: ['https://client.example/new'],
      grant_types: ['authorization_code'],
      token_endpoint_auth_method: 'client_secret_post',
      client_name: 'My New Example',
    })
    expect(status).toBe(200)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toMatchObject({
      client_id: one.client_id,
      client_name: 'My New Example',
      redirect_uris: ['https://client.example/new'],
      grant_types: ['authorization_code'],
      registration_client_uri: one.registration_client_uri,
      registration_access_token: one.registration_access_token,
      client_secret_expires_at: 0,
    })
    expect(body).not.toHaveProperty('logo_uri')
    expect(body).not.toHaveProperty('client_secret')
    expect((await manage('GET', one)).body).toEqual(body)
    expect(world.eventsNamed('client.updated')).toMatchObject([{ clientId: one.client_id }])
    expect(
      (await tokensFor(world, one, { redirect_uri: 'https://client.example/new' })).body.access_token,
    ).toBeDefined()
    const gone = await fetch(world.authorizeUrl({ client_id: one.client_id, redirect_uri: REDIRECT_URI }), {
      redirect: 'manual',
    })
    expect(gone.status).toBe(400)
  })

  test('MGT-008: what the server sets is not sent back: 400, and nothing changes', async () => {
    const world = worldOf()
    const one = await register(world)
    const before = (await manage('GET', one)).body
    for (const member of [
      { registration_access_token: one.registration_access_token },
      { registration_client_uri: one.registration_client_uri },
      { client_secret_expires_at: 0 },
      { client_id_issued_at: 1 },
    ]) {
      const answer = await manage('PUT', one, { ...METADATA, client_id: one.client_id, ...member })
      expect([member, answer.status, answer.body.error]).toEqual([member, 400, 'invalid_request'])
    }
    expect((await manage('GET', one)).body).toEqual(before)
  })

  test('MGT-010: another client_id, none, or another secret: 400, and nothing changes', async () => {
    const world = worldOf()
    const [one, other] = [await register(world), await register(world)]
    const before = (await manage('GET', one)).body
    for (const wrong of [
      { client_id: other.client_id },
      { client_id: undefined },
      { client_id: '' },
      { client_id: [one.client_id] },
      { client_id: one.client_id, client_secret: other.client_secret },
      { client_id: one.client_id, client_secret: '' },
      { client_id: one.client_id, client_secret: 1 },
    ])
      expect((await manage('PUT', one, { ...METADATA, ...wrong })).status).toBe(400)
    expect((await manage('GET', one)).body).toEqual(before)
    expect((await manage('GET', other)).body.client_name).toBe(METADATA.client_name)
  })

  test('MGT-011: an update is judged like a registration', async () => {
    const world = worldOf()
    const one = await register(world)
    const before = (await manage('GET', one)).body
    const key = { kty: 'RSA', n: 'AQAB', e: 'AQAB' }
    for (const [wrong, error] of [
      ...[
        'javascript:alert(1)',
        'http://a.example/cb',
        'https://a/cb#x',
        'https://*.example/cb',
        'https://a/?code=x',
      ]
        .concat(['http://localhost.evil.test/cb', 'https://a/\u0000', `https://a/${'x'.repeat(2049)}`])
        .map((uri) => [{ redirect_uris: [uri] }, 'invalid_redirect_uri'] as const),
      [{ redirect_uris: [] }, 'invalid_redirect_uri'],
      [{ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [key] } }, 'invalid_client_metadata'],
      [{ jwks: { keys: [] }, jwks_uri: 'https://a.example/jwks' }, 'invalid_client_metadata'],
      [{ grant_types: ['password'] }, 'invalid_client_metadata'],
      [{ token_endpoint_auth_method: 'foo' }, 'invalid_client_metadata'],
      [{ client_name: ' ' }, 'invalid_client_metadata'],
      [{ logo_uri: 'javascript:1' }, 'invalid_client_metadata'],
      [{ use_idp_session_expiry: 'no' }, 'invalid_client_metadata'],
    ] as const) {
      const answer = await manage('PUT', one, { ...METADATA, ...wrong, client_id: one.client_id })
      expect([wrong, answer.status, answer.body.error]).toEqual([wrong, 400, error])
    }
    for (const text of ['', '[]', 'null', '{', '"x"'])
      expect((await manage('PUT', one, text)).body.error).toBe('invalid_client_metadata')
    expect((await manage('PUT', one, '{}', { 'Content-Type': 'text/plain' })).status).toBe(400)
    const more = await manage('PUT', one, {
      ...METADATA,
      ...{
        client_id: one.client_id,
        scope: 'a admin',
        grant_types: ['authorization_code', 'client_credentials'],
      },
    })
    expect(more.body).toMatchObject({ scope: 'a', grant_types: ['authorization_code'] })
    await manage('PUT', one, { ...METADATA, client_id: one.client_id })
    expect((await manage('GET', one)).body).toEqual(before)
  })

  test('MGT-013: a redirect URI that was taken out takes codes that are on their way to it with it', async () => {
    const world = worldOf()
    const one = await register(world)
    const { code, verifier } = await world.authorize({ client_id: one.client_id })
    const kept = await world.authorize({
      client_id: one.client_id,
      redirect_uri: 'https://client.example/callback2',
    })
    await manage('PUT', one, {
      ...METADATA,
      client_id: one.client_id,
      redirect_uris: ['https://client.example/callback2'],
    })
    const redeem = (code: string, verifier: string, redirect?: string) =>
      world.token({
        ...{ grant_type: 'authorization_code', code, code_verifier: verifier, ...credentials(one) },
        ...(redirect !== undefined && { redirect_uri: redirect }),
      })
    expect((await redeem(code, verifier, REDIRECT_URI)).body.error).toBe('invalid_grant')
    expect((await redeem(kept.code, kept.verifier, 'https://client.example/callback2')).status).toBe(200)
  })

  test('MGT-013: also where the request named none, for the client had just one', async () => {
    const world = worldOf()
    const one = await register(world, { redirect_uris: [REDIRECT_URI] })
    const { code, verifier } = await world.authorize({ client_id: one.client_id, redirect_uri: undefined })
    const redeem = () =>
      world.token({ grant_type: 'authorization_code', code, code_verifier: verifier, ...credentials(one) })
    const change = (uris: string[]) =>
      manage('PUT', one, { ...METADATA, client_id: one.client_id, redirect_uris: uris })
    await change(['https://client.example/callback2'])
    expect((await redeem()).body.error).toBe('invalid_grant')
    await change([REDIRECT_URI, 'https://client.example/callback2'])
    expect((await redeem()).status).toBe(200)
  })

  test('MGT-016: deletion: 204, and token, client, codes, families and access tokens are gone', async () => {
    const world = worldOf()
    const one = await register(world)
    const { body } = await tokensFor(world, one, { scope: 'a' })
    const { code, verifier } = await world.authorize({ client_id: one.client_id })
    const { browser } = await world.authorize({ client_id: one.client_id }, { scopes: [] })
    const waiting = await browser.follow(
      await browser.get(world.authorizeUrl({ client_id: one.client_id, prompt: 'consent' })),
    )
    expect(waiting.status).toBe(200)
    const answer = await manage('DELETE', one)
    expect([answer.status, answer.text]).toEqual([204, ''])
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect((await manage('GET', one)).status).toBe(401)
    expect((await manage('DELETE', one)).status).toBe(401)
    expect((await manage('PUT', one, { ...METADATA, client_id: one.client_id })).status).toBe(401)
    expect((await refresh(world, one, body.refresh_token)).body.error).toBe('invalid_client')
    const redeemed = await world.token({
      ...{ grant_type: 'authorization_code', code, code_verifier: verifier, ...credentials(one) },
      redirect_uri: REDIRECT_URI,
    })
    expect([redeemed.status, redeemed.body.error]).toEqual([401, 'invalid_client'])
    expect((await world.call('/api/a', body.access_token)).status).toBe(401)
    expect((await world.aat.grants.list({ clientId: one.client_id })).grants).toEqual([])
    const decided = await browser.submitConsent(waiting, { decision: 'allow' })
    expect(decided.headers.get('location') ?? '').not.toContain('code=')
    expect(await world.aat.clients.get(one.client_id)).toBeUndefined()
    expect(world.eventsNamed('client.deleted')).toMatchObject([{ clientId: one.client_id }])
  })

  test('COD-011: a code of a client that deleted itself (RFC 7592): 401 invalid_client', async () => {
    const world = worldOf()
    const one = await register(world)
    const { code, verifier } = await world.authorize({ client_id: one.client_id })
    expect((await manage('DELETE', one)).status).toBe(204)
    const { status, body } = await world.token({
      ...{ grant_type: 'authorization_code', code, code_verifier: verifier, ...credentials(one) },
      redirect_uri: REDIRECT_URI,
    })
    expect([status, body.error]).toEqual([401, 'invalid_client'])
  })

  test('RTK-028: a scope that an update takes out is in no new token; it is again once it is registered again', async () => {
    const world = worldOf()
    const one = await register(world)
    const { body } = await tokensFor(world, one, { scope: 'a b c' })
    const put = (scope: string) => manage('PUT', one, { ...METADATA, client_id: one.client_id, scope })
    expect((await put('a b')).body.scope).toBe('a b')
    const second = await refresh(world, one, body.refresh_token)
    expect(second.body.scope).toBe('a b')
    const wanted = await refresh(world, one, second.body.refresh_token, { scope: 'a c' })
    expect(wanted.status === 200 ? wanted.body.scope : wanted.body.error).toMatch(/^(?:a|invalid_scope)$/)
    const { parameters } = await world.authorize({ client_id: one.client_id, scope: 'c' })
    expect(parameters.error).toBe('invalid_scope')
    await put('a b c')
    const held = wanted.body.refresh_token ?? second.body.refresh_token
    expect((await refresh(world, one, held)).body.scope).toBe('a b c')
  })

  test('a scope that was never registered is no ceiling: a client steps up as before', async () => {
    const world = worldOf()
    const one = await register(world, { scope: 'a' })
    await manage('PUT', one, { ...METADATA, client_id: one.client_id, scope: 'a' })
    const { body } = await tokensFor(world, one, { scope: 'a c' })
    expect(body.scope).toBe('a c')
  })

  test('RTK-032: a client deletes itself (RFC 7592): its refresh tokens are 401 invalid_client, its families gone', async () => {
    const world = worldOf()
    const one = await register(world)
    const { body } = await tokensFor(world, one)
    expect((await manage('DELETE', one)).status).toBe(204)
    const { status, body: refused } = await refresh(world, one, body.refresh_token)
    expect([status, refused.error]).toEqual([401, 'invalid_client'])
    expect(
      (await world.aat.grants.list({ subject: 'alice' })).grants.map(({ clientId }) => clientId),
    ).not.toContain(one.client_id)
  })

  test('whoever changes the redirect URIs does not get what the user allowed before: the user is asked again', async () => {
    const world = worldOf()
    const one = await register(world)
    const first = await world.authorize({ client_id: one.client_id })
    const ask = (redirect_uri: string) =>
      first.browser.get(world.authorizeUrl({ client_id: one.client_id, redirect_uri }))
    expect((await ask(REDIRECT_URI)).headers.get('location')).toContain('code=')
    const stolen = 'https://thief.example/cb'
    await manage('PUT', one, {
      ...METADATA,
      client_id: one.client_id,
      redirect_uris: [...METADATA.redirect_uris, stolen],
    })
    for (const uri of [stolen, REDIRECT_URI])
      expect((await ask(uri)).headers.get('location')).toContain('/oauth/authorize/consent?request=')
  })

  test('other methods are 405 with what there is; a preflight tells of them', async () => {
    const one = await register(worldOf())
    for (const method of ['POST', 'PATCH']) {
      const answer = await manage(method, one, {})
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, PUT, DELETE'])
    }
  })

  test('two Authorization headers are refused, and a token in the query is none', async () => {
    const one = await register(worldOf())
    const inQuery = await fetch(
      `${one.registration_client_uri}?access_token=${one.registration_access_token}`,
    )
    expect(inQuery.status).toBe(401)
  })
})

describe('what a client may change about how it authenticates', () => {
  test('from none to a secret: it is given one; and back: the secret is none', async () => {
    const one = await register(open, { token_endpoint_auth_method: 'none' })
    const put = (method: string) =>
      manage('PUT', one, { ...METADATA, client_id: one.client_id, token_endpoint_auth_method: method })
    const { body } = await put('client_secret_basic')
    expect(body.client_secret).toMatch(/^[\w-]{43}$/)
    const junk = { grant_type: 'refresh_token', refresh_token: 'x' }
    expect((await open.token(junk, basic(one.client_id, body.client_secret))).body.error).toBe(
      'invalid_grant',
    )
    expect((await put('none')).body).not.toHaveProperty('client_secret_expires_at')
    expect((await open.token(junk, basic(one.client_id, body.client_secret))).body.error).toBe(
      'invalid_client',
    )
    // An old secret does not come back with the method.
    const again = await put('client_secret_basic')
    expect(again.body.client_secret).not.toBe(body.client_secret)
    expect((await open.token(junk, basic(one.client_id, body.client_secret))).body.error).toBe(
      'invalid_client',
    )
  })

  test('the reply that has its new secret is lost: asked again, it is given another one', async () => {
    const clock = manualClock()
    const policies = { default: { clientSecretLifetime: 10_000 } }
    const world = await startWorld({
      clock,
      stores: await makeStores(clock),
      aat: { registration: { quotas: false, policies } },
    })
    const put = async (client: Registration, more: Record<string, unknown>) =>
      (await manage('PUT', client, { ...METADATA, client_id: client.client_id, ...more })).body
    const open = (await world.register({ ...METADATA, token_endpoint_auth_method: 'none' })).body
    expect((await put(open, {})).client_secret).toBeDefined()
    const { client_secret } = await put(open, {})
    const status = async (secret: string) =>
      (await refresh(world, { ...open, client_secret: secret }, 'x')).body.error
    expect(await status(client_secret)).toBe('invalid_grant')
    // Who sends the newest has it.
    expect(await put(open, { client_secret })).not.toHaveProperty('client_secret')
    clock.advance(300)
    expect(await put(open, {})).not.toHaveProperty('client_secret')

    const one = await register(world)
    const first = { client_secret: one.client_secret }
    clock.advance(5001)
    expect((await put(one, first)).client_secret).toBeDefined()
    clock.advance(400)
    expect((await put(one, first)).client_secret).toBeDefined()
    await world.close()
  })

  test('a secret of a policy that lets them end is exchanged when half of its life is over', async () => {
    const clock = manualClock()
    const policies = { default: { clientSecretLifetime: 1000 } }
    const world = await startWorld({
      clock,
      stores: await makeStores(clock),
      aat: { registration: { policies } },
      dcr: { clientSecretOverlap: 100 },
    })
    const one = await register(world)
    const put = async () => (await manage('PUT', one, { ...METADATA, client_id: one.client_id })).body
    expect(await put()).not.toHaveProperty('client_secret')
    clock.advance(501)
    const body = await put()
    expect(body.client_secret_expires_at).toBe(clock() + 1000)
    const status = async (client_secret: string) =>
      (await refresh(world, { ...one, client_secret }, 'x')).body.error
    expect([await status(one.client_secret), await status(body.client_secret)]).toEqual([
      'invalid_grant',
      'invalid_grant',
    ])
    clock.advance(100)
    expect([await status(one.client_secret), await status(body.client_secret)]).toEqual([
      'invalid_client',
      'invalid_grant',
    ])
    clock.advance(900)
    expect(await status(body.client_secret)).toBe('invalid_client')
    // Its registration access token is still good, so it is not stranded.
    expect((await put()).client_secret).toMatch(/^[\w-]{43}$/)
    // Also where it sends the secret that it has, as RFC 7592 section 2.2 lets it.
    const two = await register(world)
    clock.advance(1001)
    const { client_secret } = two
    const { status: renewed, body: answer } = await manage('PUT', two, {
      ...METADATA,
      client_id: two.client_id,
      client_secret,
    })
    expect([renewed, answer.client_secret === client_secret]).toEqual([200, false])
    expect(answer.client_secret).toMatch(/^[\w-]{43}$/)
    await world.close()
  })
})
