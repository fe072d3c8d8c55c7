import { afterEach, describe, expect, test } from '@jest/globals'
import type { Stores } from '../../lib/index.ts'
import type { GrantStore } from '../../lib/stores/ports.ts'
import { expectRefused } from '../refresh-tokens/instances.ts'
import { claimsOf } from '../support/world.ts'
import { closeAll, type Instance, losingLog, type Site, site, startInstance } from './instances.ts'

let open: Instance[] = []
afterEach(async () => {
  await closeAll(...open)
  open = []
})

async function start(place: Site, stores?: Stores): Promise<Instance> {
  const instance = await startInstance(place, {}, stores === undefined ? {} : { stores })
  open.push(instance)
  return instance
}

/** A site whose log can lose what was written. */
function losingSite() {
  let log: ReturnType<typeof losingLog> | undefined
  const place = site((clock) => {
    log = losingLog(clock)
    return log
  })
  return { place, log: log as unknown as ReturnType<typeof losingLog> }
}

async function tickAll(rounds = 1): Promise<void> {
  for (let round = 0; round < rounds; round++) for (const instance of open) await instance.tick()
}

const grantOf = (body: { access_token: string }) => String(claimsOf(body.access_token).grant_id)

describe('the log in the store lost acknowledged entries', () => {
  test('whoever knows them writes them again, says so once, and every other instance refuses the tokens', async () => {
    const { place, log } = losingSite()
    const one = await start(place)
    const tokens = []
    for (let index = 0; index < 3; index++) tokens.push((await one.signInAndGetTokens({ scope: 'a' })).body)
    const bob = (await one.signInAndGetTokens({ scope: 'a' }, {}, { as: 'bob' })).body
    await one.aat.revoke({ jti: String(claimsOf(tokens[0].access_token).jti) })
    await one.aat.revoke({ grantId: grantOf(tokens[1]) })
    await one.aat.revoke({ subject: 'bob' })
    await tickAll()
    const before = log.ids()
    log.keepOnly(1)
    const two = await start(place)
    expect((await two.call('/api/a', bob.access_token)).status).toBe(200)
    await tickAll(2)
    expect(log.ids().sort()).toEqual(before.sort())
    expect(one.eventsNamed('revocation.rolled_back')).toMatchObject([{ from: 3, to: 1, added: 2 }])
    expect(two.eventsNamed('revocation.rolled_back')).toEqual([])
    for (const instance of [one, two]) {
      for (const { access_token: token } of [tokens[0], tokens[1], bob])
        expect((await instance.call('/api/a', token)).status).toBe(401)
      expect((await instance.call('/api/a', tokens[2].access_token)).status).toBe(200)
      expectRefused(await instance.refresh(bob.refresh_token), 'invalid_grant')
    }
  })

  test('everything was lost (FLUSHALL): everything that still matters is written again, and nothing else', async () => {
    const { place, log } = losingSite()
    const one = await start(place)
    await one.aat.revoke({ jti: 'soon-over' })
    place.clock.advance(300)
    await one.aat.revoke({ jti: 'matters' })
    await one.aat.revoke({ clientId: 'a-client' })
    await tickAll()
    place.clock.advance(100)
    log.keepOnly(0)
    await tickAll(3)
    expect(log.ids().sort()).toEqual(['client:a-client', 'jti:matters'])
    expect(one.eventsNamed('revocation.rolled_back')).toMatchObject([{ from: 3, to: 0, added: 2 }])
  })

  test('it has grown beyond the known revision since: the tip tells, and both histories are joined', async () => {
    const { place, log } = losingSite()
    const one = await start(place)
    const { body } = await one.signInAndGetTokens({ scope: 'a' })
    await one.aat.revoke({ jti: 'lost' })
    await tickAll()
    log.keepOnly(0)
    const two = await start(place)
    for (const jti of ['new-1', 'new-2']) await two.aat.revoke({ jti })
    await two.aat.revoke({ grantId: grantOf(body) })
    expect((await one.call('/api/a', body.access_token)).status).toBe(200)
    await tickAll(3)
    expect(log.ids().sort()).toEqual(['jti:new-1', 'jti:new-2', 'jti:lost', `grant:${grantOf(body)}`].sort())
    expect((await one.call('/api/a', body.access_token)).status).toBe(401)
    expect(one.eventsNamed('revocation.rolled_back')).toMatchObject([{ added: 1 }])
  })

  test('any number of instances that repair at once come to rest', async () => {
    const { place, log } = losingSite()
    const instances = [await start(place), await start(place), await start(place)]
    for (const [index, instance] of instances.entries()) await instance.aat.revoke({ jti: `jti-${index}` })
    await tickAll()
    log.keepOnly(0)
    await Promise.all(instances.map((instance) => instance.tick()))
    await tickAll(2)
    const length = log.length()
    expect(new Set(log.ids())).toEqual(new Set(['jti:jti-0', 'jti:jti-1', 'jti:jti-2']))
    expect(length).toBeLessThanOrEqual(9)
    await tickAll(5)
    expect(log.length()).toBe(length)
  })

  test('an epoch that is there with an earlier moment is written again with the later one', async () => {
    const { place, log } = losingSite()
    const one = await start(place)
    await one.aat.revoke({ subject: 'alice' })
    place.clock.advance(10)
    const { body } = await one.signInAndGetTokens({ scope: 'a' })
    place.clock.advance(10)
    await one.aat.revoke({ subject: 'alice' })
    await tickAll()
    log.keepOnly(1)
    const two = await start(place)
    expect((await two.call('/api/a', body.access_token)).status).toBe(200)
    await tickAll(2)
    expect((await two.call('/api/a', body.access_token)).status).toBe(401)
  })
})

