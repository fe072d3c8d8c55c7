import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { expectDead, expectRefused, startInstances } from '../refresh-tokens/instances.ts'
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

const asConfidential = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const asAnother = basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret)
const revoke = (
  token: string,
  parameters: Record<string, string> = {},
  headers: Record<string, string> = asConfidential,
  at: World = world,
) => at.post(at.endpoint('revoke'), { token, ...parameters }, headers)

function expectDone(answer: TokenAnswer): void {
  expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: '{}' })
  expect(answer.headers.get('content-type')).toMatch(/^application\/json/)
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

async function open() {
  const { body: first } = await world.signInAndGetTokens({ scope: 'a b' })
  const { body: second } = await world.refresh(first.refresh_token)
  return { first, second }
}

/** How the sizes of headers and body look: what tells one answer from another. */
const shapeOf = ({ status, text, headers }: TokenAnswer) => ({
  status,
  text,
  headers: [...headers].filter(([name]) => name !== 'date').sort(),
})

describe('what is revoked', () => {
  test('REV-001: a refresh token: its family and every access token of the grant', async () => {
    const { first, second } = await open()
    const { body: others } = await world.signInAndGetTokens({ scope: 'a b' })
    expectDone(await revoke(second.refresh_token))
    await expectDead(world, {
      refresh: [second.refresh_token, first.refresh_token],
      access: [first.access_token, second.access_token],
    })
    expect(world.eventsNamed('refresh_token.reused')).toEqual([])
    expect(world.eventsNamed('revocation.recorded')).toEqual([
      expect.objectContaining({
        kind: 'grant',
        id: claimsOf(first.access_token).grant_id,
        by: CONFIDENTIAL.id,
      }),
    ])
    expect((await world.call('/api/a', others.access_token)).status).toBe(200)
    expect((await world.refresh(others.refresh_token)).status).toBe(200)
  })

  test('REV-002: an access token: itself, and not its family', async () => {
    const { first, second } = await open()
    expectDone(await revoke(first.access_token))
    expect((await world.call('/api/a', first.access_token)).status).toBe(401)
    expect((await world.call('/api/a', second.access_token)).status).toBe(200)
    const { body: third } = await world.refresh(second.refresh_token)
    expect((await world.call('/api/a', third.access_token)).status).toBe(200)
  })

  test('REV-002: it stays revoked to its last second, and the twin of its signature is no way around', async () => {
    const { first } = await open()
    expectDone(await revoke(first.access_token))
    const [header, payload, signature] = first.access_token.split('.') as [string, string, string]
    const bytes = Buffer.from(signature, 'base64url')
    const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    const twin = Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from((n - s).toString(16).padStart(64, '0'), 'hex'),
    ])
    const twinToken = `${header}.${payload}.${twin.toString('base64url')}`
    for (const token of [first.access_token, twinToken])
      expect((await world.call('/api/a', token)).status).toBe(401)
    world.clock.advance(304.9)
    expect((await world.call('/api/a', first.access_token)).status).toBe(401)
  })

  test('REV-002: revoking the twin of a token revokes the token', async () => {
    const { first } = await open()
    const [header, payload, signature] = first.access_token.split('.') as [string, string, string]
    const bytes = Buffer.from(signature, 'base64url')
    const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
    const twin = Buffer.from((n - s).toString(16).padStart(64, '0'), 'hex')
    expectDone(
      await revoke(
        `${header}.${payload}.${Buffer.concat([bytes.subarray(0, 32), twin]).toString('base64url')}`,
      ),
    )
    expect((await world.call('/api/a', first.access_token)).status).toBe(401)
  })

  test('REV-002: a token that is past its exp but still within the guards’ tolerance can be revoked', async () => {
    const { first } = await open()
    world.clock.advance(302)
    expect((await world.call('/api/a', first.access_token)).status).toBe(200)
    expectDone(await revoke(first.access_token))
    expect((await world.call('/api/a', first.access_token)).status).toBe(401)
  })

  test('REV-002: the token of a client’s own', async () => {
    const { body } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    const { body: sibling } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    expectDone(await revoke(body.access_token))
    expect((await world.call('/api/a', body.access_token)).status).toBe(401)
    expect((await world.call('/api/a', sibling.access_token)).status).toBe(200)
  })

  test('REV-011: a spent refresh token of its own client ends the grant: the client says it is over', async () => {
    const { first, second } = await open()
    world.clock.advance(60)
    expectDone(await revoke(first.refresh_token))
    await expectDead(world, { refresh: [second.refresh_token], access: [second.access_token] })
    expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  })

  test('revoking twice is as good as once', async () => {
    const { first, second } = await open()
    for (const token of [second.refresh_token, second.refresh_token, first.access_token, first.access_token])
      expectDone(await revoke(token))
  })

  test('a revoked authorization asks the user again or not, but never brings the old tokens back', async () => {
    const { first, second } = await open()
    expectDone(await revoke(second.refresh_token))
    world.clock.advance(1)
    const { body: again } = await world.signInAndGetTokens({ scope: 'a b' })
    expect((await world.call('/api/a', again.access_token)).status).toBe(200)
    await expectDead(world, { refresh: [second.refresh_token], access: [first.access_token] })
  })
})

