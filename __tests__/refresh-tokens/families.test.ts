import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { BEGINNING } from '../../lib/stores/ports.ts'
import {
  Browser,
  basic,
  CONFIDENTIAL,
  claimsOf,
  REDIRECT_URI,
  startWorld,
  type TokenAnswer,
  type World,
} from '../support/world.ts'
import { expectDead, expectRefused, refreshTokens, startInstances, withWorld } from './instances.ts'

let world: World
beforeEach(async () => {
  world = await startWorld()
})
afterEach(() => world.close())

const grantIdOf = ({ body }: Pick<TokenAnswer, 'body'>) => claimsOf(body.access_token).grant_id as string

/** Families of one user, opened a second after the other. */
async function openMany(count: number, as = 'alice', parameters: Record<string, string> = {}) {
  const browser = new Browser(world.base)
  const families: TokenAnswer[] = []
  for (let index = 0; index < count; index++) {
    world.clock.advance(1)
    const { code, verifier } = await world.authorize({ scope: 'a b', ...parameters }, { browser, as })
    families.push(
      await world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
        ...parameters,
      }),
    )
  }
  return families
}

async function expectAlive(family: TokenAnswer, parameters: Record<string, string> = {}): Promise<void> {
  expect((await world.call('/api/a', family.body.access_token)).status).toBe(200)
  const refreshed = await world.refresh(family.body.refresh_token, parameters)
  expect(refreshed.status).toBe(200)
}

describe('aat.grants.list', () => {
  test('RTK-034: a user’s families; revoking one of three leaves the others', async () => {
    const [one, two, three] = (await openMany(3)) as [TokenAnswer, TokenAnswer, TokenAnswer]
    await openMany(1, 'bob')
    const { grants, cursor } = await world.aat.grants.list({ subject: 'alice' })
    expect(cursor).toBeUndefined()
    expect(grants).toEqual(
      [one, two, three].map((family, index) => ({
        grantId: grantIdOf(family),
        clientId: CONFIDENTIAL.id,
        subject: 'alice',
        scope: ['a', 'b'],
        resources: [world.resource],
        openedAt: world.clock.now - 3 + index,
        lastUsedAt: world.clock.now - 3 + index,
      })),
    )
    await world.aat.revoke({ grantId: grantIdOf(two) })
    await expectDead(world, { refresh: [two.body.refresh_token], access: [two.body.access_token] })
    await expectAlive(one)
    await expectAlive(three)
    const left = await world.aat.grants.list({ subject: 'alice' })
    expect(left.grants.map(({ grantId }) => grantId)).toEqual([grantIdOf(one), grantIdOf(three)])
    expect(left.grants[0]?.lastUsedAt).toBe(world.clock.now)
  })

  test('RTK-034: in pages, of which one family is revoked while somebody reads', async () => {
    const ids = (await openMany(5)).map(grantIdOf)
    const first = await world.aat.grants.list({ subject: 'alice', limit: 2 })
    expect(first.grants.map(({ grantId }) => grantId)).toEqual(ids.slice(0, 2))
    await world.aat.revoke({ grantId: ids[1] as string })
    const second = await world.aat.grants.list({ subject: 'alice', limit: 2, cursor: first.cursor as string })
    expect(second.grants.map(({ grantId }) => grantId)).toEqual(ids.slice(2, 4))
    const third = await world.aat.grants.list({ subject: 'alice', limit: 2, cursor: second.cursor as string })
    expect(third).toEqual({ grants: [expect.objectContaining({ grantId: ids[4] })], cursor: undefined })
  })

  test('it tells no token and no hash of one', async () => {
    const [family] = (await openMany(1)) as [TokenAnswer]
    const text = JSON.stringify(await world.aat.grants.list({ clientId: CONFIDENTIAL.id }))
    expect(text).toContain(grantIdOf(family))
    expect(text).not.toContain('aat_')
    expect(text).not.toMatch(/hash/i)
  })
})

