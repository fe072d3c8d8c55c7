import { describe, expect, test } from '@jest/globals'
import { readConfiguration } from '../../lib/configuration.ts'
import type { AatOptions, RegistrationPolicyOptions, Stores } from '../../lib/index.ts'
import { makeSharedStores } from '../support/stores.ts'
import { basic, claimsOf, manualClock, startWorld, type TokenAnswer, type World } from '../support/world.ts'

const uri = 'https://app.example/cb'
const base = { redirect_uris: [uri], grant_types: ['authorization_code', 'refresh_token'] }

async function withWorld(
  policy: RegistrationPolicyOptions,
  run: (world: World) => Promise<unknown>,
  aat: Partial<AatOptions> = {},
): Promise<void> {
  const world = await startWorld({ aat: { registration: { policies: { default: policy } }, ...aat } })
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

/** The tokens that a registered confidential client of these gets. */
async function tokensOf(world: World, client: { client_id: string; client_secret: string }, scope = 'a') {
  const { code, verifier } = await world.authorize({ client_id: client.client_id, redirect_uri: uri, scope })
  return world.token(
    { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: uri },
    basic(client.client_id, client.client_secret),
  )
}

const refresh = (
  world: World,
  client: { client_id: string; client_secret: string },
  token: string,
): Promise<TokenAnswer> =>
  world.token(
    { grant_type: 'refresh_token', refresh_token: token },
    basic(client.client_id, client.client_secret),
  )

describe('a client asks for less, and gets it', () => {
  test('access_token_lifetime and refresh_token_lifetime, in seconds', () =>
    withWorld({}, async (world) => {
      const wishes = { access_token_lifetime: 30, refresh_token_lifetime: 1000 }
      const { status, body } = await world.register({ ...base, ...wishes })
      expect([status, body]).toEqual([201, expect.objectContaining(wishes)])
      const { body: tokens } = await tokensOf(world, body)
      expect([tokens.expires_in, tokens.refresh_token_expires_in]).toEqual([30, 1000])
      const { iat, exp } = claimsOf(tokens.access_token) as { iat: number; exp: number }
      expect(exp - iat).toBe(30)
    }))

  test('refresh_token_issuance, of those that the policy has', () =>
    withWorld({ refreshTokens: { issuance: ['rotate', 'keep', 'rotate-and-reset'] } }, async (world) => {
      for (const [issuance, isKept, rest] of [
        ['keep', true, 900],
        ['rotate', false, 900],
        ['rotate-and-reset', false, 1000],
      ] as const) {
        const wishes = { refresh_token_issuance: issuance, refresh_token_lifetime: 1000 }
        const { body } = await world.register({ ...base, ...wishes })
        expect(body).toMatchObject(wishes)
        const { body: first } = await tokensOf(world, body)
        world.clock.advance(100)
        const { body: next } = await refresh(world, body, first.refresh_token)
        expect([issuance, next.refresh_token === first.refresh_token, next.refresh_token_expires_in]).toEqual(
          [issuance, isKept, rest],
        )
      }
    }))

  test('access_token_format, where the policy leaves the choice', () =>
    withWorld({ accessTokenFormats: ['opaque'] }, async (world) => {
      const isJwt = (token: string) => token.split('.').length === 3
      const { body } = await world.register({ ...base, access_token_format: 'opaque' })
      expect(body.access_token_format).toBe('opaque')
      const { body: tokens } = await tokensOf(world, body)
      expect(isJwt(tokens.access_token)).toBe(false)
      expect((await world.call('/api/a', tokens.access_token)).status).toBe(200)
      const { status, body: other } = await world.register({ ...base, access_token_format: 'jwt' })
      expect([status, other.access_token_format]).toEqual([201, undefined])
      expect(isJwt((await tokensOf(world, other)).body.access_token)).toBe(true)
    }))

  test('grant types, and the scope that it gets without asking', () =>
    withWorld({}, async (world) => {
      const { body } = await world.register({ ...base, grant_types: ['authorization_code'], scope: 'a b' })
      const { code, verifier } = await world.authorize({ client_id: body.client_id, redirect_uri: uri })
      const { body: tokens } = await world.token(
        { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: uri },
        basic(body.client_id, body.client_secret),
      )
      expect([tokens.scope, tokens.refresh_token]).toEqual(['a b', undefined])
    }))

  test('what it does not ask for is not in the answer, and is the server', () =>
    withWorld({}, async (world) => {
      const { body, text } = await world.register(base)
      expect(text).not.toMatch(/lifetime|issuance|idp|format/)
      const { body: tokens } = await tokensOf(world, body)
      expect([tokens.expires_in, tokens.refresh_token_expires_in]).toEqual([300, 30 * 86_400])
    }))
})

describe('a client asks for more, and gets what the policy allows', () => {
  test('lifetimes come to the bound, and the answer says so', () =>
    withWorld({ accessTokenLifetime: 60, refreshTokens: { lifetime: 500 } }, async (world) => {
      const { body } = await world.register({
        ...base,
        access_token_lifetime: 10 ** 9,
        refresh_token_lifetime: 10 ** 12,
      })
      expect(body).toMatchObject({ access_token_lifetime: 60, refresh_token_lifetime: 500 })
      const { body: tokens } = await tokensOf(world, body)
      expect([tokens.expires_in, tokens.refresh_token_expires_in]).toEqual([60, 500])
    }))

  test('no access token outlives what its resource says', () =>
    withWorld({ accessTokenLifetime: 86_400 }, async (world) => {
      const { body } = await world.register({ ...base, access_token_lifetime: 86_400 })
      expect(body.access_token_lifetime).toBe(300)
      expect((await tokensOf(world, body)).body.expires_in).toBe(300)
    }))

  test('a strategy that the policy does not have comes to its first one', () =>
    withWorld({ refreshTokens: { issuance: ['rotate', 'keep'] } }, async (world) => {
      const { status, body } = await world.register({ ...base, refresh_token_issuance: 'rotate-and-reset' })
      expect([status, body.refresh_token_issuance]).toEqual([201, 'rotate'])
    }))

  test('RTK-002: keep is for clients that authenticate, whoever asks for it', () =>
    withWorld({ refreshTokens: { issuance: ['rotate', 'keep'] } }, async (world) => {
      const wish = { ...base, refresh_token_issuance: 'keep' }
      expect((await world.register(wish)).body.refresh_token_issuance).toBe('keep')
      const { status, body } = await world.register({ ...wish, token_endpoint_auth_method: 'none' })
      expect([status, body.error]).toEqual([400, 'invalid_client_metadata'])
      expect(body.error_description).toContain('RFC 9700')
    }))
})

const wrong: [string, unknown[]][] = [
  ['access_token_lifetime', [0, -1, 1.5, '60', null, true, [], {}, Number.MAX_VALUE]],
  ['refresh_token_lifetime', [0, -1, 1.5, '60', null, true, [], {}, Number.MAX_VALUE]],
  ['access_token_format', ['JWT', 'reference', '', 1, null, true, ['jwt'], {}, '__proto__']],
  ['refresh_token_issuance', ['Keep', 'reuse', '', 1, null, true, ['keep'], {}, '__proto__']],
]
test.each(wrong)('%s that is malformed is 400 invalid_client_metadata', (name, values) =>
  withWorld({}, async (world) => {
    for (const value of values) {
      const { status, body } = await world.register({ ...base, [name]: value })
      expect([value, status, body.error]).toEqual([value, 400, 'invalid_client_metadata'])
      expect(body.error_description).toContain(name)
    }
    expect(world.eventsNamed('client.registered')).toEqual([])
  }),
)

describe('redirect hosts', () => {
  const policy = {
    redirectHosts: ['app.example', 'dev.example:8443', '*.partner.example', 'loopback', 'com.app:'],
  }

  test('lead where the policy says and nowhere else', () =>
    withWorld(policy, async (world) => {
      const register = (redirect: string) =>
        world.register({ redirect_uris: [redirect], token_endpoint_auth_method: 'none' })
      for (const good of [
        'https://app.example/cb',
        'https://dev.example:8443/cb',
        'https://a.partner.example/cb',
        'https://a.b.partner.example/cb',
        'http://127.0.0.1/cb',
        'http://localhost:3000/cb',
        'http://[::1]/cb',
        'com.app:/cb',
      ])
        expect([good, (await register(good)).status]).toEqual([good, 201])
      for (const evil of [
        'https://app.example:8443/cb',
        'https://x.app.example/cb',
        'https://app.example.evil.test/cb',
        'https://evilapp.example/cb',
        'https://dev.example/cb',
        'https://partner.example/cb',
        'https://evilpartner.example/cb',
        'https://a.partner.example:444/cb',
        'https://a.partner.example.evil.test/cb',
        'com.app.evil:/cb',
        'com.other:/cb',
        'https://loopback/cb',
      ]) {
        const { status, body } = await register(evil)
        expect([evil, status, body.error]).toEqual([evil, 400, 'invalid_redirect_uri'])
      }
      const mixed = await world.register({
        redirect_uris: ['https://app.example/cb', 'https://evil.test/cb'],
      })
      expect(mixed.body.error).toBe('invalid_redirect_uri')
    }))
})

describe('a policy that changes holds for clients that registered before', () => {
  /** The same client at a server that was deployed anew with another policy. */
  async function redeployed(
    before: RegistrationPolicyOptions,
    after: RegistrationPolicyOptions | undefined,
    run: (
      world: World,
      client: { client_id: string; client_secret: string },
      old: TokenAnswer,
    ) => Promise<void>,
    wishes: Record<string, unknown> = {},
    name = 'default',
  ) {
    const clock = manualClock()
    const makeStores = await makeSharedStores(clock)
    const start = (policy: RegistrationPolicyOptions | undefined, stores: Stores) =>
      startWorld({
        clock,
        stores,
        issuer: 'http://127.0.0.1:1',
        aat: {
          registration: { policies: policy === undefined ? {} : { [name]: policy } },
        },
        dcr: { policy: policy === undefined ? 'default' : name },
      })
    const first = await start(before, makeStores())
    let second: World | undefined
    try {
      const { body: client } = await first.register({ ...base, ...wishes })
      const old = await tokensOf(first, client)
      second = await start(after, makeStores())
      await run(second, client, old)
    } finally {
      await first.close()
      await second?.close()
    }
  }

  test('stricter lifetimes, strategies and scopes hold from the next use on', () =>
    redeployed(
      { refreshTokens: { issuance: ['keep'], lifetime: 5000 }, accessTokenFormats: ['opaque'] },
      { refreshTokens: { issuance: ['rotate'], lifetime: 100 }, accessTokenLifetime: 20, scopes: ['b'] },
      async (world, client, old) => {
        expect(old.body).toMatchObject({ refresh_token_expires_in: 5000, scope: 'a' })
        expect((await refresh(world, client, old.body.refresh_token)).body.error).toBe('invalid_scope')
        const { body: tokens } = await tokensOf(world, client, 'b')
        expect(tokens).toMatchObject({ expires_in: 20, refresh_token_expires_in: 100 })
        expect(claimsOf(tokens.access_token).scope).toBe('b')
        const { body: next } = await refresh(world, client, tokens.refresh_token)
        expect(next.refresh_token).not.toBe(tokens.refresh_token)
        world.clock.advance(101)
        expect((await refresh(world, client, next.refresh_token)).body.error).toBe('invalid_grant')
      },
      { refresh_token_issuance: 'keep', refresh_token_lifetime: 5000, access_token_format: 'opaque' },
    ))

  test('a laxer one gives nobody more than was registered', () =>
    redeployed(
      { refreshTokens: { lifetime: 100 }, accessTokenLifetime: 20 },
      {},
      async (world, client) => {
        const { body } = await tokensOf(world, client)
        expect(body).toMatchObject({ expires_in: 20, refresh_token_expires_in: 100 })
      },
      { refresh_token_lifetime: 5000, access_token_lifetime: 5000 },
    ))

  test('grant types that are gone, and redirects to hosts that are gone', async () => {
    await redeployed({}, { grantTypes: ['authorization_code'] }, async (world, client, old) => {
      const { body } = await refresh(world, client, old.body.refresh_token)
      expect(body.error).toBe('unauthorized_client')
    })
    await redeployed({}, { redirectHosts: ['other.example'] }, async (world, client) => {
      const response = await fetch(world.authorizeUrl({ client_id: client.client_id, redirect_uri: uri }), {
        redirect: 'manual',
      })
      expect([response.status, response.headers.get('location')]).toEqual([400, null])
    })
  })

  test('a client whose policy is gone is unknown, and registers again', () =>
    redeployed(
      {},
      undefined,
      async (world, client, old) => {
        const { status, body } = await refresh(world, client, old.body.refresh_token)
        expect([status, body.error]).toEqual([401, 'invalid_client'])
        expect((await world.register(base)).status).toBe(201)
      },
      {},
      'partners',
    ))
})

test('clientLifetime: a registration is over when its time is, and not before', () =>
  withWorld({ clientLifetime: 1000 }, async (world) => {
    const { body } = await world.register(base)
    expect(body.client_secret_expires_at).toBe(world.clock.now + 1000)
    const { body: tokens } = await tokensOf(world, body)
    world.clock.advance(999)
    const { body: next } = await refresh(world, body, tokens.refresh_token)
    expect(next.access_token).toBeDefined()
    world.clock.advance(1)
    const { status, body: refusal } = await refresh(world, body, next.refresh_token)
    expect([status, refusal.error]).toEqual([401, 'invalid_client'])
  }))

test('clientSecretLifetime: the answer says when the secret ends, and it does', () =>
  withWorld({ grantTypes: ['client_credentials'], clientSecretLifetime: 1000 }, async (world) => {
    const { body } = await world.register({ grant_types: ['client_credentials'] })
    expect(body.client_secret_expires_at).toBe(world.clock.now + 1000)
    const ask = () =>
      world.token({ grant_type: 'client_credentials', scope: 'a' }, basic(body.client_id, body.client_secret))
    world.clock.advance(999)
    expect((await ask()).status).toBe(200)
    world.clock.advance(1)
    const { status, body: refusal } = await ask()
    expect([status, refusal.error]).toEqual([401, 'invalid_client'])
  }))

test('registration.policies: what is wrong with one is said at once', () => {
  const problems = (registration: unknown) => {
    try {
      withWorldOptions(registration)
      return ''
    } catch (error) {
      return (error as Error).message
    }
  }
  expect(problems({ policies: { Partners: {} } })).toContain('lower-case')
  expect(problems({ policies: { default: { scopes: ['nope'] } } })).toContain('"nope", which no resource has')
  expect(problems({ policies: { default: { redirectHost: [] } } })).toContain('did you mean redirectHosts?')
  for (const host of [
    'https://a.example',
    'A.example',
    '*',
    '*.',
    '*.com',
    'a.*.example',
    'a.example/',
    'a.example:443',
    'a.example:0',
    '*.a.example:8443',
    '',
    'a b',
    1,
  ])
    expect([host, problems({ policies: { default: { redirectHosts: [host] } } })]).toEqual([
      host,
      expect.stringContaining('redirectHosts[0] must be'),
    ])
  expect(problems({ policies: { default: { accessTokenLifetime: 0 } } })).toContain('accessTokenLifetime')
  expect(problems({ policies: { default: { refreshTokens: { issuance: [] } } } })).toContain('issuance')
  expect(problems({ polices: {} })).toContain('did you mean policies?')
})

function withWorldOptions(registration: unknown): void {
  readConfiguration({
    issuer: 'http://127.0.0.1',
    resources: { 'http://127.0.0.1/api': { scopes: ['a'] } },
    registration,
  })
}