test('a place that was merely trimmed away loses nothing: no event, nothing written', async () => {
  const { place, log } = losingSite()
  const one = await start(place)
  await one.aat.revoke({ jti: 'one' })
  await tickAll()
  log.rewrite()
  await tickAll(2)
  expect(log.ids()).toEqual(['jti:one'])
  expect(one.line.appended).toHaveLength(1)
  expect(one.eventsNamed('revocation.rolled_back')).toEqual([])
  expect(one.aat.health().revocations.fresh).toBe(true)
})

test('a repair that cannot be written is done by a later look; what is known here is all there is meanwhile', async () => {
  const { place, log } = losingSite()
  let isReadOnly = false
  const { append } = log
  log.append = async (entry) => {
    if (isReadOnly && entry.id !== 'one') throw new Error('read only')
    return append(entry)
  }
  const one = await start(place)
  for (const jti of ['one', 'two']) await one.aat.revoke({ jti })
  await tickAll()
  log.keepOnly(0)
  isReadOnly = true
  for (let second = 0; second < 6; second++) {
    one.monotonic.advance(1)
    await one.tick()
  }
  expect(one.aat.health()).toMatchObject({ ready: true, revocations: { fresh: true } })
  expect(one.eventsNamed('revocation.rolled_back')).toHaveLength(1)
  expect(log.ids()).not.toContain('jti:two')
  isReadOnly = false
  await tickAll()
  expect(new Set(log.ids())).toEqual(new Set(['jti:one', 'jti:two']))
  expect(one.aat.health()).toMatchObject({ ready: true, revocations: { fresh: true } })
  expect(one.eventsNamed('revocation.rolled_back')).toHaveLength(1)
})

test('a family that came back to life with the rollback is ended again, for good', async () => {
  const { place, log } = losingSite()
  let isForgetful = true
  const grants: GrantStore = {
    ...place.stores.grants,
    // What was acknowledged, and lost with the failover.
    async end(grantId, reason) {
      const view = await place.stores.grants.readFamily(grantId)
      if (!isForgetful || view === undefined) return place.stores.grants.end(grantId, reason)
      return { outcome: 'ended', grant: view.grant }
    },
  }
  const one = await start(place, { ...place.stores, grants })
  const { body } = await one.signInAndGetTokens({ scope: 'a' })
  await one.aat.revoke({ grantId: grantOf(body) })
  await tickAll()
  isForgetful = false
  log.keepOnly(0)
  expect((await place.stores.grants.readFamily(grantOf(body)))?.ended).toBeUndefined()
  await tickAll()
  expect((await place.stores.grants.readFamily(grantOf(body)))?.ended).toBe('revoked')
  // Long after the entry itself is over.
  place.clock.advance(3600)
  for (const instance of [one, await start(place)])
    expectRefused(await instance.refresh(body.refresh_token), 'invalid_grant')
})
