import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { requestText, sendRaw, splitResponses } from '../support/wire.ts'
import {
  basic,
  CONFIDENTIAL,
  PUBLIC,
  pkce,
  REDIRECT_URI,
  RESOURCE_SERVER,
  readAnswer,
  startWorld,
  type World,
} from '../support/world.ts'

const FORM = 'application/x-www-form-urlencoded'
const OTHER_URI = 'https://client.example/other'

let world: World
beforeAll(async () => {
  world = await startWorld({
    aat: () => ({
      clients: [
        {
          clientId: CONFIDENTIAL.id,
          clientSecret: CONFIDENTIAL.secret,
          redirectUris: [REDIRECT_URI, OTHER_URI],
          grantTypes: ['authorization_code', 'refresh_token', 'client_credentials'],
        },
        { clientId: PUBLIC.id, redirectUris: [REDIRECT_URI] },
        {
          clientId: RESOURCE_SERVER.id,
          clientSecret: RESOURCE_SERVER.secret,
          grantTypes: ['client_credentials'],
        },
      ],
    }),
  })
})
afterAll(() => world.close())
beforeEach(() => {
  world.events.length = 0
})

const own = () => basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const url = () => world.endpoint('token')

/** A code and the request that would redeem it. */
async function codeRequest(parameters: Record<string, string> = { scope: 'a b' }) {
  const { code, verifier } = await world.authorize(parameters)
  expect(code).not.toBe('')
  return { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI }
}

describe('methods', () => {
  test('TEP-001: GET with everything in the query is 405 with Allow, and changes nothing', async () => {
    const request = await codeRequest()
    world.events.length = 0
    const query = new URLSearchParams({
      ...request,
      client_id: CONFIDENTIAL.id,
      client_secret: CONFIDENTIAL.secret,
    })
    const answer = await readAnswer(await fetch(`${url()}?${query}`, { headers: own() }))
    expect([answer.status, answer.headers.get('allow'), answer.body.error]).toEqual([
      405,
      'POST',
      'invalid_request',
    ])
    expect(answer.text).not.toContain(request.code)
    expect(world.events).toEqual([])
    expect((await world.token(request)).status).toBe(200)
  })

  test.each(['PUT', 'DELETE', 'PATCH', 'HEAD', 'TRACE'])(
    'TEP-002: %s is 405 and changes nothing',
    async (method) => {
      const request = await codeRequest()
      world.events.length = 0
      const { text } = await sendRaw(
        world.base,
        requestText(
          world.base,
          '/oauth/token',
          { ...own(), 'Content-Type': FORM, Connection: 'close' },
          new URLSearchParams(request).toString(),
          method,
        ),
      )
      const head = text.split('\r\n\r\n')[0] ?? ''
      expect(head).toMatch(/^HTTP\/1\.1 405 /)
      expect(head).toMatch(/\r\nAllow: POST\r\n/i)
      // What was sent is not reflected (TRACE).
      expect(text).not.toContain(request.code)
      expect(world.events).toEqual([])
      expect((await world.token(request)).status).toBe(200)
    },
  )
})

describe('media types', () => {
  const members = { grant_type: 'client_credentials' }

  test('TEP-005: a body without Content-Type is 400 in JSON, not a fault', async () => {
    const { text } = await sendRaw(
      world.base,
      requestText(world.base, '/oauth/token', own(), 'grant_type=client_credentials'),
      ({ statuses }) => statuses.length === 1,
    )
    const [response] = splitResponses(text)
    expect(response?.status).toBe(400)
    expect(JSON.parse(response?.body ?? '').error).toBe('invalid_request')
    expect(world.eventsNamed('fault')).toHaveLength(0)
  })

  test.each([
    ['TEP-007: JSON', 'application/json', JSON.stringify(members)],
    ['TEP-007: JSON by another name', 'application/vnd.oauth+json', JSON.stringify(members)],
    [
      'TEP-008: multipart',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\nclient_credentials\r\n--x--\r\n',
    ],
    ['TEP-008: text', 'text/plain', 'grant_type=client_credentials'],
    ['TEP-008: a longer name', `${FORM}x`, 'grant_type=client_credentials'],
    ['TEP-008: two types', `application/json, ${FORM}`, 'grant_type=client_credentials'],
  ])('%s is refused', async (_what, type, body) => {
    const answer = await readAnswer(
      await fetch(url(), { method: 'POST', body, headers: { ...own(), 'Content-Type': type } }),
    )
    expect([answer.status, answer.body.error]).toEqual([400, 'invalid_request'])
    expect(world.eventsNamed('token.issued')).toHaveLength(0)
  })

  test.each(['gzip', 'br', 'gzip, identity'])('TEP-010: Content-Encoding %s is refused', async (encoding) => {
    const answer = await readAnswer(
      await fetch(url(), {
        method: 'POST',
        body: 'grant_type=client_credentials',
        headers: { ...own(), 'Content-Type': FORM, 'Content-Encoding': encoding },
      }),
    )
    expect([answer.status, answer.body.error]).toEqual([415, 'invalid_request'])
  })
})

