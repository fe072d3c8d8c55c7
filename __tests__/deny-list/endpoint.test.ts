import { afterEach, describe, expect, test } from '@jest/globals'
import {
  createAat,
  type DenyListEndpointOptions,
  denyListEndpoint,
  memoryStores,
  requireAat,
} from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  PUBLIC,
  REDIRECT_URI,
  readAnswer,
  startWorld,
  type TokenAnswer,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const OPERATOR = { id: 'operator', secret: 'the-secret-of-the-operators-console' }
const asOperator = basic(OPERATOR.id, OPERATOR.secret)
const asClient = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)

const worlds: World[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
})

async function start(options: WorldOptions = {}, endpoint: DenyListEndpointOptions = {}) {
  const world = await startWorld({
    aat: {
      clients: [
        {
          clientId: CONFIDENTIAL.id,
          clientSecret: CONFIDENTIAL.secret,
          redirectUris: [REDIRECT_URI],
          grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
        },
        { clientId: PUBLIC.id, redirectUris: [REDIRECT_URI] },
        { clientId: OPERATOR.id, clientSecret: OPERATOR.secret, mayDeny: true },
      ],
    },
    ...options,
    after: (app, aat) => {
      app.use('/oauth/denylist', denyListEndpoint(aat, endpoint))
      options.after?.(app, aat)
    },
  })
  worlds.push(world)
  const url = world.endpoint('denylist')
  return {
    ...world,
    deny: (parameters: Record<string, string>, headers: Record<string, string> = asOperator) =>
      world.post(url, parameters, headers),
    list: async (query: Record<string, string> = {}, headers: Record<string, string> = asOperator) =>
      readAnswer(await fetch(`${url}?${new URLSearchParams(query)}`, { headers })),
  }
}

const works = async (world: World, token: string) => (await world.call('/api/a', token)).status === 200

