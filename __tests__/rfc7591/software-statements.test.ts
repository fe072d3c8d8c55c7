import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { SignJWT, UnsecuredJWT } from 'jose'
import { readConfiguration } from '../../lib/configuration.ts'
import type { RegistrationOptions, RegistrationPolicyOptions } from '../../lib/index.ts'
import { makeSharedStores } from '../support/stores.ts'
import { HOST, startStrangersHost } from '../support/strangers-host.ts'
import { basic, manualClock, startWorld, type TokenAnswer, type World } from '../support/world.ts'

const uri = 'https://app.example/cb'
const BOARD = 'https://board.example'
const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const [first, second, stranger] = [pair(), pair(), pair()]
const jwkOf = (key: KeyObject) => key.export({ format: 'jwk' }) as Record<string, unknown>
const jwks = { keys: [jwkOf(first.publicKey), jwkOf(second.publicKey)] }

function options(
  policy: RegistrationPolicyOptions = {},
  more: Partial<NonNullable<RegistrationOptions['softwareStatements']>[number]> = {},
): RegistrationOptions {
  return {
    quotas: false,
    policies: { default: policy },
    softwareStatements: [{ issuer: BOARD, jwks, ...more }],
  }
}

async function withWorld(
  run: (world: World) => Promise<unknown>,
  registration: RegistrationOptions = options(),
): Promise<void> {
  const world = await startWorld({ aat: { registration } })
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

interface Signing {
  key?: KeyObject
  alg?: string
  typ?: string | undefined
}

/** A statement of the board's, about an app whose one redirect it knows. */
function statement(
  world: World,
  claims: Record<string, unknown> = {},
  { key = first.privateKey, alg = 'ES256', typ }: Signing = {},
): Promise<string> {
  const all: Record<string, unknown> = {
    iss: BOARD,
    iat: world.clock.now,
    exp: world.clock.now + 3600,
    software_id: '4NRB1-0XZABZI9E6-5SM3R',
    client_name: 'Vouched for',
    redirect_uris: [uri],
    ...claims,
  }
  const header = { alg, ...(typ !== undefined && { typ }) }
  return new SignJWT(JSON.parse(JSON.stringify(all))).setProtectedHeader(header).sign(key)
}

function expectRefused({ status, body }: TokenAnswer, error: string): void {
  expect([status, body.error]).toEqual([400, error])
}

test('RFC 7591 section 2.3: what the statement says stands above what the client says, and it comes back unchanged', () =>
  withWorld(async (world) => {
    const text = await statement(world, { scope: 'a', contacts: ['ops@app.example'] })
    const { status, body } = await world.register({
      software_statement: text,
      client_name: 'Google',
      'client_name#de': 'Google',
      redirect_uris: ['https://evil.example/cb'],
      scope: 'a b c',
      client_uri: 'https://app.example',
      token_endpoint_auth_method: 'none',
    })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      software_statement: text,
      software_id: '4NRB1-0XZABZI9E6-5SM3R',
      client_name: 'Vouched for',
      redirect_uris: [uri],
      scope: 'a',
      contacts: ['ops@app.example'],
      client_uri: 'https://app.example',
    })
    expect(JSON.stringify(body)).not.toContain('Google')
    for (const name of ['iss', 'iat', 'exp', 'sub']) expect(body).not.toHaveProperty(name)
    const evil = await fetch(
      world.authorizeUrl({ client_id: body.client_id, redirect_uri: 'https://evil.example/cb' }),
      { redirect: 'manual' },
    )
    expect([evil.status, evil.headers.get('location')]).toEqual([400, null])
  }))

test('keys of the statement are the keys, wherever the client says that its own are', () =>
  withWorld(async (world) => {
    const stated = { keys: [jwkOf(stranger.publicKey)] }
    const text = await statement(world, { jwks: stated, token_endpoint_auth_method: 'private_key_jwt' })
    for (const own of [
      { jwks: { keys: [jwkOf(second.publicKey)] } },
      { jwks_uri: 'https://keys.example/jwks' },
    ]) {
      const { status, body } = await world.register({ software_statement: text, ...own })
      expect([status, body.jwks, body.jwks_uri]).toEqual([201, stated, undefined])
    }
  }))