describe('where parameters come from', () => {
  test('TEP-004: a secret in the query counts for nothing', async () => {
    const answer = await world.post(
      `${url()}?client_secret=${RESOURCE_SERVER.secret}&client_id=${RESOURCE_SERVER.id}`,
      { grant_type: 'client_credentials' },
    )
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
    const half = await world.post(`${url()}?client_secret=${CONFIDENTIAL.secret}`, {
      grant_type: 'client_credentials',
      client_id: CONFIDENTIAL.id,
    })
    expect([half.status, half.body.error]).toEqual([401, 'invalid_client'])
  })

  test('TEP-004: the query neither adds to the form nor repeats it', async () => {
    const answer = await world.post(
      `${url()}?grant_type=password&scope=c`,
      { grant_type: 'client_credentials' },
      own(),
    )
    expect([answer.status, answer.body.scope]).toEqual([200, 'a'])
  })
})

describe('repeated parameters', () => {
  test('TEP-013: grant_type twice, the same, is refused', async () => {
    const { status, body } = await world.token([
      ['grant_type', 'client_credentials'],
      ['grant_type', 'client_credentials'],
    ])
    expect([status, body.error]).toEqual([400, 'invalid_request'])
  })

  test.each([
    'code',
    'redirect_uri',
    'code_verifier',
    'scope',
    'client_id',
    'client_secret',
    'client_assertion',
  ])('TEP-014: %s twice is refused, and the code is not consumed', async (name) => {
    const request = await codeRequest()
    const value = (request as Record<string, string>)[name] ?? 'x'
    const rest = Object.entries(request).filter(([key]) => key !== name)
    const { status, body } = await world.token([...rest, [name, value], [name, value]], own())
    expect([status, body.error]).toEqual([400, 'invalid_request'])
    expect((await world.token(request)).status).toBe(200)
  })

  test('TEP-014: two resources are no target, and the code is not consumed', async () => {
    const request = await codeRequest()
    const { status, body } = await world.token([
      ...Object.entries(request),
      ['resource', world.resource],
      ['resource', world.otherResource],
    ])
    expect([status, body.error]).toEqual([400, 'invalid_target'])
    expect((await world.token(request)).status).toBe(200)
  })

  test('TEP-014: refresh_token twice is refused, and nothing is rotated', async () => {
    const { body: first } = await world.signInAndGetTokens()
    const { status, body } = await world.token([
      ['grant_type', 'refresh_token'],
      ['refresh_token', first.refresh_token],
      ['refresh_token', first.refresh_token],
    ])
    expect([status, body.error]).toEqual([400, 'invalid_request'])
    world.clock.advance(120)
    expect((await world.refresh(first.refresh_token)).status).toBe(200)
    expect(world.eventsNamed('token.retried')).toHaveLength(0)
  })
})

describe('grant types', () => {
  test.each(['foo', 'Client_Credentials', 'client_credentials ', 'constructor', '__proto__', 'implicit'])(
    'TEP-029: grant_type %j is unsupported',
    async (grantType) => {
      const { status, body } = await world.token({ grant_type: grantType })
      expect([status, body.error]).toEqual([400, 'unsupported_grant_type'])
    },
  )

  test.each([[{}], [{ grant_type: '' }], [{ scope: 'a' }]])(
    'TEP-031: %j has no grant_type',
    async (parameters) => {
      const { status, body } = await world.token(parameters as Record<string, string>)
      expect([status, body.error]).toEqual([400, 'invalid_request'])
    },
  )

  test('TEP-032: the password grant is unsupported, not in metadata, and the password goes nowhere', async () => {
    const { status, body, text } = await world.token({
      grant_type: 'password',
      username: 'alice',
      password: 'wonderland-of-alice',
    })
    expect([status, body.error]).toEqual([400, 'unsupported_grant_type'])
    expect(text).not.toContain('wonderland')
    expect(JSON.stringify(world.events)).not.toContain('wonderland')
    const metadata = await (await fetch(`${world.base}/.well-known/oauth-authorization-server`)).json()
    expect((metadata as { grant_types_supported: string[] }).grant_types_supported).not.toContain('password')
  })

  test('TEP-034: a grant type that the client is not registered for is refused, and nothing changes', async () => {
    const { body: tokens } = await world.signInAndGetTokens()
    const code = await codeRequest()
    for (const request of [code, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token }]) {
      const { status, body } = await world.token(request, basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret))
      expect([status, body.error]).toEqual([400, 'unauthorized_client'])
    }
    const { status, body } = await world.token({ grant_type: 'client_credentials', client_id: PUBLIC.id })
    expect([status, body.error]).toEqual([400, 'unauthorized_client'])
    expect((await world.token(code)).status).toBe(200)
    world.clock.advance(120)
    expect((await world.refresh(tokens.refresh_token)).status).toBe(200)
  })
})

