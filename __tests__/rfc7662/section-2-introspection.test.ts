import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Response } from 'express'
import { introspectionEndpoint } from '../../lib/index.ts'
import { expectRefused, refreshTokens, startInstances, withWorld } from '../refresh-tokens/instances.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  PUBLIC,
  REDIRECT_URI,
  RESOURCE_SERVER,
  readAnswer,
  startWorld,
  type TokenAnswer,
  type World,
} from '../support/world.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(() => world.close())

const asClient = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const asResourceServer = basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret)
const INACTIVE = '{"active":false}'

const introspect = (
  token: string,
  headers: Record<string, string> = asResourceServer,
  parameters: Record<string, string> = {},
  at: World = world,
) => at.post(at.endpoint('introspect'), { token, ...parameters }, headers)

/** Everything of an answer that could tell one from another; the counters of the limit are not in it. */
const shapeOf = ({ status, text, headers }: TokenAnswer) => ({
  status,
  text,
  headers: [...headers].filter(([name]) => name !== 'date').sort(),
})

async function expectInactive(token: string, headers?: Record<string, string>, at?: World): Promise<void> {
  const answer = await introspect(token, headers, {}, at)
  expect({ token: token.slice(0, 80), status: answer.status, text: answer.text }).toEqual({
    token: token.slice(0, 80),
    status: 200,
    text: INACTIVE,
  })
}

describe('an active token', () => {
  test('INT-001: an access token, for the server of its resource', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a b' })
    const claims = claimsOf(body.access_token)
    const answer = await introspect(body.access_token)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
    expect(answer.body).toEqual({ active: true, token_type: 'Bearer', ...claims })
    expect(answer.body).toMatchObject({
      scope: 'a b',
      client_id: CONFIDENTIAL.id,
      sub: 'alice',
      aud: world.resource,
      iss: world.issuer,
      exp: world.clock.now + 300,
      iat: world.clock.now,
      jti: expect.any(String),
      auth_time: world.clock.now,
    })
    expect(Object.values(answer.body)).not.toContain(null)
  })

  test('INT-001: for the client that it was issued to, and of a client’s own', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    const own = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    expect((await introspect(body.access_token, asClient)).body).toMatchObject({ active: true, sub: 'alice' })
    for (const headers of [asClient, asResourceServer])
      expect((await introspect(own.body.access_token, headers)).body).toMatchObject({
        active: true,
        sub: `client:${CONFIDENTIAL.id}`,
      })
  })

  test('INT-001: a refresh token, for its client only', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a b' })
    const answer = await introspect(body.refresh_token, asClient)
    expect(answer.body).toEqual({
      active: true,
      iss: world.issuer,
      sub: 'alice',
      client_id: CONFIDENTIAL.id,
      scope: 'a b',
      iat: world.clock.now,
      exp: world.clock.now + 30 * 86_400,
      grant_id: claimsOf(body.access_token).grant_id,
    })
    await expectInactive(body.refresh_token)
  })

  test('INT-001: the end of a refresh token is the one that its client was told, by every strategy', async () => {
    for (const issuance of ['rotate', 'rotate-and-reset'] as const)
      await withWorld(refreshTokens({ issuance, lifetime: 100, absoluteLifetime: 150 }), async (short) => {
        const { body: first } = await short.signInAndGetTokens({ scope: 'a' })
        short.clock.advance(80)
        const { body: second } = await short.refresh(first.refresh_token)
        const { body: told } = await introspect(second.refresh_token, asClient, {}, short)
        expect(told.exp).toBe(short.clock.now + second.refresh_token_expires_in)
        short.clock.now = told.exp
        await expectInactive(second.refresh_token, asClient, short)
      })
  })

  test('token_type_hint is no more than a hint', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    for (const hint of ['access_token', 'refresh_token', 'foo', '']) {
      const parameters = { token_type_hint: hint }
      expect((await introspect(body.access_token, asClient, parameters)).body.active).toBe(true)
      expect((await introspect(body.refresh_token, asClient, parameters)).body.active).toBe(true)
    }
  })
})

