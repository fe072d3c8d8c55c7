import { describe, expect, test } from '@jest/globals'
import { type AatOptions, memoryStores } from '../../lib/index.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  manualClock,
  REDIRECT_URI,
  startWorld,
  type World,
} from '../support/world.ts'
import { expectDead, expectRefused, startInstances, withWorld } from './instances.ts'

const OTHER = { id: 'other-client', secret: 'the-secret-of-the-other-client' }

/** The confidential client as its configuration is today, and another one beside it. */
function clients(over: Partial<NonNullable<AatOptions['clients']>[number]> = {}): Partial<AatOptions> {
  return {
    clients: [
      {
        clientId: CONFIDENTIAL.id,
        clientSecret: CONFIDENTIAL.secret,
        redirectUris: [REDIRECT_URI],
        grantTypes: ['authorization_code', 'refresh_token'],
        ...over,
      },
      { clientId: OTHER.id, clientSecret: OTHER.secret, redirectUris: [REDIRECT_URI] },
      { clientId: 'public', redirectUris: [REDIRECT_URI] },
    ],
  }
}

const asOther = (world: World, refreshToken: string) =>
  world.token({ grant_type: 'refresh_token', refresh_token: refreshToken }, basic(OTHER.id, OTHER.secret))

describe('another client', () => {
  test('RTK-019: a spent, a current and a dead token of another client: refused, and nothing changes', () =>
    withWorld(clients(), async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope: 'a b' })
      const { body: second } = await world.refresh(first.refresh_token)
      world.clock.advance(11)
      const [spent, current] = [
        await asOther(world, first.refresh_token),
        await asOther(world, second.refresh_token),
      ]
      for (const answer of [spent, current]) expectRefused(answer, 'invalid_grant')
      const garbage = await asOther(world, 'aat_rt_garbage')
      expect([spent.text, current.text]).toEqual([garbage.text, garbage.text])
      expect(world.eventsNamed('token.foreign')).toEqual([
        expect.objectContaining({ clientId: OTHER.id, owner: CONFIDENTIAL.id }),
        expect.objectContaining({ clientId: OTHER.id, owner: CONFIDENTIAL.id }),
      ])
      expect(world.eventsNamed('refresh_token.reused')).toEqual([])
      expect((await world.call('/api/ab', second.access_token)).status).toBe(200)
      expect((await world.refresh(second.refresh_token)).status).toBe(200)
    }))

  test('RTK-020: nobody without its secret, and no public client, refreshes for a confidential one', () =>
    withWorld(clients(), async (world) => {
      const { body } = await world.signInAndGetTokens({ scope: 'a b' })
      const asking = { grant_type: 'refresh_token', refresh_token: body.refresh_token }
      expectRefused(await world.token({ ...asking, client_id: CONFIDENTIAL.id }), 'invalid_client', 401)
      expectRefused(await world.token(asking, {}), 'invalid_client', 401)
      expectRefused(await world.token({ ...asking, client_id: 'public' }), 'invalid_grant')
      expect((await world.refresh(body.refresh_token)).status).toBe(200)
    }))
})