function expectRefusal(answer: TokenAnswer, status: number, error: string): void {
  expect([answer.status, answer.body?.error]).toEqual([status, error])
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

describe('what is denied', () => {
  test('REV-002: a token, by itself or by its jti: it alone, and the list tells of it', async () => {
    const world = await start()
    const { body: one } = await world.signInAndGetTokens()
    const { body: two } = await world.refresh(one.refresh_token)
    const { body: three } = await world.refresh(two.refresh_token)
    const { jti } = claimsOf(one.access_token)
    const answer = await world.deny({ token: one.access_token })
    expect([answer.status, answer.body]).toEqual([200, { denied: { type: 'token', id: jti } }])
    expect(answer.headers.get('cache-control')).toBe('no-store')
    await world.deny({ type: 'token', id: String(claimsOf(two.access_token).jti) })
    expect(await works(world, one.access_token)).toBe(false)
    expect(await works(world, two.access_token)).toBe(false)
    expect(await works(world, three.access_token)).toBe(true)
    expect((await world.refresh(three.refresh_token)).status).toBe(200)
    const { body } = await world.list()
    expect(body.denied.map(({ id }: { id: string }) => id).sort()).toEqual(
      [jti, claimsOf(two.access_token).jti].sort(),
    )
    expect(body.denied[0]).toEqual({ type: 'token', id: expect.any(String), expires_at: expect.any(Number) })
    expect(body.cursor).toBeUndefined()
  })

  test('REV-001: a grant, by its id or by its refresh token: family and access tokens', async () => {
    const world = await start()
    for (const name of ['id', 'token']) {
      const { body } = await world.signInAndGetTokens()
      const id = String(claimsOf(body.access_token).grant_id)
      const answer = await world.deny(name === 'id' ? { type: 'grant', id } : { token: body.refresh_token })
      expect(answer.body).toEqual({ denied: { type: 'grant', id } })
      expect(await works(world, body.access_token)).toBe(false)
      expectRefusal(await world.refresh(body.refresh_token), 400, 'invalid_grant')
    }
  })

  test.each(['client', 'subject'] as const)('REV-016: all of a %s up to now, in one entry', async (type) => {
    const world = await start()
    const held = [await world.signInAndGetTokens(), await world.signInAndGetTokens()]
    const other = await world.signInAndGetTokens(
      { client_id: PUBLIC.id },
      { client_id: PUBLIC.id },
      { as: 'bob' },
    )
    const id = type === 'client' ? CONFIDENTIAL.id : 'alice'
    expect((await world.deny({ type, id })).status).toBe(200)
    const { body: listed } = await world.list()
    expect(listed.denied).toEqual([
      { type, id, not_after: expect.any(Number), expires_at: expect.any(Number) },
    ])
    for (const { body } of held) {
      expect(await works(world, body.access_token)).toBe(false)
      expectRefusal(await world.refresh(body.refresh_token), 400, 'invalid_grant')
    }
    expect(await works(world, other.body.access_token)).toBe(true)
    // What is issued from now on is good again.
    world.clock.now += 2
    const { body: fresh } = await world.signInAndGetTokens()
    expect(await works(world, fresh.access_token)).toBe(true)
  })

  test('who did it stands in the event', async () => {
    const world = await start()
    await world.deny({ type: 'subject', id: 'alice' })
    expect(world.eventsNamed('revocation.recorded')).toMatchObject([
      { kind: 'subject', id: 'alice', by: OPERATOR.id },
    ])
  })

  test('a name that no prototype lends, and ids of every kind', async () => {
    const world = await start()
    for (const type of ['__proto__', 'constructor', 'toString', 'everybody', 'key', 'Token'])
      expectRefusal(await world.deny({ type, id: 'x' }), 400, 'invalid_request')
    for (const id of ['__proto__', '{}', 'ü:"\\', 'x'.repeat(255)])
      expect((await world.deny({ type: 'subject', id })).status).toBe(200)
    const { body } = await world.list()
    expect(body.denied).toHaveLength(4)
  })
})

describe('the list', () => {
  test('comes in pages, each entry once, whatever is added meanwhile; expired ones are not in it', async () => {
    const world = await start()
    const expected = []
    for (let index = 0; index < 25; index++) {
      const id = `token-${String(index).padStart(2, '0')}`
      await world.aat.denyList.add({ jti: id })
      expected.push(id)
    }
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const { body } = await world.list({ limit: '10', ...(cursor !== undefined && { cursor }) })
      expect(body.denied.length).toBeLessThanOrEqual(10)
      seen.push(...body.denied.map(({ id }: { id: string }) => id))
      await world.aat.denyList.add({ jti: `a-new-one-${seen.length}` })
      cursor = body.cursor
    } while (cursor !== undefined)
    expect(seen).toEqual(expected)
    world.clock.now += 3600
    expect((await world.list()).body).toEqual({ denied: [] })
  })

  test.each([
    { limit: '0' },
    { limit: '1001' },
    { limit: '-1' },
    { limit: '1e2' },
    { limit: 'x' },
    { cursor: 'x' },
    { cursor: Buffer.from('nothing:x').toString('base64url') },
    { cursor: Buffer.from('__proto__:x').toString('base64url') },
    { cursor: 'A'.repeat(10_000) },
  ])('%j is refused', async (query) => {
    const world = await start()
    expectRefusal(await world.list(query as Record<string, string>), 400, 'invalid_request')
  })

  test('a repeated parameter is refused', async () => {
    const world = await start()
    const response = await fetch(`${world.endpoint('denylist')}?limit=1&limit=2`, { headers: asOperator })
    expectRefusal(await readAnswer(response), 400, 'invalid_request')
  })

  test('another instance tells the same at once', async () => {
    const stores = memoryStores()
    const one = await start({ stores })
    const two = await start({ stores, issuer: one.issuer, clock: one.clock })
    await one.deny({ type: 'subject', id: 'alice' })
    expect((await two.list()).body).toEqual((await one.list()).body)
  })

  test('what is denied otherwise is in it too', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    await world.post(world.endpoint('revoke'), { token: body.access_token }, asClient)
    await world.aat.revoke({ before: world.clock() })
    await world.aat.idpSessions.end({ issuer: 'https://idp.example', sid: 's' })
    await world.aat.idpSessions.update({
      ...{ issuer: 'https://idp.example', sid: 'moved' },
      expiresAt: world.clock() + 100,
    })
    const { denied } = await world.aat.denyList.list()
    expect(denied.map(({ type }) => type)).toEqual(['everybody', 'token', 'idp_session'])
  })
})

