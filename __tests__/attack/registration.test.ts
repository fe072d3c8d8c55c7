import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { SignJWT } from 'jose'
import { makeSharedStores, makeStores } from '../support/stores.ts'
import { basic, manualClock, readAnswer, startWorld, type TokenAnswer, type World } from '../support/world.ts'

const uri = 'https://app.example/cb'
const app = { redirect_uris: [uri], token_endpoint_auth_method: 'none' }
const BOARD = 'https://board.example'
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })

async function register(
  world: World,
  bearer: string | undefined,
  metadata: object = app,
  source = '192.0.2.1',
): Promise<TokenAnswer> {
  return readAnswer(
    await fetch(world.endpoint('register'), {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-Forwarded-For': source,
        ...(bearer !== undefined && { Authorization: `Bearer ${bearer}` }),
      },
      body: JSON.stringify(metadata),
    }),
  )
}

test('DCR-046: a single-use token at two instances at once is one client, and none after it was revoked meanwhile', async () => {
  const clock = manualClock()
  const makeStores = await makeSharedStores(clock)
  const start = () =>
    startWorld({
      clock,
      stores: makeStores(),
      issuer: 'http://127.0.0.1:1',
      dcr: { allow: 'initial-access-token' },
    })
  const [one, two] = [await start(), await start()]
  try {
    for (let round = 0; round < 10; round++) {
      const { token } = await one.aat.initialAccessTokens.create()
      const answers = await Promise.all([one, two, one, two, one, two].map((world) => register(world, token)))
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 401)).toHaveLength(5)
    }
    const { token, id } = await one.aat.initialAccessTokens.create({ uses: 100 })
    const answers = await Promise.all([
      ...Array.from({ length: 10 }, () => register(two, token)),
      one.aat.initialAccessTokens.revoke(id),
    ])
    expect(answers.at(-1)).toBe('revoked')
    for (const world of [one, two]) expect((await register(world, token)).status).toBe(401)
  } finally {
    await one.close()
    await two.close()
  }
})

test('no member of a registration or of a statement chooses the policy, or anything else that is the server to say', async () => {
  const world = await startWorld({
    aat: {
      registration: {
        quotas: false,
        policies: {
          default: { scopes: ['a'], accessTokenLifetime: 60 },
          rich: { grantTypes: ['client_credentials'] },
        },
        softwareStatements: [{ issuer: BOARD, jwks: { keys: [publicKey.export({ format: 'jwk' })] } }],
      },
    },
  })
  const chosen = {
    policy: 'rich',
    registration_policy: 'rich',
    allowedScope: ['a', 'b'],
    allowed_scope: 'a b',
    refreshPolicy: { issuance: 'keep', lifetime: 10 ** 9 },
    refreshTokens: { lifetime: 10 ** 9 },
    accessTokenLifetime: 10 ** 6,
    accessTokenFormat: 'opaque',
    changedAt: 1,
    firstUsedAt: 1,
    registrationTokens: [],
    secrets: [],
    origin: 'configuration',
    createdAt: 0,
    grant_types: ['authorization_code', 'client_credentials'],
    scope: 'a b',
  }
  try {
    const statement = await new SignJWT({ ...chosen, redirect_uris: [uri], client_id: 'confidential' })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(BOARD)
      .sign(privateKey)
    for (const metadata of [{ ...app, ...chosen }, { software_statement: statement }]) {
      const { status, body } = await world.register({
        ...metadata,
        token_endpoint_auth_method: 'client_secret_basic',
      })
      expect([status, body.scope, body.grant_types]).toEqual([201, 'a', ['authorization_code']])
      expect(body.client_id).toMatch(/^dcr_/)
      const credentials = basic(body.client_id, body.client_secret)
      const machine = await world.token({ grant_type: 'client_credentials', scope: 'a' }, credentials)
      expect(machine.body.error).toBe('unauthorized_client')
      const { code, verifier } = await world.authorize({
        client_id: body.client_id,
        redirect_uri: uri,
        scope: 'a',
      })
      const form = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: uri }
      const { body: tokens } = await world.token(form, credentials)
      expect([tokens.expires_in, tokens.refresh_token]).toEqual([60, undefined])
    }
  } finally {
    await world.close()
  }
})

test('a flood that quotas refuse leaves their counters as they were: others are let in as if it had not been', async () => {
  const world = await startWorld({
    before: (server) => server.set('trust proxy', 1),
    aat: {
      registration: {
        quotas: {
          perSource: { limit: 3 },
          perRedirectHost: { limit: 100 },
          global: { limit: 20 },
        },
      },
    },
  })
  try {
    const flood = await Promise.all(Array.from({ length: 200 }, () => register(world, undefined)))
    expect(flood.filter(({ status }) => status === 201)).toHaveLength(3)
    expect(flood.filter(({ status }) => status === 429)).toHaveLength(197)
    const others = []
    for (let source = 2; source <= 30; source++)
      others.push((await register(world, undefined, app, `192.0.2.${source}`)).status)
    expect(others).toEqual([...Array(17).fill(201), ...Array(12).fill(429)])
  } finally {
    await world.close()
  }
})