describe('what a client may have today', () => {
  test('RTK-028: a scope taken from the client is in no new access token', async () => {
    const server = await startInstances(1, { aat: clients() })
    const { body: first } = await server.worlds[0].signInAndGetTokens({ scope: 'a b c' })
    const narrowed = await server.start({ aat: clients({ scopes: ['a', 'b'] }) })
    const second = await narrowed.refresh(first.refresh_token)
    expect(second.body.scope).toBe('a b')
    expect(claimsOf(second.body.access_token).scope).toBe('a b')
    expectRefused(await narrowed.refresh(second.body.refresh_token, { scope: 'c' }), 'invalid_scope')
    expect((await narrowed.refresh(second.body.refresh_token, { scope: 'b c' })).body.scope).toBe('b')
    await server.close()
  })

  test('RTK-028: where nothing is left the refusal consumes nothing', async () => {
    const server = await startInstances(1, { aat: clients() })
    const [before] = server.worlds
    const { body: first } = await before.signInAndGetTokens({ scope: 'b c' })
    const narrowed = await server.start({ aat: clients({ scopes: ['a'] }) })
    expectRefused(await narrowed.refresh(first.refresh_token), 'invalid_scope')
    server.clock.advance(11)
    expectRefused(await narrowed.refresh(first.refresh_token), 'invalid_scope')
    expect((await before.refresh(first.refresh_token)).status).toBe(200)
    await server.close()
  })

  // The grant type decides about refresh tokens here, and offline_access is understood and left out: so it is the grant
  // type that an operator takes away. RFC 6749 §5.2 names unauthorized_client for it.
  test('RTK-029: a client that may no longer refresh cannot use the tokens it has', async () => {
    const server = await startInstances(1, { aat: clients() })
    const { body } = await server.worlds[0].signInAndGetTokens({ scope: 'a offline_access' })
    expect(body.scope).toBe('a')
    const without = await server.start({ aat: clients({ grantTypes: ['authorization_code'] }) })
    expectRefused(await without.refresh(body.refresh_token), 'unauthorized_client')
    const { body: fresh } = await without.signInAndGetTokens({ scope: 'a offline_access' })
    expect(fresh).not.toHaveProperty('refresh_token')
    expect(fresh).not.toHaveProperty('refresh_token_expires_in')
    await server.close()
  })

  test('RTK-032: a client that the configuration no longer has is nobody', async () => {
    const server = await startInstances(1, { aat: clients() })
    const { body } = await server.worlds[0].signInAndGetTokens({ scope: 'a' })
    const { clients: [, ...others] = [] } = clients()
    const without = await server.start({ aat: { clients: others } })
    expectRefused(await without.refresh(body.refresh_token), 'invalid_client', 401)
    await server.close()
  })

  test('RTK-032: a deleted client: its families are over, and it is nobody', () =>
    withWorld({}, async (world) => {
      const { body: client } = await world.register({
        redirect_uris: [REDIRECT_URI],
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: 'none',
      })
      const { code, verifier } = await world.authorize({ client_id: client.client_id, scope: 'a b' })
      const { body: tokens } = await world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
        client_id: client.client_id,
      })
      const pending = await world.authorize({ client_id: client.client_id, scope: 'a' })
      expect((await world.aat.grants.list({ clientId: client.client_id })).grants).toHaveLength(1)
      expect((await world.call('/api/a', tokens.access_token)).status).toBe(200)

      expect(await world.aat.clients.delete(client.client_id)).toBe('deleted')
      expect((await world.call('/api/a', tokens.access_token)).status).toBe(401)
      expectRefused(
        await world.refresh(tokens.refresh_token, { client_id: client.client_id }),
        'invalid_client',
        401,
      )
      const redemption = await world.token({
        grant_type: 'authorization_code',
        code: pending.code,
        code_verifier: pending.verifier,
        redirect_uri: REDIRECT_URI,
        client_id: client.client_id,
      })
      expectRefused(redemption, 'invalid_client', 401)
      expect((await world.aat.grants.list({ clientId: client.client_id })).grants).toEqual([])
      expect(await world.aat.clients.get(client.client_id)).toBeUndefined()
      expect(await world.aat.clients.delete(client.client_id)).toBe('unknown')
      expect(world.eventsNamed('client.deleted')).toHaveLength(1)
      expect(await world.aat.clients.delete(CONFIDENTIAL.id)).toBe('configured')
    }))
})