describe('who may', () => {
  test('a client without the right is refused, whoever it is; nothing is denied', async () => {
    const world = await start()
    const { body } = await world.signInAndGetTokens()
    for (const headers of [asClient, { ...asClient, Origin: world.base }]) {
      expectRefusal(await world.deny({ token: body.access_token }, headers), 403, 'access_denied')
      expectRefusal(await world.list({}, headers), 403, 'access_denied')
    }
    for (const parameters of [{}, { client_id: PUBLIC.id }] as Record<string, string>[]) {
      const answer = await world.deny({ token: body.access_token, ...parameters }, {})
      expect([401, 403]).toContain(answer.status)
    }
    expectRefusal(await world.list({}, {}), 401, 'invalid_client')
    expectRefusal(await world.list({}, basic(OPERATOR.id, 'not-the-secret-at-all')), 401, 'invalid_client')
    expect(await works(world, body.access_token)).toBe(true)
  })

  test('a registered client has no such right, whatever it registers', async () => {
    const world = await start()
    const { body } = await world.register({
      ...{ redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'client_secret_basic' },
      ...{ mayDeny: true, may_deny: true },
    })
    const headers = basic(body.client_id, body.client_secret)
    expectRefusal(await world.deny({ type: 'subject', id: 'alice' }, headers), 403, 'access_denied')
  })

  test('a secret in the URL is no credential', async () => {
    const world = await start()
    const answer = await world.list({ client_id: OPERATOR.id, client_secret: OPERATOR.secret }, {})
    expectRefusal(answer, 401, 'invalid_client')
    const posted = await world.deny(
      { client_id: OPERATOR.id, client_secret: OPERATOR.secret, type: 'subject', id: 'alice' },
      {},
    )
    expectRefusal(posted, 401, 'invalid_client')
  })

  test('guesses of the secret are limited', async () => {
    const world = await start({}, { rateLimit: { limit: 3, windowSeconds: 60 } })
    const guess = () => world.list({}, basic(OPERATOR.id, 'not-the-secret-at-all'))
    const statuses = []
    for (let count = 0; count < 5; count++) statuses.push((await guess()).status)
    expect(statuses).toEqual([401, 401, 401, 429, 429])
  })

  test('a public client cannot be given the right', () => {
    const resources = { 'https://a.example/api': { scopes: ['a'] } }
    const clients = [{ clientId: 'p', redirectUris: [REDIRECT_URI], mayDeny: true }]
    expect(() => createAat({ issuer: 'https://a.example', resources, clients })).toThrow(
      /mayDeny needs a client/,
    )
  })

  test('the app’s own check, with a scope: only who has it', async () => {
    let asked = 0
    const world = await start(
      {
        before: (app) => app.use('/oauth/denylist', (req, res, next) => guard?.(req, res, next)),
        after: (_, aat) => {
          guard = requireAat(aat, { scope: 'c' })
        },
      },
      { authorize: () => ++asked > 0 },
    )
    const ask = async (scope: string) => {
      const { body } = await world.token({ grant_type: 'client_credentials', scope })
      return world.list({}, { Authorization: `Bearer ${body.access_token}` })
    }
    expect((await ask('a')).status).toBe(403)
    expect(asked).toBe(0)
    expect((await ask('c')).status).toBe(200)
    expect((await world.list()).status).toBe(401)
  })
  let guard: ReturnType<typeof requireAat> | undefined

  test.each([false, undefined, 1, 'yes'])('a check that says %p lets nobody in', async (says) => {
    const world = await start({}, { authorize: async () => says as boolean })
    expectRefusal(await world.list(), 403, 'access_denied')
    expectRefusal(await world.deny({ type: 'subject', id: 'alice' }), 403, 'access_denied')
  })

  test('a check that throws is the app’s fault', async () => {
    const world = await start({}, { authorize: () => Promise.reject(new Error('no database')) })
    expectRefusal(await world.list(), 500, 'server_error')
  })

  test('another site cannot make an operator’s browser deny anything', async () => {
    const world = await start({}, { authorize: () => true })
    const deny = (headers: Record<string, string>) => world.deny({ type: 'subject', id: 'alice' }, headers)
    for (const headers of [
      { Origin: 'https://evil.example' },
      { Origin: 'null' },
      { 'Sec-Fetch-Site': 'cross-site' },
      { 'Sec-Fetch-Site': 'same-site' },
      { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'same-origin' },
    ] as Record<string, string>[])
      expectRefusal(await deny(headers), 403, 'access_denied')
    expect((await world.list()).body.denied).toEqual([])
    expect((await deny({ Origin: world.base })).status).toBe(200)
    expect((await deny({ 'Sec-Fetch-Site': 'same-origin' })).status).toBe(200)
  })
})

