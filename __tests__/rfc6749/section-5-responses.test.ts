import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { memoryStores, type Stores, tokenEndpoint } from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { requestText, sendRaw, splitResponses } from '../support/wire.ts'
import { basic, CONFIDENTIAL, manualClock, REDIRECT_URI, startWorld, type World } from '../support/world.ts'

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' }
const own = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)

let world: World
/** A world whose grant store is down, and one with a hook that throws. */
let down: World
let broken: World
/** What the stores that are down say. */
let outage: (() => Error) | undefined
beforeAll(async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const unusable: Stores = {
    ...stores,
    grants: {
      ...stores.grants,
      redeemCode: (redemption) =>
        outage === undefined ? stores.grants.redeemCode(redemption) : Promise.reject(outage()),
    },
  }
  world = await startWorld({
    after: (app, aat) => app.use('/strict/oauth/token', tokenEndpoint(aat, { rateLimit: { limit: 1 } })),
  })
  down = await startWorld({ clock, stores: unusable })
  broken = await startWorld({
    aat: {
      claims: () => {
        throw new Error('private words')
      },
    },
  })
})
afterAll(() => Promise.all([world.close(), down.close(), broken.close()]))

/** One request, and its one answer as it was on the wire. */
async function ask(
  at: World,
  body: string,
  { headers = { ...own, ...FORM }, method = 'POST', path = '/oauth/token' } = {},
) {
  const { text } = await sendRaw(
    at.base,
    requestText(at.base, path, headers as Record<string, string>, body, method),
    ({ text: soFar, closed, statuses }) => closed || (statuses.length === 1 && complete(soFar)),
  )
  const [response, ...more] = splitResponses(text)
  if (response === undefined || more.length > 0) throw new Error(`not one response: ${text}`)
  return { ...response, named: (name: string) => response.headers.filter(([header]) => header === name) }
}

function complete(text: string): boolean {
  const [response] = splitResponses(text)
  const length = response?.headers.find(([name]) => name === 'content-length')?.[1]
  return Buffer.byteLength(response?.body ?? '', 'latin1') === Number(length)
}

type Answer = Awaited<ReturnType<typeof ask>>

function expectSafeHeaders(answer: Answer) {
  expect(answer.named('content-type')).toEqual([['content-type', 'application/json']])
  expect(answer.named('cache-control')).toEqual([['cache-control', 'no-store']])
  expect(answer.named('pragma')).toEqual([['pragma', 'no-cache']])
  expect(answer.named('x-content-type-options')).toEqual([['x-content-type-options', 'nosniff']])
  expect(answer.named('etag')).toEqual([])
  expect(answer.named('set-cookie')).toEqual([])
  expect(answer.named('content-length')).toHaveLength(1)
}

describe('success', () => {
  test('TEP-037: every grant type answers with the headers of RFC 6749 §5.1', async () => {
    const { code, verifier } = await world.authorize()
    const bodies = [
      'grant_type=client_credentials',
      new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      }).toString(),
    ]
    for (const body of bodies) {
      const answer = await ask(world, body)
      expect(answer.status).toBe(200)
      expectSafeHeaders(answer)
      const { refresh_token: refreshToken } = JSON.parse(answer.body)
      if (refreshToken !== undefined) bodies.push(`grant_type=refresh_token&refresh_token=${refreshToken}`)
      if (bodies.length > 3) break
    }
    expect(bodies).toHaveLength(4)
  })

  test('TEP-037: members have the types of RFC 6749 §5.1, and none is null', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a b' })
    expect(body).toEqual({
      access_token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'a b',
      refresh_token: expect.stringMatching(/^aat_rt_[\w-]+$/),
      refresh_token_expires_in: 2_592_000,
    })
    const { body: own } = await world.token({ grant_type: 'client_credentials' })
    expect(Object.keys(own).sort()).toEqual(['access_token', 'expires_in', 'scope', 'token_type'])
  })

  test('TEP-037: a conditional request gets the whole answer', async () => {
    const answer = await ask(world, 'grant_type=client_credentials', {
      headers: {
        ...own,
        ...FORM,
        'If-None-Match': '*',
        'If-Modified-Since': 'Sat, 01 Jan 2050 00:00:00 GMT',
      } as never,
    })
    expect(answer.status).toBe(200)
  })
})