describe('the user', () => {
  test.each([undefined, false, null, 0, '', 'yes', 1, {}])(
    'RTK-031: a refresh for a user of whom the app says %j is refused, and consumes nothing',
    async (verdict) => {
      let says: unknown = true
      await withWorld({ isSubjectActive: () => says as boolean }, async (world) => {
        const { body: first } = await world.signInAndGetTokens({ scope: 'a b' })
        says = verdict
        expectRefused(await world.refresh(first.refresh_token), 'invalid_grant')
        says = true
        world.clock.advance(11)
        expect((await world.refresh(first.refresh_token)).status).toBe(200)
      })
    },
  )

  test('RTK-031: nor is a retry answered, nor a code redeemed', async () => {
    let says = true
    await withWorld({ isSubjectActive: async () => says }, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope: 'a b' })
      const { body: second } = await world.refresh(first.refresh_token)
      const { code, verifier } = await world.authorize({ scope: 'a' })
      says = false
      expectRefused(await world.refresh(first.refresh_token), 'invalid_grant')
      expectRefused(await world.refresh(second.refresh_token), 'invalid_grant')
      const redemption = {
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
      }
      expectRefused(await world.token(redemption), 'invalid_grant')
      says = true
      expect((await world.token(redemption)).status).toBe(200)
      expect((await world.refresh(second.refresh_token)).status).toBe(200)
    })
  })

  test('RTK-031: a check that fails is our fault: 500, nothing told, nothing consumed', async () => {
    let fail = false
    const isSubjectActive = () => {
      if (fail) throw new Error('the database of users at 10.0.0.1 is down')
      return true
    }
    await withWorld({ isSubjectActive }, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope: 'a b' })
      fail = true
      const answer = await world.refresh(first.refresh_token)
      expectRefused(answer, 'server_error', 500)
      expect(answer.text).not.toContain('10.0.0.1')
      expect(world.eventsNamed('fault')).toHaveLength(1)
      fail = false
      world.clock.advance(11)
      expect((await world.refresh(first.refresh_token)).status).toBe(200)
    })
  })

  test('RTK-031: the check is told who and for which client', async () => {
    const asked: unknown[] = []
    const isSubjectActive = (...args: unknown[]) => {
      asked.push(args)
      return true
    }
    await withWorld({ isSubjectActive }, async (world) => {
      const { body } = await world.signInAndGetTokens({ scope: 'a b' }, {}, { as: 'bob' })
      asked.length = 0
      await world.refresh(body.refresh_token)
      expect(asked).toEqual([['bob', { clientId: CONFIDENTIAL.id }]])
    })
  })
})

test('RTK-026: a narrower scope is for this access token only', () =>
  withWorld({}, async (world) => {
    const { body: first } = await world.signInAndGetTokens({ scope: 'a b c' })
    const narrow = await world.refresh(first.refresh_token, { scope: 'a' })
    expect(narrow.body.scope).toBe('a')
    expect(claimsOf(narrow.body.access_token).scope).toBe('a')
    expect((await world.call('/api/ab', narrow.body.access_token)).status).toBe(403)
    const whole = await world.refresh(narrow.body.refresh_token)
    expect(whole.body.scope).toBe('a b c')
    const twice = await world.refresh(whole.body.refresh_token, { scope: 'b a b' })
    expect(twice.body.scope.split(' ').sort()).toEqual(['a', 'b'])
  }))

test.each(['a x', 'd', 'a  b', 'A', 'a\u00e9', 'a"'])(
  'RTK-026: a scope that was not granted is refused, and consumes nothing: %j',
  (scope) =>
    withWorld({}, async (world) => {
      const { body: first } = await world.signInAndGetTokens({ scope: 'a b' })
      expectRefused(await world.refresh(first.refresh_token, { scope }), 'invalid_scope')
      world.clock.advance(11)
      expect((await world.refresh(first.refresh_token)).body.scope).toBe('a b')
    }),
)

test('a user who allowed less than was asked for: a refresh never has more', () =>
  withWorld({}, async (world) => {
    const { body } = await world.signInAndGetTokens({ scope: 'a b c' }, {}, { scopes: ['a'] })
    expect(body.scope).toBe('a')
    expectRefused(await world.refresh(body.refresh_token, { scope: 'a b' }), 'invalid_scope')
    await expectDead(world, { access: ['not.a.token'] })
    expect((await world.refresh(body.refresh_token)).body.scope).toBe('a')
  }))

test('RTK-028: a scope taken out of the only resource: refused without rotating, and fine when it is back', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const withScopes = (scopes: string[]) => (base: string) => ({ resources: { [`${base}/api`]: { scopes } } })
  const bare = { stores, clock, routes: false } as const
  const before = await startWorld({ ...bare, aat: withScopes(['a', 'b']) })
  const { body } = await before.signInAndGetTokens({ scope: 'a' })
  const { issuer } = before
  const at = (scopes: string[]) => startWorld({ ...bare, issuer, aat: () => withScopes(scopes)(issuer) })
  const without = await at(['b'])
  expectRefused(await without.refresh(body.refresh_token), 'invalid_scope')
  clock.advance(60)
  const again = await at(['a', 'b'])
  expect((await again.refresh(body.refresh_token)).status).toBe(200)
  for (const world of [before, without, again]) await world.close()
})