test('what the statement says is judged like all else', () =>
  withWorld(async (world) => {
    for (const [claims, error] of [
      [{ redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
      [{ client_name: ' ' }, 'invalid_client_metadata'],
      [{ grant_types: ['password'] }, 'invalid_client_metadata'],
      [{ refresh_token_lifetime: '5' }, 'invalid_client_metadata'],
    ] as const)
      expectRefused(await world.register({ software_statement: await statement(world, claims) }), error)
  }))

test('statements without kid are verified by any of the keys; for whom, of what kind and how old they are is judged', () =>
  withWorld(async (world) => {
    const register = async (claims: Record<string, unknown> = {}, signing: Signing = {}) =>
      world.register({ software_statement: await statement(world, claims, signing) })
    for (const good of [
      register(),
      register({}, { key: second.privateKey }),
      register({}, { typ: 'JWT' }),
      register({}, { typ: 'software-statement+jwt' }),
      register({ aud: world.issuer }),
      register({ aud: ['https://other.example', world.endpoint('register')] }),
      register({ exp: undefined, iat: undefined }),
      register({ exp: world.clock.now - 20 }),
    ])
      expect((await good).status).toBe(201)
    for (const wrong of [
      register({}, { key: stranger.privateKey }),
      register({}, { typ: 'at+jwt' }),
      register({}, { typ: 'logout+jwt' }),
      register({ aud: 'https://other.example' }),
      register({ aud: [] }),
      register({ exp: world.clock.now - 31 }),
      register({ nbf: world.clock.now + 60 }),
      register({ iat: world.clock.now + 60 }),
      register({ iat: 'now' }),
      register({ exp: 'never' }),
      register({ iss: undefined }),
    ])
      expectRefused(await wrong, 'invalid_software_statement')
    expect(world.eventsNamed('registration.refused')).toHaveLength(11)
  }))

test('who is not on the list vouches for nothing', () =>
  withWorld(async (world) => {
    for (const iss of ['https://other.example', `${BOARD}/`, BOARD.toUpperCase(), ''])
      expectRefused(
        await world.register({
          software_statement: await statement(world, { iss }, { key: stranger.privateKey }),
        }),
        'unapproved_software_statement',
      )
  }))

test('unsigned, shared-secret, cut and malformed ones are refused, and nothing of them is repeated', () =>
  withWorld(async (world) => {
    const good = await statement(world)
    const [header, payload, signature = ''] = good.split('.')
    const secret = new SignJWT({ iss: BOARD }).setProtectedHeader({ alg: 'HS256' })
    const publicKeyAsSecret = Buffer.from(JSON.stringify(jwkOf(first.publicKey)))
    for (const wrong of [
      new UnsecuredJWT({ iss: BOARD, redirect_uris: [uri] }).encode(),
      await secret.sign(publicKeyAsSecret),
      `${header}.${payload}.`,
      `${header}.${payload}.${signature.slice(0, -4)}AAAA`,
      `${header}.${Buffer.from('{"iss":"https://board.example","scope":"c"}').toString('base64url')}.${signature}`,
      good.slice(0, 40),
      `${good}${'A'.repeat(8192)}`,
      '',
      'x',
      'a.b.c',
      1,
      null,
      {},
      [good],
    ]) {
      const answer = await world.register({ redirect_uris: [uri], software_statement: wrong })
      expectRefused(answer, 'invalid_software_statement')
      expect(answer.text).not.toContain('board.example')
    }
    expect(world.eventsNamed('client.registered')).toEqual([])
  }))

test('maxAge: from iat, which must be there then', () =>
  withWorld(
    async (world) => {
      const text = await statement(world, { exp: undefined })
      const register = (software_statement: string) => world.register({ software_statement })
      expect((await register(text)).status).toBe(201)
      world.clock.advance(131)
      expectRefused(await register(text), 'invalid_software_statement')
      expectRefused(await register(await statement(world, { iat: undefined })), 'invalid_software_statement')
    },
    options({}, { maxAge: 100 }),
  ))

test('jwksUri: fetched through the guard, once for many statements, and again for a key that is not known', async () => {
  const host = await startStrangersHost()
  const at = `https://${HOST}/board.json`
  let keys = [jwkOf(first.publicKey)]
  let status = 200
  host.answer((_req, res) => {
    res.writeHead(status, { 'Content-Type': 'application/json' })
    res.end(JSON.stringify({ keys }))
  })
  const world = await startWorld({
    aat: {
      registration: { quotas: false, softwareStatements: [{ issuer: BOARD, jwksUri: at }] },
      outbound: { network: host.network },
    },
  })
  try {
    const register = async (signing?: Signing) =>
      world.register({ software_statement: await statement(world, {}, signing) })
    status = 503
    const away = await register()
    expect([away.status, away.body.error, away.headers.has('retry-after')]).toEqual([
      503,
      'temporarily_unavailable',
      true,
    ])
    status = 200
    world.clock.advance(60)
    for (let round = 0; round < 5; round++) expect((await register()).status).toBe(201)
    expect(host.requests).toHaveLength(2)
    keys = [jwkOf(second.publicKey)]
    world.clock.advance(60)
    expect((await register({ key: second.privateKey })).status).toBe(201)
    expectRefused(await register(), 'invalid_software_statement')
    expectRefused(await register({ key: stranger.privateKey }), 'invalid_software_statement')
    expect(host.requests).toHaveLength(3)
  } finally {
    await world.close()
    await host.close()
  }
})

test('algorithms: just those of the list', () =>
  withWorld(
    async (world) => {
      expectRefused(
        await world.register({ software_statement: await statement(world) }),
        'invalid_software_statement',
      )
    },
    options({}, { algorithms: ['RS256'] }),
  ))

test('a policy can require one', () =>
  withWorld(
    async (world) => {
      expectRefused(await world.register({ redirect_uris: [uri] }), 'invalid_client_metadata')
      expect((await world.register({ software_statement: await statement(world) })).status).toBe(201)
    },
    options({ softwareStatement: 'required' }),
  ))

test('without a list they mean nothing, like any unknown member', async () => {
  await withWorld(
    async (world) => {
      const { status, body } = await world.register({ redirect_uris: [uri], software_statement: 'x' })
      expect([status, body.software_statement]).toEqual([201, undefined])
    },
    { quotas: false },
  )
})

test('an issuer that is trusted no more: its clients are unknown where statements are required', async () => {
  const clock = manualClock()
  const makeStores = await makeSharedStores(clock)
  const start = (registration: RegistrationOptions) =>
    startWorld({ clock, stores: makeStores(), issuer: 'http://127.0.0.1:1', aat: { registration } })
  const policy: RegistrationPolicyOptions = {
    grantTypes: ['client_credentials'],
    softwareStatement: 'required',
  }
  const before = await start(options(policy))
  const after = await start(options(policy, { issuer: 'https://another.example' }))
  try {
    const { body } = await before.register({
      software_statement: await statement(before, { grant_types: ['client_credentials'] }),
    })
    const ask = (world: World) =>
      world.token({ grant_type: 'client_credentials', scope: 'a' }, basic(body.client_id, body.client_secret))
    expect([(await ask(before)).status, (await ask(after)).body.error]).toEqual([200, 'invalid_client'])
  } finally {
    await before.close()
    await after.close()
  }
})

test('a list that cannot be right is told at once', () => {
  const read = (registration: unknown) => () =>
    readConfiguration({
      issuer: 'http://127.0.0.1',
      resources: { 'http://127.0.0.1/api': { scopes: ['a'] } },
      registration,
    })
  const issuer = { issuer: BOARD, jwks }
  for (const [registration, what] of [
    [{ softwareStatements: [issuer, issuer] }, 'twice'],
    [{ softwareStatements: [{ issuer: BOARD }] }, 'either jwks or jwksUri'],
    [{ softwareStatements: [{ ...issuer, jwksUri: 'https://a.example/jwks' }] }, 'either jwks or jwksUri'],
    [{ softwareStatements: [{ issuer: BOARD, jwksUri: 'http://a.example/jwks' }] }, 'jwksUri'],
    [{ softwareStatements: [{ issuer: BOARD, jwksUri: 'https://127.0.0.1/jwks' }] }, 'jwksUri'],
    [{ softwareStatements: [{ ...issuer, jwks: { keys: [jwkOf(first.privateKey)] } }] }, 'private members'],
    [{ softwareStatements: [{ ...issuer, algorithms: ['HS256'] }] }, 'algorithms'],
    [{ softwareStatements: [{ ...issuer, algorithms: [] }] }, 'algorithms'],
    [{ policies: { default: { softwareStatement: 'required' } } }, 'has no issuer'],
    [{ softwareStatement: [] }, 'did you mean softwareStatements?'],
  ] as [unknown, string][])
    expect(read(registration)).toThrow(what)
})