describe('anything else', () => {
  test('INT-002: expired, revoked, unknown, garbage and others’ read the same, byte for byte', async () => {
    const { body: revoked } = await world.signInAndGetTokens({ scope: 'a' })
    await world.aat.revoke({ grantId: claimsOf(revoked.access_token).grant_id as string })
    const { body: single } = await world.signInAndGetTokens({ scope: 'a' })
    await world.aat.revoke({ jti: claimsOf(single.access_token).jti as string })
    const { body: expired } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    world.clock.advance(301)
    const { body: foreign } = await world.token({
      grant_type: 'client_credentials',
      scope: 'x',
      resource: world.otherResource,
    })
    const { body: good } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    expect((await introspect(good.access_token)).body.active).toBe(true)
    const elsewhere = await startWorld()
    const { body: stranger } = await elsewhere.signInAndGetTokens({ scope: 'a' })
    await elsewhere.close()
    const [header, payload, signature] = good.access_token.split('.') as [string, string, string]
    const shapes = []
    for (const token of [
      'x',
      revoked.access_token,
      revoked.refresh_token,
      single.access_token,
      expired.access_token,
      foreign.access_token,
      stranger.access_token,
      stranger.refresh_token,
      `${header}.${payload}.${'A'.repeat(86)}`,
      `${header}.${payload}.`,
      `${payload}.${header}.${signature}`,
      'aat_rt_garbage',
      `aat_rt_${'A'.repeat(91)}`,
      `aat_ac_${'A'.repeat(86)}`,
      '\u{1f511}',
    ])
      shapes.push(shapeOf(await introspect(token)))
    expect(shapes[0]).toMatchObject({ status: 200, text: INACTIVE })
    for (const shape of shapes) expect(shape).toEqual(shapes[0])
  })

  test('INT-002: an access token is inactive from its exp on, whatever tolerance guards have', async () => {
    const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    world.clock.advance(299.5)
    expect((await introspect(body.access_token)).body.active).toBe(true)
    world.clock.advance(0.5)
    await expectInactive(body.access_token)
  })

  test('INT-002: after each kind of revocation', async () => {
    for (const target of [{ subject: 'alice' }, { clientId: CONFIDENTIAL.id }]) {
      world.clock.advance(1)
      const { body } = await world.signInAndGetTokens({ scope: 'a' })
      expect((await introspect(body.access_token)).body.active).toBe(true)
      await world.aat.revoke(target)
      await expectInactive(body.access_token)
      await expectInactive(body.refresh_token, asClient)
    }
    world.clock.advance(1)
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    const [active] = world.aat.keys.status().keys.filter(({ state }) => state === 'active')
    await world.aat.keys.revoke(active?.kid as string)
    await expectInactive(body.access_token)
  })

  test('INT-005: the server of one resource learns nothing of a token for another', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a', resource: world.otherResource })
    expect(claimsOf(body.access_token).aud).toBe(world.otherResource)
    await expectInactive(body.access_token)
    await expectInactive(body.refresh_token)
    expect((await introspect(body.access_token, asClient)).body.active).toBe(true)
  })

  test('INT-005: nor where another resource has its URL in front, or an audience of its own', () =>
    withWorld(
      (base) => ({
        resources: {
          [`${base}/api`]: { scopes: ['a', 'b'], audience: `${base}/other` },
          [`${base}/other`]: { scopes: ['a', 'x'], audience: `${base}/api` },
        },
      }),
      async (crossed) => {
        const mine = await crossed.token({
          grant_type: 'client_credentials',
          scope: 'a',
          resource: crossed.resource,
        })
        const others = await crossed.token({
          grant_type: 'client_credentials',
          scope: 'a',
          resource: crossed.otherResource,
        })
        expect((await introspect(mine.body.access_token, asResourceServer, {}, crossed)).body.active).toBe(
          true,
        )
        await expectInactive(others.body.access_token, asResourceServer, crossed)
      },
    ))

  test('INT-005: the app is told, once and after the answer, that introspects of a configured client lacks the resource', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
    const answers: Response[] = []
    const asked = await startWorld({
      before: (app) =>
        app.use('/oauth/introspect', (_req, res, next) => {
          answers.push(res)
          next()
        }),
    })
    try {
      const isOut: boolean[] = []
      asked.aat.on('configuration.warning', () => isOut.push(answers.at(-1)?.writableFinished === true))
      const { body } = await asked.signInAndGetTokens({ scope: 'a', resource: asked.otherResource })
      const { body: stranger } = await asked.register({ redirect_uris: [REDIRECT_URI] })
      await expectInactive(body.access_token, basic(stranger.client_id, stranger.client_secret), asked)
      await expectInactive('aat_at_junk', asResourceServer, asked)
      await expectInactive(body.refresh_token, asResourceServer, asked)
      asked.clock.advance(300)
      await expectInactive(body.access_token, asResourceServer, asked)
      expect(asked.eventsNamed('configuration.warning')).toEqual([])

      const { body: live } = await asked.refresh(body.refresh_token)
      const told = shapeOf(await introspect(live.access_token, asResourceServer, {}, asked))
      for (let count = 0; count < 3; count++) await expectInactive(live.access_token, asResourceServer, asked)
      expect(asked.eventsNamed('configuration.warning')).toMatchObject([
        { message: expect.stringContaining(`add "${asked.otherResource}" to the client's introspects`) },
      ])
      expect(isOut).toEqual([true])
      expect(warn.mock.calls.filter(([text]) => String(text).includes(RESOURCE_SERVER.id))).toHaveLength(1)
      const of = ({ headers, ...rest }: typeof told) => ({
        ...rest,
        headers: headers.filter(([name]) => !name.startsWith('ratelimit')),
      })
      expect(of(told)).toEqual(of(shapeOf(await introspect('aat_at_junk', asResourceServer, {}, asked))))
    } finally {
      warn.mockRestore()
      await asked.close()
    }
  })

  test('INT-008: a spent refresh token is inactive, within its grace window too, and asking is no reuse', async () => {
    const { body: first } = await world.signInAndGetTokens({ scope: 'a' })
    const { body: second } = await world.refresh(first.refresh_token)
    await expectInactive(first.refresh_token, asClient)
    world.clock.advance(60)
    await expectInactive(first.refresh_token, asClient)
    expect(world.eventsNamed('refresh_token.reused')).toEqual([])
    expect((await introspect(second.refresh_token, asClient)).body.active).toBe(true)
    expect((await world.refresh(second.refresh_token)).status).toBe(200)
  })

  test('INT-008: every token of a dead family is inactive', async () => {
    const { body: first } = await world.signInAndGetTokens({ scope: 'a' })
    const { body: second } = await world.refresh(first.refresh_token)
    world.clock.advance(10)
    expectRefused(await world.refresh(first.refresh_token), 'invalid_grant')
    for (const { access_token: access, refresh_token: refresh } of [first, second]) {
      await expectInactive(access)
      await expectInactive(refresh, asClient)
    }
  })
})