describe('what is not', () => {
  test('REV-004: unknown, expired and garbage tokens: 200, the same answer, and nothing changes', async () => {
    const { second } = await open()
    const [expired] = [second.access_token]
    const elsewhere = await startWorld()
    const foreignWorld = await elsewhere.signInAndGetTokens({ scope: 'a' })
    await elsewhere.close()
    world.clock.advance(400)
    const { body: third } = await world.refresh(second.refresh_token)
    const good = await revoke(
      (await world.token({ grant_type: 'client_credentials', scope: 'a' })).body.access_token,
    )
    const before = world.eventsNamed('revocation.recorded').length
    for (const token of [
      'x',
      'garbage token with spaces',
      'aat_rt_',
      `aat_rt_${'A'.repeat(91)}`,
      `${third.refresh_token}x`,
      'a.b.c',
      'eyJhbGciOiJub25lIn0.e30.',
      expired,
      foreignWorld.body.access_token,
      foreignWorld.body.refresh_token,
      'x'.repeat(60_000),
      '\u{1f511}',
    ])
      expect(shapeOf(await revoke(token))).toEqual(shapeOf(good))
    expect(world.eventsNamed('revocation.recorded')).toHaveLength(before)
    expect((await world.call('/api/a', third.access_token)).status).toBe(200)
    expect((await world.refresh(third.refresh_token)).status).toBe(200)
  })

  test('REV-004: an authorization code is not a token: it is not revoked', async () => {
    const { code, verifier } = await world.authorize({ scope: 'a' })
    expectDone(await revoke(code))
    const answer = await world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
    expect(answer.status).toBe(200)
  })

  test('REV-005: another client’s tokens: 200, nothing happens, nothing is told', async () => {
    const { first, second } = await open()
    const nothing = await revoke('x', {}, asAnother)
    for (const token of [second.refresh_token, first.refresh_token, second.access_token])
      expect(shapeOf(await revoke(token, {}, asAnother))).toEqual(shapeOf(nothing))
    expectDone(await revoke(second.refresh_token, { client_id: PUBLIC.id }, {}))
    expect(world.eventsNamed('revocation.recorded')).toEqual([])
    expect(world.eventsNamed('token.foreign')).toHaveLength(4)
    expect((await world.call('/api/a', second.access_token)).status).toBe(200)
    expect((await world.refresh(second.refresh_token)).status).toBe(200)
  })

  test('a client that does not authenticate revokes nothing', async () => {
    const { second } = await open()
    for (const [parameters, headers] of [
      [{}, {}],
      [{ client_id: CONFIDENTIAL.id }, {}],
      [{}, basic(CONFIDENTIAL.id, 'a-wrong-secret-of-the-test-suite')],
      [{ client_id: 'nobody' }, {}],
    ] as [Record<string, string>, Record<string, string>][]) {
      const answer = await revoke(second.refresh_token, parameters, headers)
      expectRefused(answer, 'invalid_client', 401)
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /)
    }
    expect((await world.call('/api/a', second.access_token)).status).toBe(200)
    expect((await world.refresh(second.refresh_token)).status).toBe(200)
  })
})