describe('aat.revoke', () => {
  test('one access token by jti: its family and its siblings live', async () => {
    const [family] = (await openMany(1)) as [TokenAnswer]
    const refreshed = await world.refresh(family.body.refresh_token)
    await world.aat.revoke({ jti: claimsOf(family.body.access_token).jti as string })
    await expectDead(world, { access: [family.body.access_token] })
    await expectAlive(refreshed)
  })

  test('a subject: everything that was granted up to now, nothing later, nobody else’s', async () => {
    const families = await openMany(3)
    const [bobs] = (await openMany(1, 'bob')) as [TokenAnswer]
    const refreshed = await world.refresh(families[0]?.body.refresh_token)
    const pending = await world.authorize({ scope: 'a' })
    await world.aat.revoke({ subject: 'alice' })
    await expectDead(world, {
      refresh: [refreshed, ...families].map(({ body }) => body.refresh_token),
      access: [refreshed, ...families].map(({ body }) => body.access_token),
    })
    const redemption = {
      grant_type: 'authorization_code',
      code: pending.code,
      code_verifier: pending.verifier,
    }
    expectRefused(await world.token({ ...redemption, redirect_uri: REDIRECT_URI }), 'invalid_grant')
    await expectAlive(bobs)
    world.clock.advance(1)
    await expectAlive(await world.signInAndGetTokens({ scope: 'a b' }))
  })

  test('a subject: a code of before is refused for as long as it lives, however short access tokens live', () =>
    withWorld(
      (base) => ({
        codeLifetime: 600,
        resources: {
          [`${base}/api`]: { scopes: ['a', 'b'], accessTokenLifetime: 5 },
          [`${base}/other`]: { scopes: ['x'], accessTokenLifetime: 5 },
        },
      }),
      async (short) => {
        const { code, verifier } = await short.authorize({ scope: 'a' })
        await short.aat.revoke({ subject: 'alice' })
        short.clock.advance(599)
        const answer = await short.token({
          grant_type: 'authorization_code',
          code,
          code_verifier: verifier,
          redirect_uri: REDIRECT_URI,
        })
        expectRefused(answer, 'invalid_grant')
      },
    ))

  test('a client: all that it holds, its own tokens too; the client itself stays', async () => {
    const mine = await openMany(2)
    const [others] = (await openMany(1, 'alice', { client_id: 'public' })) as [TokenAnswer]
    const own = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    expect((await world.call('/api/a', own.body.access_token)).status).toBe(200)
    await world.aat.revoke({ clientId: CONFIDENTIAL.id })
    await expectDead(world, {
      refresh: mine.map(({ body }) => body.refresh_token),
      access: [...mine, own].map(({ body }) => body.access_token),
    })
    await expectAlive(others, { client_id: 'public' })
    world.clock.advance(1)
    const again = await world.token({ grant_type: 'client_credentials', scope: 'a' })
    expect((await world.call('/api/a', again.body.access_token)).status).toBe(200)
    expect((await world.aat.clients.get(CONFIDENTIAL.id))?.clientId).toBe(CONFIDENTIAL.id)
  })

  test('a grant whose code was not redeemed yet: the code is worth nothing', async () => {
    const { code, verifier } = await world.authorize({ scope: 'a' })
    const [granted] = world.eventsNamed('authorization.granted') as unknown as { grantId: string }[]
    await world.aat.revoke({ grantId: granted?.grantId as string })
    const answer = await world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
    expectRefused(answer, 'invalid_grant')
  })

  test.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['an empty object', {}],
    ['a text', 'alice'],
    ['two targets', { subject: 'alice', clientId: CONFIDENTIAL.id }],
    ['an undefined target', { subject: undefined }],
    ['an empty target', { subject: '' }],
    ['a number', { jti: 1 }],
    ['a wrong name', { subjects: 'alice' }],
    ['an array', ['alice']],
  ])('%s is a TypeError and revokes nothing', async (_, target) => {
    const [family] = (await openMany(1)) as [TokenAnswer]
    await expect(world.aat.revoke(target as never)).rejects.toThrow(TypeError)
    expect(world.eventsNamed('revocation.recorded')).toEqual([])
    await expectAlive(family)
  })

  test('unknown ids are no error: what is not there is revoked already', async () => {
    for (const target of [{ grantId: 'x' }, { jti: 'x' }, { subject: 'nobody' }, { clientId: 'nobody' }])
      await expect(world.aat.revoke(target)).resolves.toBeUndefined()
  })

  test('twice is as good as once', async () => {
    const [family] = (await openMany(1)) as [TokenAnswer]
    await world.aat.revoke({ grantId: grantIdOf(family) })
    await world.aat.revoke({ grantId: grantIdOf(family) })
    await expectDead(world, { refresh: [family.body.refresh_token], access: [family.body.access_token] })
  })

  test('REV-016: 2,000 (of 100,000) families of one client: one epoch in the log, effective on every instance', async () => {
    const server = await startInstances(2)
    const [one, two] = server.worlds as unknown as [World, World]
    const { body } = await one.signInAndGetTokens({ scope: 'a' })
    const template = (await server.stores.grants.listFamilies({ subject: 'alice' })).families[0]
    if (template === undefined) throw new Error('there is no family')
    for (let index = 0; index < 2000; index++) {
      const id = Buffer.from(`family-${String(index).padStart(9, '0')}`).toString('base64url')
      const grant = { ...template.grant, id, subject: `user-${index}` }
      const { tokenHash: hash } = template
      await server.stores.grants.issueCode({
        grant,
        codeHash: hash,
        redirectUri: REDIRECT_URI,
        redirectUriRequired: false,
        codeChallenge: 'c',
        expiresAt: server.clock.now + 60,
      })
      await server.stores.grants.redeemCode({
        grantId: id,
        codeHash: hash,
        nonce: id,
        clientId: grant.clientId,
        challenge: 'c',
        obtainable: new Map(grant.resources.map((resource) => [resource, new Set(grant.scope)])),
        policy: { issuance: 'rotate', lifetime: 1000 },
        family: { token: { hash, keyId: 'k' }, lineage: hash },
      })
    }
    const before = (await server.stores.revocations.since(BEGINNING)).place.revision
    await one.aat.revoke({ clientId: CONFIDENTIAL.id })
    expect((await server.stores.revocations.since(BEGINNING)).place.revision).toBe(before + 1)
    for (const world of [one, two])
      await expectDead(world, { access: [body.access_token], refresh: [body.refresh_token] })
    expect((await one.aat.grants.list({ clientId: CONFIDENTIAL.id })).grants).toEqual([])
    await server.close()
  })
})