describe('scope', () => {
  const malformed: [string, string][] = [
    ['two spaces', 'a  b'],
    ['a leading space', ' a'],
    ['a trailing space', 'a '],
    ['a quote', 'a"b'],
    ['a backslash', 'a\\b'],
    ['not ASCII', 'ä'],
    ['10,000 tokens', Array.from({ length: 10_000 }, () => 'a').join(' ')],
    ['a token of 129 characters', 'a'.repeat(129)],
  ]

  test.each(malformed)(
    'TEP-035: %s is invalid_scope at every endpoint and consumes nothing',
    async (_what, scope) => {
      const direct = await world.token({ grant_type: 'client_credentials', scope })
      expect([direct.status, direct.body.error]).toEqual([400, 'invalid_scope'])

      const code = await codeRequest()
      const redeemed = await world.token({ ...code, scope })
      expect([redeemed.status, redeemed.body.error]).toEqual([400, 'invalid_scope'])
      const { status, body: tokens } = await world.token(code)
      expect(status).toBe(200)

      const refreshed = await world.refresh(tokens.refresh_token, { scope })
      expect([refreshed.status, refreshed.body.error]).toEqual([400, 'invalid_scope'])
      world.clock.advance(120)
      expect((await world.refresh(tokens.refresh_token)).status).toBe(200)

      if (scope.length < 5000) {
        const { parameters } = await world.authorize({ scope })
        expect(parameters).toMatchObject({ error: 'invalid_scope', iss: world.issuer })
        expect(parameters.code).toBeUndefined()
      }
      const registered = await world.register({ redirect_uris: [REDIRECT_URI], scope })
      expect([registered.status, registered.body.error]).toEqual([400, 'invalid_client_metadata'])
      expect(world.eventsNamed('fault')).toHaveLength(0)
    },
  )

  test('TEP-035: a tab is refused as a control character', async () => {
    const { status, body } = await world.token({ grant_type: 'client_credentials', scope: 'a\tb' })
    expect([status, body.error]).toEqual([400, 'invalid_request'])
  })

  test('TEP-035: a token that is named twice counts once, at every grant type', async () => {
    expect((await world.token({ grant_type: 'client_credentials', scope: 'a a' })).body.scope).toBe('a')
    const { body } = await world.token({ ...(await codeRequest()), scope: 'b a b' })
    expect(body.scope).toBe('b a')
    expect((await world.refresh(body.refresh_token, { scope: 'a a a' })).body.scope).toBe('a')
  })

  test('TEP-025: plus and %20 are the same', async () => {
    const send = async (scope: string) =>
      readAnswer(
        await fetch(url(), {
          method: 'POST',
          body: `grant_type=client_credentials&scope=${scope}`,
          headers: { ...own(), 'Content-Type': FORM },
        }),
      )
    const [plus, percent] = [await send('a+b'), await send('a%20b')]
    expect([plus.status, percent.status]).toEqual([200, 200])
    expect([plus.body.scope, percent.body.scope]).toEqual(['a b', 'a b'])
  })

  test('TEP-026: empty scope and resource are as if omitted', async () => {
    const request = await codeRequest()
    const { status, body } = await world.token({ ...request, scope: '', resource: '' })
    expect([status, body.scope]).toEqual([200, 'a b'])
  })

  test('TEP-028: unknown parameters are ignored', async () => {
    const { status } = await world.token({ ...(await codeRequest()), foo: 'bar', audience: 'x', nonce: 'n' })
    expect(status).toBe(200)
  })
})