describe('errors', () => {
  const GOOD = 'grant_type=client_credentials'
  const grant = (at: World) =>
    at.authorize().then(({ code, verifier }) =>
      new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      }).toString(),
    )
  const outageOf = async (error: Error) => {
    outage = () => error
    return ask(down, await grant(down))
  }
  const cases: [string, number, string, () => Promise<Answer>][] = [
    ['a malformed request', 400, 'invalid_request', () => ask(world, '')],
    ['a broken encoding', 400, 'invalid_request', () => ask(world, 'grant_type=%zz')],
    ['an unknown grant type', 400, 'unsupported_grant_type', () => ask(world, 'grant_type=foo')],
    [
      'an unknown code',
      400,
      'invalid_grant',
      () => ask(world, 'grant_type=authorization_code&code=x&code_verifier=y'),
    ],
    [
      'an unknown refresh token',
      400,
      'invalid_grant',
      () => ask(world, 'grant_type=refresh_token&refresh_token=x'),
    ],
    ['an unknown scope', 400, 'invalid_scope', () => ask(world, `${GOOD}&scope=nope`)],
    ['an unknown resource', 400, 'invalid_target', () => ask(world, `${GOOD}&resource=https://x.example/`)],
    [
      'a grant type that is not for the client',
      400,
      'unauthorized_client',
      () => ask(world, `${GOOD}&client_id=public`, { headers: FORM as never }),
    ],
    ['no client', 401, 'invalid_client', () => ask(world, GOOD, { headers: FORM as never })],
    ['a sub-path', 404, 'invalid_request', () => ask(world, GOOD, { path: '/oauth/token/x.css' })],
    ['another method', 405, 'invalid_request', () => ask(world, '', { method: 'GET' })],
    ['too much', 413, 'invalid_request', () => ask(world, 'x'.repeat(70_000))],
    [
      'a compressed body',
      415,
      'invalid_request',
      () => ask(world, GOOD, { headers: { ...own, ...FORM, 'Content-Encoding': 'gzip' } as never }),
    ],
    [
      'too many failures',
      429,
      'temporarily_unavailable',
      async () => {
        const settings = { path: '/strict/oauth/token', headers: FORM as never }
        expect((await ask(world, GOOD, settings)).status).toBe(401)
        return ask(world, GOOD, settings)
      },
    ],
    ['a hook that throws', 500, 'server_error', () => ask(broken, GOOD)],
    [
      'a store that cannot answer',
      503,
      'temporarily_unavailable',
      () => outageOf(new StoreUnavailable('private words')),
    ],
    ['a store that fails', 500, 'server_error', () => outageOf(new Error('private words'))],
    [
      'a store that fails with a status',
      500,
      'server_error',
      () => outageOf(Object.assign(new Error('private words'), { status: 404 })),
    ],
  ]

  test.each(cases)('TEP-038: %s: %d %s with the right headers', async (_what, status, error, run) => {
    const answer = await run()
    expect(answer.status).toBe(status)
    expectSafeHeaders(answer)
    const body = JSON.parse(answer.body)
    expect(Object.keys(body)).toEqual(['error', 'error_description'])
    expect(body.error).toBe(error)
    expect(body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]{1,300}$/)
    expect(answer.body).not.toContain('private words')
    expect(answer.named('www-authenticate')).toHaveLength(status === 401 ? 1 : 0)
    expect(answer.named('allow')).toEqual(status === 405 ? [['allow', 'POST']] : [])
    expect(answer.named('retry-after')).toHaveLength(status === 429 || status === 503 ? 1 : 0)
  })

  test('TEP-038: what was sent is not repeated', async () => {
    for (const name of ['grant_type', 'scope', 'resource', 'redirect_uri', 'code']) {
      const { text } = await world.token({
        grant_type: 'client_credentials',
        [name]: '<script>"marker"</script>',
      })
      expect(text).not.toContain('marker')
    }
  })

  test('TEP-038: a store that is down is no second use of the code when it is back', async () => {
    const request = await grant(down)
    outage = () => new StoreUnavailable('private words')
    expect((await ask(down, request)).status).toBe(503)
    outage = undefined
    expect((await ask(down, request)).status).toBe(200)
    expect(down.eventsNamed('code.reused')).toHaveLength(0)
  })
})