test('INT-007: introspecting 500 times (of 1,000) changes nothing: no generation, no grace window', async () => {
  const server = await startInstances(1, { aat: refreshTokens({ grace: 10 }) })
  const [shared] = server.worlds
  const { body } = await shared.signInAndGetTokens({ scope: 'a' })
  const grantId = claimsOf(body.access_token).grant_id as string
  const before = await server.stores.grants.readFamily(grantId)
  for (let time = 0; time < 500; time++) {
    const answer = await introspect(body.refresh_token, asClient, {}, shared)
    expect(answer.body.active).toBe(true)
  }
  expect(await server.stores.grants.readFamily(grantId)).toEqual(before)
  const { body: second } = await shared.refresh(body.refresh_token)
  server.clock.advance(9)
  for (let time = 0; time < 20; time++) await introspect(body.refresh_token, asClient, {}, shared)
  expect((await shared.refresh(body.refresh_token)).body.refresh_token).toBe(second.refresh_token)
  await server.close()
})

describe('the caller', () => {
  test('INT-004: a public client, and nobody at all, are refused', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    for (const [headers, parameters] of [
      [{}, { client_id: PUBLIC.id }],
      [{}, {}],
      [{}, { client_id: RESOURCE_SERVER.id }],
      [basic(RESOURCE_SERVER.id, 'a-wrong-secret-of-the-test-suite'), {}],
      [{ Authorization: `Bearer ${body.access_token}` }, {}],
    ] as [Record<string, string>, Record<string, string>][]) {
      const answer = await introspect(body.access_token, headers, parameters)
      expectRefused(answer, 'invalid_client', 401)
      expect(answer.text).not.toContain('alice')
    }
  })

  test('INT-004: a registered client learns of its own tokens, whatever it registered', async () => {
    const { body: client } = await world.register({
      redirect_uris: [REDIRECT_URI],
      grant_types: ['authorization_code', 'refresh_token'],
      introspects: [world.resource],
    })
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    await expectInactive(body.access_token, basic(client.client_id, client.client_secret))
  })

  test('INT-013: 650 guesses (of 10,000): the same body until the caller is stopped, others are not', async () => {
    const texts = new Set<string>()
    const statuses: number[] = []
    let stopped: TokenAnswer | undefined
    for (let batch = 0; batch < 65; batch++) {
      const answers = await Promise.all(
        Array.from({ length: 10 }, (_, index) => introspect(`aat_rt_guess-${batch}-${index}`, asClient)),
      )
      for (const answer of answers) {
        statuses.push(answer.status)
        if (answer.status === 200) texts.add(answer.text)
        else stopped ??= answer
      }
    }
    expect([...texts]).toEqual([INACTIVE])
    // 600 in 60 seconds, and what was under way beside the last of them.
    const answered = statuses.filter((status) => status === 200).length
    expect(answered).toBeGreaterThanOrEqual(600)
    expect(answered).toBeLessThanOrEqual(609)
    expect(statuses.at(-1)).toBe(429)
    expectRefused(stopped as TokenAnswer, 'temporarily_unavailable', 429)
    const retryAfter = Number(stopped?.headers.get('retry-after'))
    expect(retryAfter).toBeGreaterThan(0)
    expect(retryAfter).toBeLessThanOrEqual(60)
    // The address is the same, and an address in a header is nobody's.
    const spoofed = await introspect('x', { ...asClient, 'X-Forwarded-For': '192.0.2.7' })
    expect(spoofed.status).toBe(429)
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    expect((await introspect(body.access_token)).body.active).toBe(true)
  })

  test('INT-013: good answers are never counted; a caller that guesses is stopped, and the server of a resource only where it is told no a hundred times as often', async () => {
    let limited: ReturnType<typeof introspectionEndpoint> | undefined
    await withWorld(
      {},
      async (narrow) => {
        const { body } = await narrow.token({ grant_type: 'client_credentials', scope: 'a' })
        const { body: users } = await narrow.signInAndGetTokens({ scope: 'a' })
        const callers: [Record<string, string>, number, string][] = [
          [asClient, 3, 'x'],
          [asResourceServer, 300, users.refresh_token],
        ]
        for (const [headers, limit, bad] of callers) {
          const ask = (token: string) => narrow.post(`${narrow.base}/limited`, { token }, headers)
          for (let time = 0; time < 20; time++) expect((await ask(body.access_token)).body.active).toBe(true)
          for (let time = 0; time < limit; time++) expect((await ask(bad)).text).toBe(INACTIVE)
          expect((await ask('x')).status).toBe(429)
          expect((await ask(body.access_token)).status).toBe(429)
        }
      },
      {
        after: (app, aat) =>
          app.use((req, res, next) => {
            if (req.url !== '/limited') return next()
            limited ??= introspectionEndpoint(aat, { rateLimit: { windowSeconds: 60, limit: 3 } })
            req.url = '/'
            limited(req, res, next)
          }),
      },
    )
  })
})