describe('TEP-023: control characters', () => {
  const values = ['\0', 'x\r\nSet-Cookie: a=b', '\x1b[31m', '\x7f', 'x\0y']

  test.each([
    'grant_type',
    'client_id',
    'client_secret',
    'code',
    'redirect_uri',
    'code_verifier',
    'refresh_token',
    'scope',
    'resource',
    'client_assertion',
    'unknown',
  ])('TEP-023: in %s they are refused, and not repeated', async (name) => {
    for (const value of values) {
      const answer = await world.token({ grant_type: 'client_credentials', [name]: value }, own())
      expect([answer.status, answer.body.error]).toEqual([400, 'invalid_request'])
      expect(answer.headers.get('set-cookie')).toBeNull()
      expect(answer.text).not.toMatch(/\\u00|Set-Cookie/)
    }
  })

  test('TEP-023: in Basic credentials they are invalid_client', async () => {
    for (const value of values) {
      const answer = await world.token({ grant_type: 'client_credentials' }, basic(value, 'secret'))
      expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
    }
  })

  test('TEP-023: in the sub of an assertion they never reach an event', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const answer = await world.token({
      grant_type: 'client_credentials',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: `${part({ alg: 'ES256' })}.${part({ sub: 'x\r\nforged line\x1b[31m' })}.AA`,
    })
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
    expect(world.eventsNamed('client.authentication_failed')).toHaveLength(1)
    expect(JSON.stringify(world.events)).not.toContain('forged line')
  })
})

describe('TEP-040: which refusals consume the code', () => {
  // The documented rule: a wrong verifier burns it, everything else leaves it (RFC 6749 §4.1.2, design: refresh tokens).
  test.each([
    ['redirect_uri', { redirect_uri: OTHER_URI }, 'invalid_grant'],
    ['resource', { resource: 'https://elsewhere.example/' }, 'invalid_target'],
    ['a resource that was not granted', { resource: 'OTHER' }, 'invalid_target'],
    ['scope', { scope: 'a c' }, 'invalid_scope'],
    ['scope and resource at once', { scope: 'x', resource: 'OTHER' }, 'invalid_'],
  ])('TEP-040: a wrong %s does not', async (_what, wrong, error) => {
    const request = await codeRequest()
    const parameters = { ...request, ...(wrong as Record<string, string>) }
    const resource = (parameters as Record<string, string>).resource
    const answer = await world.token({
      ...parameters,
      ...(resource === 'OTHER' && { resource: world.otherResource }),
    })
    expect(answer.status).toBe(400)
    expect(answer.body.error).toContain(error)
    expect((await world.token(request)).status).toBe(200)
    expect((await world.token(request)).body.error).toBe('invalid_grant')
  })

  test('TEP-040: a wrong verifier does', async () => {
    const request = await codeRequest()
    const answer = await world.token({ ...request, code_verifier: 'x'.repeat(43) })
    expect([answer.status, answer.body.error]).toEqual([400, 'invalid_grant'])
    expect((await world.token(request)).body.error).toBe('invalid_grant')
  })

  test('TEP-040: a failed client authentication and another client do not', async () => {
    const request = await codeRequest()
    expect((await world.token(request, basic(CONFIDENTIAL.id, 'wrong'))).status).toBe(401)
    const foreign = await world.token({ ...request, client_id: PUBLIC.id })
    expect([foreign.status, foreign.body.error]).toEqual([400, 'invalid_grant'])
    expect(world.eventsNamed('token.foreign')).toHaveLength(1)
    expect((await world.token(request)).status).toBe(200)
  })

  test('TEP-040: a resource that was asked for but has nothing of the granted scope does not consume the code', async () => {
    const { code, verifier } = await authorizeForBoth('b')
    const request = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    }
    const answer = await world.token({ ...request, resource: world.otherResource })
    expect([answer.status, answer.body.error]).toEqual([400, 'invalid_target'])
    const { status, body } = await world.token({ ...request, resource: world.resource })
    expect([status, body.scope]).toEqual([200, 'b'])
    // Nor does it rotate the refresh token, which would be taken for stolen later.
    const refused = await world.refresh(body.refresh_token, { resource: world.otherResource })
    expect([refused.status, refused.body.error]).toEqual([400, 'invalid_target'])
    world.clock.advance(120)
    expect((await world.refresh(body.refresh_token, { resource: world.resource })).status).toBe(200)
  })

  /** An authorization for both resources; the world's helper has one value for each parameter. */
  async function authorizeForBoth(scope: string) {
    const { browser } = await world.authorize()
    const { verifier, challenge } = pkce()
    const target = new URL(world.authorizeUrl({ scope, code_challenge: challenge }))
    target.searchParams.append('resource', world.resource)
    target.searchParams.append('resource', world.otherResource)
    let response = await browser.follow(await browser.get(target.href))
    if (response.status === 200) response = await browser.submitConsent(response, { decision: 'allow' })
    const location = new URL(response.headers.get('location') ?? '')
    return { code: location.searchParams.get('code') ?? '', verifier }
  }
})
