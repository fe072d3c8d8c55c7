import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import {
  type Browser,
  basic,
  CONFIDENTIAL,
  pkce,
  REDIRECT_URI,
  RESOURCE_SERVER,
  startWorld,
  type World,
} from '../support/world.ts'
import { expectPage, expectRedirect, signedIn } from './pages.ts'

let world: World
let browser: Browser
let failure: Error | undefined

beforeAll(async () => {
  world = await startWorld({
    before: (app) => {
      app.set('query parser', 'extended')
    },
    aat: {
      clients: [
        {
          clientId: CONFIDENTIAL.id,
          clientSecret: CONFIDENTIAL.secret,
          redirectUris: [REDIRECT_URI],
          scopes: ['a', 'b'],
        },
        {
          clientId: RESOURCE_SERVER.id,
          clientSecret: RESOURCE_SERVER.secret,
          redirectUris: [REDIRECT_URI],
          grantTypes: ['client_credentials'],
        },
      ],
    },
    authorize: {
      signInUrl: (context) => {
        if (failure !== undefined) throw failure
        return `/sign-in?return_to=${encodeURIComponent(context.returnTo)}`
      },
    },
  })
})
beforeEach(async () => {
  failure = undefined
  browser = await signedIn(world)
})
afterAll(() => world.close())