test('an access token that registers is no registration access token, an initial one no access token, and so on', async () => {
  const world = await startWorld({
    dcr: { allow: ['initial-access-token', 'access-token'] },
    aat: (base) => ({
      resources: {
        [`${base}/api`]: { scopes: ['a', 'b', 'clients:register'], defaultScopes: ['a'] },
        [`${base}/other`]: { scopes: ['a', 'x'] },
      },
    }),
  })
  try {
    const { token: initial } = await world.aat.initialAccessTokens.create({ uses: 2 })
    const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a clients:register' })
    const { body: client } = await register(world, initial)
    const manage = (bearer: string) =>
      fetch(client.registration_client_uri, { headers: { Authorization: `Bearer ${bearer}` } })
    expect((await manage(client.registration_access_token)).status).toBe(200)
    for (const wrong of [initial, body.access_token]) expect((await manage(wrong)).status).toBe(401)
    for (const wrong of [initial, client.registration_access_token])
      expect((await world.call('/api/a', wrong)).status).toBe(401)
    expect((await register(world, client.registration_access_token)).status).toBe(401)
    expect((await register(world, body.access_token)).status).toBe(201)
  } finally {
    await world.close()
  }
})

test('RFC 7591: whatever the members are, the answer is 201 or one of its errors, never 500', async () => {
  const world = await startWorld({
    stores: await makeStores(manualClock()),
    aat: {
      registration: {
        quotas: false,
        policies: {
          default: { refreshTokens: { issuance: ['rotate', 'keep'] }, accessTokenFormats: ['opaque'] },
        },
        softwareStatements: [{ issuer: BOARD, jwks: { keys: [publicKey.export({ format: 'jwk' })] } }],
      },
    },
  })
  // A sequence of its own, so that a run can be repeated.
  let state = 11
  const pick = <T>(list: readonly T[]): T => {
    state = (state * 16_807) % 2_147_483_647
    return list[state % list.length] as T
  }
  const values: unknown[] = [
    ...[
      null,
      true,
      false,
      0,
      -1,
      1.5,
      60,
      1e300,
      '',
      ' ',
      'x',
      'code',
      'a b',
      'keep',
      'opaque',
      'none',
      '60',
    ],
    ...[
      [],
      {},
      [null],
      [[]],
      ['x'],
      ['code'],
      ['authorization_code'],
      ['authorization_code', 'refresh_token'],
    ],
    ...[
      uri,
      [uri],
      [uri, 'http://127.0.0.1/cb'],
      ['com.example.app:/cb'],
      ['https://[::1]/cb'],
      [`${uri}#x`],
    ],
    ...[
      '\u0000',
      '\ud800',
      '\u202e',
      'x'.repeat(5000),
      Array(30).fill(uri),
      { keys: [] },
      { keys: [{ kty: 'EC' }] },
    ],
    ...[
      'private_key_jwt',
      'client_secret_basic',
      'a.b.c',
      `${'e'.repeat(9000)}`,
      { __proto__: null, toString: 1 },
    ],
  ]
  const names = [
    ...[
      'redirect_uris',
      'token_endpoint_auth_method',
      'grant_types',
      'response_types',
      'client_name',
      'client_uri',
    ],
    ...[
      'logo_uri',
      'scope',
      'contacts',
      'tos_uri',
      'policy_uri',
      'jwks_uri',
      'jwks',
      'software_id',
      'software_version',
    ],
    ...['software_statement', 'application_type', 'token_endpoint_auth_signing_alg', 'access_token_lifetime'],
    ...['refresh_token_lifetime', 'refresh_token_issuance', 'access_token_format', 'use_idp_session_expiry'],
    ...[
      'dpop_bound_access_tokens',
      'tls_client_certificate_bound_access_tokens',
      'client_id',
      '__proto__',
      'constructor',
    ],
  ]
  const errors = [
    ...['invalid_redirect_uri', 'invalid_client_metadata'],
    ...['invalid_software_statement', 'unapproved_software_statement'],
  ]
  try {
    let registered = 0
    const registrations = Array.from({ length: 1500 }, () => {
      const members = Array.from({ length: pick([1, 1, 1, 2, 4]) }, () => [pick(names), pick(values)])
      return Object.fromEntries(
        pick([true, true, false]) ? [['redirect_uris', [uri]], ...members] : members,
      ) as Record<string, unknown>
    })
    // Thirty at once, so that a slow store is waited for thirty times less.
    while (registrations.length > 0)
      await Promise.all(
        registrations.splice(0, 30).map(async (metadata) => {
          const { status, body, text } = await world.register(metadata)
          if (status === 201) registered++
          else expect([metadata, status, errors.includes(body?.error)]).toEqual([metadata, 400, true])
          expect(text).not.toContain('null')
        }),
      )
    expect(registered).toBeGreaterThan(50)
    expect(world.eventsNamed('fault')).toEqual([])
  } finally {
    await world.close()
  }
})