describe('the request', () => {
  test('REV-007: a public client revokes its own token with its client_id only', async () => {
    const { code, verifier } = await world.authorize({ client_id: PUBLIC.id, scope: 'a b' })
    const { body } = await world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
      client_id: PUBLIC.id,
    })
    expectDone(await revoke(body.refresh_token, { client_id: PUBLIC.id }, {}))
    expectRefused(await world.refresh(body.refresh_token, { client_id: PUBLIC.id }), 'invalid_grant')
    expect((await world.call('/api/a', body.access_token)).status).toBe(401)
  })

  test.each(['access_token', 'refresh_token', 'foo', 'urn:example:x', ''])(
    'REV-008: token_type_hint %j is no more than a hint, for either token',
    async (hint) => {
      const { first, second } = await open()
      expectDone(await revoke(first.access_token, { token_type_hint: hint }))
      expect((await world.call('/api/a', first.access_token)).status).toBe(401)
      expect((await world.call('/api/a', second.access_token)).status).toBe(200)
      expectDone(await revoke(second.refresh_token, { token_type_hint: hint }))
      await expectDead(world, { refresh: [second.refresh_token], access: [second.access_token] })
    },
  )

  test('REV-010: GET is 405 and revokes nothing; there is no callback', async () => {
    const { second } = await open()
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH']) {
      const answer = await readAnswer(
        await fetch(`${world.endpoint('revoke')}?token=${second.refresh_token}&callback=alert`, {
          method,
          headers: asConfidential,
        }),
      )
      expect([method, answer.status, answer.headers.get('allow')]).toEqual([method, 405, 'POST'])
      expect(answer.text).not.toContain('alert')
      expect(answer.headers.get('content-type') ?? '').not.toContain('javascript')
    }
    const posted = await world.post(
      `${world.endpoint('revoke')}?callback=alert`,
      { token: 'x', callback: 'alert' },
      asConfidential,
    )
    expectDone(posted)
    expect((await world.refresh(second.refresh_token)).status).toBe(200)
  })

  test('REV-010: a token in the query of a POST is not looked at', async () => {
    const { second } = await open()
    const url = `${world.endpoint('revoke')}?token=${second.refresh_token}`
    expectRefused(await world.post(url, {}, asConfidential), 'invalid_request')
    expectDone(await world.post(url, { token: 'x' }, asConfidential))
    expect((await world.refresh(second.refresh_token)).status).toBe(200)
  })

  test('a missing, empty or repeated token is invalid_request', async () => {
    const { first, second } = await open()
    const post = (parameters: [string, string][]) =>
      world.post(world.endpoint('revoke'), parameters, asConfidential)
    expectRefused(await post([]), 'invalid_request')
    expectRefused(await post([['token', '']]), 'invalid_request')
    expectRefused(
      await post([
        ['token', first.refresh_token],
        ['token', second.refresh_token],
      ]),
      'invalid_request',
    )
    expect((await world.refresh(second.refresh_token)).status).toBe(200)
  })
})

describe('other instances, and a store that fails', () => {
  test('REV-014: what one instance revokes the others refuse with the next request', async () => {
    const server = await startInstances(3)
    const [one, two, three] = server.worlds as unknown as [World, World, World]
    for (let round = 0; round < 20; round++) {
      const { body } = await one.signInAndGetTokens({ scope: 'a' })
      for (const other of [one, two, three])
        expect((await other.call('/api/a', body.access_token)).status).toBe(200)
      const token = round % 2 === 0 ? body.refresh_token : body.access_token
      expectDone(await revoke(token, {}, asConfidential, server.worlds[round % 3] as World))
      for (const other of [one, two, three])
        expect((await other.call('/api/a', body.access_token)).status).toBe(401)
    }
    const late = await server.start()
    const { body } = await one.signInAndGetTokens({ scope: 'a' })
    expect((await late.call('/api/a', body.access_token)).status).toBe(200)
    await server.close()
  })

  test('REV-014: an instance that starts later knows what was revoked before', async () => {
    const server = await startInstances(1)
    const { body } = await server.worlds[0].signInAndGetTokens({ scope: 'a' })
    expectDone(await revoke(body.access_token, {}, asConfidential, server.worlds[0]))
    const late = await server.start()
    expect((await late.call('/api/a', body.access_token)).status).toBe(401)
    await server.close()
  })

  test.each(['append', 'end'] as const)(
    'REV-013: a store whose %s fails is 503 with Retry-After, never 200; the next try revokes',
    async (verb) => {
      const server = await startInstances(1)
      let fail = false
      const failing =
        <A extends unknown[], R>(run: (...args: A) => Promise<R>) =>
        async (...args: A): Promise<R> => {
          if (fail) throw new StoreUnavailable('redis://10.0.0.1:6379 is gone')
          return run(...args)
        }
      const { grants, revocations } = server.stores
      const flaky = await startWorld({
        stores: {
          ...server.stores,
          ...(verb === 'end'
            ? { grants: { ...grants, end: failing(grants.end) } }
            : { revocations: { ...revocations, append: failing(revocations.append) } }),
        },
        clock: server.clock,
        issuer: server.worlds[0].issuer,
      })
      const { body } = await flaky.signInAndGetTokens({ scope: 'a' })
      fail = true
      const answer = await revoke(body.refresh_token, {}, asConfidential, flaky)
      expectRefused(answer, 'temporarily_unavailable', 503)
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(answer.text).not.toContain('10.0.0.1')
      fail = false
      expectDone(await revoke(body.refresh_token, {}, asConfidential, flaky))
      await expectDead(flaky, { refresh: [body.refresh_token], access: [body.access_token] })
      await flaky.close()
      await server.close()
    },
  )
})