test('RTK-035: a dead family is remembered until its last token would have ended', async () => {
  const aat = refreshTokens({ issuance: 'rotate-and-reset', lifetime: 100 })
  const server = await startInstances(1, { aat })
  const [short] = server.worlds
  const { body: first } = await short.signInAndGetTokens({ scope: 'a' })
  const openedAt = short.clock.now
  short.clock.now = openedAt + 90
  const { body: second } = await short.refresh(first.refresh_token)
  short.clock.now = openedAt + 101
  expectRefused(await short.refresh(first.refresh_token), 'invalid_grant')
  short.clock.now = openedAt + 189
  for (const { refresh_token: token } of [first, second])
    expectRefused(await short.refresh(token), 'invalid_grant')
  expect(short.eventsNamed('refresh_token.reused')).toHaveLength(1)
  // The tombstone said so, not absence.
  expect((await server.stores.grants.readFamily(grantIdOf({ body: first })))?.ended).toBe('reused')
  await server.close()
})

test('the write of the log fails after the family has ended: 503, and the next try finishes it', async () => {
  const server = await startInstances(1)
  let fail = false
  const revocations = {
    ...server.stores.revocations,
    append: async (entry: Parameters<typeof server.stores.revocations.append>[0]) => {
      if (fail) throw Object.assign(new Error('no connection'), { name: 'StoreUnavailable' })
      return server.stores.revocations.append(entry)
    },
  }
  const flaky = await startWorld({
    stores: { ...server.stores, revocations },
    clock: server.clock,
    issuer: server.worlds[0].issuer,
  })
  const { body } = await flaky.signInAndGetTokens({ scope: 'a' })
  fail = true
  const revoke = () =>
    flaky.post(
      flaky.endpoint('revoke'),
      { token: body.refresh_token },
      basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
    )
  expect((await revoke()).status).toBeGreaterThanOrEqual(500)
  fail = false
  // Its client refreshes before anybody repeats the revocation: the ended family is seen, and its access tokens follow.
  expectRefused(await flaky.refresh(body.refresh_token), 'invalid_grant')
  expect((await flaky.call('/api/a', body.access_token)).status).toBe(401)
  expect((await revoke()).status).toBe(200)
  await flaky.close()
  await server.close()
})