describe('on the wire', () => {
  test.each([
    [{}],
    [{ type: 'token' }],
    [{ id: 'x' }],
    [{ token: 'garbage' }],
    [{ token: `aat_rt_${'A'.repeat(112)}` }],
    [{ token: 'x'.repeat(9000) }],
    [{ token: 'x', type: 'token', id: 'y' }],
    [{ type: 'token', id: 'x'.repeat(256) }],
  ])('%j is refused', async (parameters) => {
    const world = await start()
    expectRefusal(await world.deny(parameters as Record<string, string>), 400, 'invalid_request')
    expect((await world.list()).body.denied).toEqual([])
  })

  test('other methods are refused, and other bodies', async () => {
    const world = await start()
    for (const method of ['PUT', 'DELETE', 'PATCH', 'HEAD']) {
      const response = await fetch(world.endpoint('denylist'), { method, headers: asOperator })
      expect([method, response.status, response.headers.get('allow')]).toEqual([method, 405, 'GET, POST'])
    }
    const response = await fetch(world.endpoint('denylist'), {
      method: 'POST',
      headers: { ...asOperator, 'Content-Type': 'application/json' },
      body: '{"type":"subject","id":"alice"}',
    })
    expectRefusal(await readAnswer(response), 400, 'invalid_request')
  })

  test('200 only when it is written: 503 where the store cannot, and then it is not in force', async () => {
    const stores = memoryStores()
    const world = await start({ stores })
    const { body } = await world.signInAndGetTokens()
    const { append } = stores.revocations
    stores.revocations.append = () => Promise.reject(new StoreUnavailable('away'))
    const answer = await world.deny({ token: body.access_token })
    expectRefusal(answer, 503, 'temporarily_unavailable')
    expect(answer.headers.get('retry-after')).not.toBeNull()
    stores.revocations.append = append
    expect((await world.deny({ token: body.access_token })).status).toBe(200)
    expect(await works(world, body.access_token)).toBe(false)
  })

  test('the list is 503 where the log cannot be read', async () => {
    const stores = memoryStores()
    const world = await start({ stores })
    stores.revocations.since = () => Promise.reject(new StoreUnavailable('away'))
    expectRefusal(await world.list(), 503, 'temporarily_unavailable')
  })

  test('it is not advertised: it is for operators', async () => {
    const world = await start()
    const { text } = await world.call('/.well-known/oauth-authorization-server')
    expect(text).not.toContain('denylist')
  })
})

describe('aat.denyList', () => {
  test('wrong arguments are told', async () => {
    const { aat } = await start()
    // @ts-expect-error nothing named
    await expect(aat.denyList.add({})).rejects.toThrow('denyList.add: name exactly one')
    // @ts-expect-error that is for revoke
    await expect(aat.denyList.add({ before: 1 })).rejects.toThrow('denyList.add: name exactly one')
    await expect(aat.denyList.add({ subject: 'x', maxUses: 3 } as never)).rejects.toThrow('goes with a jti')
    await expect(aat.denyList.list({ limit: 0 })).rejects.toThrow(RangeError)
    await expect(aat.denyList.list({ limit: 1.5 })).rejects.toThrow(RangeError)
    await expect(aat.denyList.list({ cursor: 7 as never })).rejects.toThrow(RangeError)
  })

  test('20,000 entries are listed within a bounded time', async () => {
    const { aat } = await start()
    for (let index = 0; index < 20_000; index++) await aat.denyList.add({ jti: `jti-${index}` })
    let count = 0
    let cursor: string | undefined
    do {
      const page = await aat.denyList.list({ limit: 1000, cursor })
      count += page.denied.length
      cursor = page.cursor
    } while (cursor !== undefined && count < 5000)
    expect(count).toBe(5000)
  })
})