/** The error as the client gets it: state and issuer with it, no page in between. */
async function errorOf(parameters: Record<string, string | undefined>, more = ''): Promise<string> {
  const response = await browser.get(world.authorizeUrl(parameters) + more)
  const answer = expectRedirect(response, `${REDIRECT_URI}?`)
  expect(await response.text()).toBe('')
  expect(answer.iss).toBe(world.issuer)
  expect(answer.state).toBe(parameters.state ?? 'the-state')
  expect(answer.code).toBeUndefined()
  // RFC 6749 §4.1.2.1: error_description is %x20-21 / %x23-5B / %x5D-7E.
  expect(answer.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
  return answer.error ?? ''
}

describe('every error of RFC 6749 section 4.1.2.1', () => {
  test('AUT-025: invalid_request', async () => {
    for (const parameters of [
      { response_type: undefined },
      { response_type: '' },
      { code_challenge: undefined },
      { code_challenge: '' },
      { code_challenge: 'too-short' },
      { code_challenge: `${pkce().challenge}=` },
      { code_challenge: 'x'.repeat(44) },
      { code_challenge_method: undefined },
      { code_challenge_method: 'plain' },
      { code_challenge_method: 's256' },
      { prompt: 'nonsense' },
      { prompt: 'none login' },
      { prompt: 'login  consent' },
      { max_age: '-1' },
      { max_age: '1.5' },
      { max_age: '1e3' },
      { max_age: '9'.repeat(10) },
      { acr_values: 'a  b' },
      { acr_values: Array(21).fill('x').join(' ') },
      { acr_values: 'x'.repeat(256) },
      { login_hint: 'x'.repeat(513) },
      { request: 'eyJhbGciOiJub25lIn0.e30.' },
      { request_uri: 'https://evil.example/request' },
    ])
      expect([parameters, await errorOf(parameters)]).toEqual([parameters, 'invalid_request'])
  })

  test('AUT-016: each other parameter twice is invalid_request, at the client', async () => {
    for (const name of [
      'response_type',
      'scope',
      'code_challenge',
      'code_challenge_method',
      'response_mode',
      'prompt',
      'max_age',
      'nonce',
    ])
      expect([name, await errorOf({ [name]: '1' }, `&${name}=2`)]).toEqual([name, 'invalid_request'])
  })

  test('AUT-016: state twice is invalid_request, and neither is sent back', async () => {
    const response = await browser.get(`${world.authorizeUrl({ state: 'one' })}&state=two`)
    const answer = expectRedirect(response, `${REDIRECT_URI}?`)
    expect(answer).toEqual({
      error: 'invalid_request',
      error_description: expect.any(String),
      iss: world.issuer,
    })
  })

  test('AUT-037: unsupported_response_type', async () => {
    for (const type of ['token', 'id_token', 'code token', 'code id_token', 'CODE', 'none', 'code '])
      expect([type, await errorOf({ response_type: type })]).toEqual([type, 'unsupported_response_type'])
  })

  test('AUT-038: response_mode query is the only one, as metadata says', async () => {
    const metadata = await world.call('/.well-known/oauth-authorization-server')
    expect(metadata.body.response_modes_supported).toEqual(['query'])
    for (const mode of ['fragment', 'form_post', 'query.jwt', 'jwt', 'web_message'])
      expect([mode, await errorOf({ response_mode: mode })]).toEqual([mode, 'invalid_request'])
    const response = await browser.get(world.authorizeUrl({ response_mode: 'query' }))
    expect(response.headers.get('location')).toContain('/oauth/authorize/consent?request=')
  })

  test('AUT-025: unauthorized_client', async () => {
    expect(await errorOf({ client_id: RESOURCE_SERVER.id })).toBe('unauthorized_client')
  })

  test('AUT-025: invalid_scope', async () => {
    for (const scope of ['nope', 'a nope', 'c', 'a  b', ' a', 'a ', 'a"b', 'a\\b', 'ä', 'A', 'x'.repeat(129)])
      expect([scope, await errorOf({ scope })]).toEqual([scope, 'invalid_scope'])
    expect(await errorOf({ scope: Array.from({ length: 65 }, (_, index) => `s${index}`).join(' ') })).toBe(
      'invalid_scope',
    )
  })

  test('AUT-025: invalid_target (RFC 8707 section 2)', async () => {
    for (const resource of [
      'https://other.example/api',
      'not-a-url',
      `${world.resource}#x`,
      `${world.resource}/`,
    ])
      expect([resource, await errorOf({ resource })]).toEqual([resource, 'invalid_target'])
  })

  test('AUT-025: access_denied when the user says no, and with no scope left', async () => {
    for (const choice of [{ decision: 'deny' as const }, { decision: 'allow' as const, scopes: [] }]) {
      const page = await browser.follow(await browser.get(world.authorizeUrl({ scope: 'a b' })))
      const answer = expectRedirect(await browser.submitConsent(page, choice), `${REDIRECT_URI}?`)
      expect(answer).toEqual({
        error: 'access_denied',
        error_description: expect.any(String),
        state: 'the-state',
        iss: world.issuer,
      })
    }
    expect(world.eventsNamed('authorization.denied').length).toBeGreaterThanOrEqual(2)
    expect(world.eventsNamed('authorization.granted')).toHaveLength(0)
  })

  test('AUT-025: server_error for a fault, without a word of it', async () => {
    failure = new Error('SELECT secret FROM table')
    browser.cookies.clear()
    const response = await browser.get(world.authorizeUrl({}))
    const answer = expectRedirect(response, `${REDIRECT_URI}?`)
    expect(answer).toMatchObject({ error: 'server_error', state: 'the-state', iss: world.issuer })
    expect(answer.error_description).not.toMatch(/SELECT|table/)
    const [fault] = world.eventsNamed('fault').slice(-1)
    expect(fault).toMatchObject({ where: 'authorization', error: failure })
    expect(answer.error_description).toContain((fault as { reference: string }).reference)
  })
})

describe('state and iss', () => {
  test('AUT-034: state comes back exactly, up to 4,096 characters', async () => {
    for (const state of [
      '%',
      '%2B',
      '+',
      'a+b c%20d',
      '&x=1#y?z',
      '"><script>',
      'ünïcödé ✓ 💥',
      '=',
      "'",
      'x'.repeat(4096),
      '%'.repeat(4096),
    ])
      expect(await errorOf({ state, scope: 'nope' })).toBe('invalid_scope')
  })

  test('AUT-034: a longer state gets a page', async () => {
    const text = await expectPage(await browser.get(world.authorizeUrl({ state: 'x'.repeat(4097) })))
    expect(text).not.toContain('xxxx')
  })

  test('AUT-034: state comes back with the code too, and is absent where there was none', async () => {
    const state = 'a+b c%20d&"✓'
    const { parameters } = await world.authorize({ state, scope: 'a' })
    expect(parameters).toEqual({ code: expect.any(String), state, iss: world.issuer })
    const without = await world.authorize({ state: undefined, scope: 'a' })
    expect(without.parameters).toEqual({ code: expect.any(String), iss: world.issuer })
  })

  test('AUT-035: iss is the metadata issuer byte for byte, once, in success and error', async () => {
    const { body } = await world.call('/.well-known/oauth-authorization-server')
    expect(body.authorization_response_iss_parameter_supported).toBe(true)
    const { location } = await world.authorize({ scope: 'a' })
    expect(location.searchParams.getAll('iss')).toEqual([body.issuer])
    const denied = await browser.get(world.authorizeUrl({ scope: 'nope' }))
    expect(new URL(denied.headers.get('location') ?? '').searchParams.getAll('iss')).toEqual([body.issuer])
  })

  test('AUT-035: an iss of the request changes nothing', async () => {
    const response = await browser.get(`${world.authorizeUrl({ scope: 'nope' })}&iss=https://evil.example`)
    expect(expectRedirect(response, `${REDIRECT_URI}?`).iss).toBe(world.issuer)
  })
})

describe('methods and bodies', () => {
  const form = (parameters: Record<string, string>) =>
    new URLSearchParams({
      client_id: CONFIDENTIAL.id,
      redirect_uri: REDIRECT_URI,
      response_type: 'code',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
      state: 's',
      ...parameters,
    })

  test('AUT-040: a form POST is the same as GET', async () => {
    const bad = await browser.send(world.endpoint('authorize'), {
      method: 'POST',
      body: form({ scope: 'nope' }),
    })
    expect(expectRedirect(bad, `${REDIRECT_URI}?`)).toMatchObject({ error: 'invalid_scope', state: 's' })
    const good = await browser.send(world.endpoint('authorize'), {
      method: 'POST',
      body: form({ scope: 'a', prompt: 'consent' }),
    })
    expect(good.status).toBe(303)
    const page = await browser.follow(good)
    expect(await expectPage(page, 200)).toContain('<form method="post"')
  })

  test('AUT-040: the query of a POST does not count', async () => {
    const response = await browser.send(world.authorizeUrl({}), {
      method: 'POST',
      body: new URLSearchParams({ state: 's' }),
    })
    await expectPage(response)
  })

  test('AUT-040: JSON and other types are refused', async () => {
    for (const [type, body] of [
      ['application/json', JSON.stringify(Object.fromEntries(form({})))],
      ['text/plain', form({}).toString()],
      ['multipart/form-data; boundary=x', '--x--'],
    ] as const)
      await expectPage(
        await browser.send(world.endpoint('authorize'), {
          method: 'POST',
          headers: { 'Content-Type': type },
          body,
        }),
      )
  })

  test('AUT-040: other methods are 405 with Allow, other paths 404', async () => {
    for (const method of ['HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const response = await browser.send(world.authorizeUrl({}), { method })
      await expectPage(response, 405)
      expect(response.headers.get('allow')).toBe('GET, POST')
    }
    await expectPage(await browser.get(`${world.endpoint('authorize')}/nothing`), 404)
    await expectPage(await browser.get(`${world.endpoint('authorize')}/consent/x`), 404)
  })

  test('AUT-046: no CORS, whoever asks', async () => {
    for (const origin of ['https://evil.example', 'null', world.base]) {
      for (const [url, init] of [
        [world.authorizeUrl({ scope: 'nope' }), {}],
        [world.authorizeUrl({ client_id: 'nope' }), {}],
        [world.endpoint('authorize'), { method: 'OPTIONS' }],
        [`${world.endpoint('authorize')}/consent?request=x`, {}],
      ] as const) {
        const { headers } = await browser.send(url, { ...init, headers: { Origin: origin } })
        expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([])
      }
    }
  })

  test('AUT-025: a client secret in the request is not looked at, and never repeated', async () => {
    const response = await browser.send(`${world.authorizeUrl({ scope: 'nope' })}&client_secret=hush`, {
      headers: basic('x', 'y'),
    })
    expect(response.headers.get('location')).not.toContain('hush')
    expectRedirect(response, `${REDIRECT_URI}?`)
  })
})