test('INT-013: junk that strangers present to the server of a resource takes nothing from it; real tokens that are over count', async () => {
  let limited: ReturnType<typeof introspectionEndpoint> | undefined
  await withWorld(
    (base) => ({
      resources: {
        [`${base}/api`]: { scopes: ['a', 'b', 'c'], accessTokenFormat: 'opaque' },
        [`${base}/other`]: { scopes: ['a', 'x'] },
      },
    }),
    async (narrow) => {
      const ask = (token: string) => narrow.post(`${narrow.base}/limited`, { token }, asResourceServer)
      const issue = async (resource = narrow.resource) =>
        (await narrow.token({ grant_type: 'client_credentials', scope: 'a', resource })).body.access_token
      const [good, over, jwt] = [await issue(), await issue(), await issue(narrow.otherResource)]
      for (const token of [over, jwt]) await narrow.post(narrow.endpoint('revoke'), { token }, asClient)
      const junk = [
        'x',
        jwt,
        `${jwt.slice(0, -8)}AAAAAAAA`,
        `aat_at_${randomBytes(64).toString('base64url')}`,
        `aat_rt_${randomBytes(96).toString('base64url')}`,
      ]
      for (let time = 0; time < 150; time++)
        expect((await ask(junk[time % junk.length] ?? '')).text).toBe(INACTIVE)
      for (let time = 0; time < 100; time++) expect((await ask(over)).text).toBe(INACTIVE)
      expect((await ask(good)).status).toBe(429)
    },
    {
      after: (app, aat) =>
        app.use((req, res, next) => {
          if (req.url !== '/limited') return next()
          limited ??= introspectionEndpoint(aat, { rateLimit: { windowSeconds: 60, limit: 1 } })
          req.url = '/'
          limited(req, res, next)
        }),
    },
  )
})

