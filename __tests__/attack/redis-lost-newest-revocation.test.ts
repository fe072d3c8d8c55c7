import { afterEach, describe, expect, test } from '@jest/globals'
import { expectRefused } from '../refresh-tokens/instances.ts'
import { type Instance, losingLog, type Site, site, startInstance } from '../revocation-log/instances.ts'
import { claimsOf } from '../support/world.ts'

let open: Instance[] = []
afterEach(async () => {
  for (const instance of open) await instance.close()
  open = []
})

function losingSite() {
  let log: ReturnType<typeof losingLog> | undefined
  const place = site((clock) => {
    log = losingLog(clock)
    return log
  })
  return { place, log: log as unknown as ReturnType<typeof losingLog> }
}

async function start(place: Site, stores = place.stores): Promise<Instance> {
  const instance = await startInstance(place, {}, { stores })
  open.push(instance)
  return instance
}

async function tickAll(): Promise<void> {
  for (let round = 0; round < 3; round++) for (const instance of open) await instance.tick()
}

describe('a revocation that nobody has read back yet when the store loses it', () => {
  test.each([0, 1])(
    'the instance that wrote it writes it again (%i entries were there before)',
    async (before) => {
      const { place, log } = losingSite()
      const one = await start(place)
      const two = await start(place)
      const { body } = await one.signInAndGetTokens({ scope: 'a' })
      if (before === 1) await one.aat.revoke({ jti: 'earlier' })
      await tickAll()
      await one.aat.revoke({ jti: String(claimsOf(body.access_token).jti) })
      log.keepOnly(before)
      await tickAll()
      expect(log.length()).toBe(before + 1)
      expect((await two.call('/api/a', body.access_token)).status).toBe(401)
      expect(one.eventsNamed('revocation.rolled_back')).toMatchObject([{ added: 1 }])
      await tickAll()
      expect(log.length()).toBe(before + 1)
    },
  )

  test('another entry has taken its revision since', async () => {
    const { place, log } = losingSite()
    const one = await start(place)
    const two = await start(place)
    const { body } = await one.signInAndGetTokens({ scope: 'a' })
    await one.aat.revoke({ grantId: String(claimsOf(body.access_token).grant_id) })
    log.keepOnly(0)
    await two.aat.revoke({ jti: 'of-two' })
    await tickAll()
    expect(log.length()).toBe(2)
    expect((await two.call('/api/a', body.access_token)).status).toBe(401)
  })

  test('nothing is written twice where nothing was lost', async () => {
    const { place, log } = losingSite()
    const one = await start(place)
    const two = await start(place)
    await Promise.all([
      one.aat.revoke({ subject: 'alice' }),
      one.tick(),
      one.aat.revoke({ subject: 'alice' }),
      one.aat.revoke({ jti: 'x' }),
      two.aat.revoke({ jti: 'y' }),
    ])
    await tickAll()
    expect(log.length()).toBe(4)
    for (const instance of open) expect(instance.eventsNamed('revocation.rolled_back')).toEqual([])
  })
})

test('the shard of a family lost its end, that of the log lost nothing: no refresh once the entry is forgotten', async () => {
  const { place } = losingSite()
  const { grants } = place.stores
  const ends: string[] = []
  // The first end is acknowledged, and gone with the failover.
  const stores = {
    ...place.stores,
    grants: {
      ...grants,
      async end(grantId: string, reason: Parameters<typeof grants.end>[1]) {
        ends.push(grantId)
        if (ends.length > 1) return grants.end(grantId, reason)
        const grant = (await grants.readFamily(grantId))?.grant
        return grant === undefined
          ? ({ outcome: 'unknown' } as const)
          : ({ outcome: 'ended', grant } as const)
      },
    },
  }
  const one = await start(place, stores)
  const { body } = await one.signInAndGetTokens({ scope: 'a' })
  await one.aat.revoke({ grantId: String(claimsOf(body.access_token).grant_id) })
  for (let second = 0; second < 400; second++) {
    place.clock.advance(1)
    one.monotonic.advance(1)
    await one.tick()
  }
  expectRefused(await one.refresh(body.refresh_token), 'invalid_grant')
})