describe('the request and the answer', () => {
  test.each(['application/json', 'text/html', '*/*', ''])(
    'INT-010: Accept %j is answered in JSON',
    async (accept) => {
      const { body } = await world.signInAndGetTokens({ scope: 'a' })
      const answer = await introspect(body.access_token, { ...asResourceServer, Accept: accept })
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
      expect(answer.body.active).toBe(true)
    },
  )

  test('INT-011: no answer may be stored', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    for (const answer of [
      await introspect(body.access_token),
      await introspect('x'),
      await introspect('x', {}),
      await world.post(world.endpoint('introspect'), {}, asResourceServer),
    ])
      expect(answer.headers.get('cache-control')).toBe('no-store')
  })

  test('INT-014: a repeated, missing, huge or newline-terminated token: 400 or inactive, never 500', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    const post = (parameters: [string, string][]) =>
      world.post(world.endpoint('introspect'), parameters, asResourceServer)
    const token = body.access_token as string
    expectRefused(await post([]), 'invalid_request')
    expectRefused(await post([['token', '']]), 'invalid_request')
    expectRefused(
      await post([
        ['token', token],
        ['token', token],
      ]),
      'invalid_request',
    )
    for (const control of [`${token}\n`, `\n${token}`, `${token}\u0000`, `${token}\r\n`])
      expectRefused(await post([['token', control]]), 'invalid_request')
    for (const spelling of [`${token} `, ` ${token}`, `${token}=`, `${token}.`, `Bearer ${token}`])
      await expectInactive(spelling)
    await expectInactive('x'.repeat(60_000))
    await expectInactive(`${'a'.repeat(20_000)}.${'b'.repeat(20_000)}.${'c'.repeat(20_000)}`)
    expectRefused(await introspect('x'.repeat(70_000)), 'invalid_request', 413)
    expect(world.eventsNamed('fault')).toEqual([])
  })

  test('INT-014: GET, and JSON, are refused', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    const got = await readAnswer(
      await fetch(`${world.endpoint('introspect')}?token=${body.access_token}`, {
        headers: asResourceServer,
      }),
    )
    expectRefused(got, 'invalid_request', 405)
    const json = await readAnswer(
      await fetch(world.endpoint('introspect'), {
        method: 'POST',
        headers: { ...asResourceServer, 'Content-Type': 'application/json' },
        body: JSON.stringify({ token: body.access_token }),
      }),
    )
    expectRefused(json, 'invalid_request')
  })
})
