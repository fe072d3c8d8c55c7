import { afterEach, describe, expect, test } from '@jest/globals'
import type { Stores } from '../../lib/index.ts'
import { expectRefused } from '../refresh-tokens/instances.ts'
import { closeAll, type Instance, losingLog, site, startInstance } from '../revocation-log/instances.ts'
import { makeSharedStores } from '../support/stores.ts'
import {
  Browser,
  manualClock,
  REDIRECT_URI,
  startWorld,
  type TokenAnswer,
  type World,
  type WorldOptions,
} from '../support/world.ts'
import { bound, IDP, learn, sessionOf, signedIn } from './sessions.ts'

const ONE = { issuer: IDP, sid: 'one' }
const worlds: World[] = []
const instances: Instance[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close()
  await closeAll(...instances.splice(0))
})

/** A store verb whose answers wait, once they are there, until they are let go. */
function held(stores: Stores, verb: 'refresh' | 'redeemCode') {
  let open: (() => void) | undefined
  let gate: Promise<void> = Promise.resolve()
  const held = {
    waiting: 0,
    stores: {
      ...stores,
      grants: {
        ...stores.grants,
        // biome-ignore lint/suspicious/noExplicitAny: two verbs of different types
        async [verb](request: any) {
          const answer = await stores.grants[verb](request)
          held.waiting++
          await gate
          return answer
        },
      },
    } as Stores,
    hold() {
      held.waiting = 0
      gate = new Promise((resolve) => (open = resolve))
    },
    letGo: () => open?.(),
  }
  return held
}

/** Instances behind one name, whose refreshes or redemptions can be held. */
async function start(count: number, verb: 'refresh' | 'redeemCode' = 'refresh', options: WorldOptions = {}) {
  const clock = manualClock()
  const storesOf = await makeSharedStores(clock)
  const gates: ReturnType<typeof held>[] = []
  const mine: World[] = []
  for (let index = 0; index < count; index++) {
    const gate = held(storesOf(), verb)
    const world = await startWorld({
      aat: bound(),
      clock,
      stores: gate.stores,
      ...(mine[0] !== undefined && { issuer: mine[0].issuer }),
      ...options,
    })
    gates.push(gate)
    mine.push(world)
    worlds.push(world)
  }
  return {
    clock,
    all: mine,
    first: mine[0] as World,
    last: mine.at(-1) as World,
    hold: () => gates.forEach((gate) => void gate.hold()),
    letGo: () => gates.forEach((gate) => void gate.letGo()),
    /** So many answers of the store are on their way. */
    async reached(requests: number) {
      while (gates.reduce((sum, { waiting }) => sum + waiting, 0) < requests)
        await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

async function tokensIn(world: World, sid: string, seconds: number, browser = new Browser(world.base)) {
  signedIn(world, sessionOf(world, sid, seconds, 'idp-alice'))
  return (await world.signInAndGetTokens({ scope: 'a' }, {}, { browser })).body
}

/** No token of these answers is good for anything, at any of the instances. */
async function expectNothingAlive(all: World[], answers: Pick<TokenAnswer, 'body'>[]): Promise<void> {
  await learn(...all)
  for (const world of all)
    for (const { body } of answers) {
      if (body?.access_token === undefined) continue
      expect((await world.call('/api/a', body.access_token)).status).toBe(401)
      expectRefused(await world.refresh(body.refresh_token), 'invalid_grant')
    }
  expect((await (all[0] as World).aat.grants.list({ idpSession: ONE })).grants).toEqual([])
}

describe.each([1, 3])('%d instances', (count) => {
  test('EXP-010: ended at one, over at all, tokens of every family and generation', async () => {
    const { all, first, last } = await start(count)
    const browser = new Browser(first.base)
    const answers: TokenAnswer[] = []
    for (const world of all) {
      const body = await tokensIn(first, 'one', 400, browser)
      answers.push({ body } as TokenAnswer, await world.refresh(body.refresh_token))
    }
    const other = await tokensIn(first, 'another', 400, browser)
    await last.aat.idpSessions.end(ONE)
    await expectNothingAlive(all, answers)
    for (const world of all) expect((await world.call('/api/a', other.access_token)).status).toBe(200)
    expect((await last.refresh(other.refresh_token)).status).toBe(200)
  })

  test.each([
    ['the session', ONE],
    ['all sessions of the user', { issuer: IDP, subject: 'idp-alice' }],
  ])('%s ends while refreshes are on their way everywhere: in the end nothing lives', async (_, target) => {
    const { all, first, last, hold, letGo, reached, clock } = await start(count)
    const browser = new Browser(first.base)
    const shared = await tokensIn(first, 'one', 400, browser)
    const own: (typeof shared)[] = []
    for (const _world of all) own.push(await tokensIn(first, 'one', 400, browser))
    clock.advance(1)
    hold()
    const refreshes = all.flatMap((world, index) => [
      world.refresh(shared.refresh_token),
      world.refresh(own[index].refresh_token),
    ])
    await reached(2 * count)
    await last.aat.idpSessions.end(target)
    letGo()
    const answers = await Promise.all(refreshes)
    // Where the end is known already nothing was answered.
    expectRefused(answers.at(-1) as TokenAnswer, 'invalid_grant')
    await expectNothingAlive(all, [...answers, ...[shared, ...own].map((body) => ({ body }))])
  })

  test('the session is prolonged, or cut, while a refresh is on its way: the answer tells the end that holds', async () => {
    for (const seconds of [900, 20]) {
      const { first, last, hold, letGo, reached, clock } = await start(count)
      const tokens = await tokensIn(first, 'one', 400)
      hold()
      const refreshing = first.refresh(tokens.refresh_token)
      await reached(1)
      await last.aat.idpSessions.update({ ...ONE, expiresAt: clock.now + seconds })
      await learn(first)
      letGo()
      const { body } = await refreshing
      expect(body).toMatchObject({
        refresh_token_expires_in: seconds,
        expires_in: Math.min(300, seconds),
      })
      hold()
      letGo()
      clock.advance(seconds - 1)
      await learn(last)
      const { body: next } = await last.refresh(body.refresh_token)
      expect(next).toMatchObject({ refresh_token_expires_in: 1, expires_in: 1 })
      clock.advance(1)
      await expectNothingAlive([first, last], [{ body: next }])
    }
  })

  test('the session ends while its code is being redeemed: the tokens are good for nothing', async () => {
    const { all, first, last, hold, letGo, reached } = await start(count, 'redeemCode')
    signedIn(first, sessionOf(first, 'one', 400, 'idp-alice'))
    const { code, verifier } = await first.authorize({ scope: 'a' })
    hold()
    const redeeming = first.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
    await reached(1)
    await last.aat.idpSessions.end(ONE)
    letGo()
    const answer = await redeeming
    if (count === 1) expectRefused(answer, 'invalid_grant')
    await expectNothingAlive(all, [answer])
  })
})

describe('an instance that was not told yet', () => {
  /** Instances whose log brings no hints, and is read when they are told to. */
  async function untold(count: number, stores?: Stores) {
    const place = site()
    for (let index = 0; index < count; index++)
      instances.push(await startInstance(place, bound(), stores === undefined ? {} : { stores }))
    return { clock: place.clock, one: instances[0] as Instance, two: instances[1] as Instance }
  }

  test('a session that ended at another: what it issues until then is over when it reads', async () => {
    const { one, two } = await untold(2)
    const tokens = await tokensIn(one, 'one', 400)
    await one.aat.idpSessions.end(ONE)
    const late = await two.refresh(tokens.refresh_token)
    expect(late.status).toBe(200)
    const signInLate = { body: await tokensIn(two, 'one', 400) }
    expect((await two.call('/api/a', late.body.access_token)).status).toBe(200)
    await two.tick()
    await expectNothingAlive([one, two], [late, signInLate, { body: tokens }])
  })

  test('all sessions of a user that ended at another: a sign-in of before gives no family that lives', async () => {
    const { one, two, clock } = await untold(2)
    const browser = new Browser(two.base)
    await tokensIn(two, 'one', 400, browser)
    clock.advance(5)
    await one.aat.idpSessions.end({ issuer: IDP, subject: 'idp-alice' })
    clock.advance(1)
    const late = await tokensIn(two, 'one', 400, browser)
    expect(late.refresh_token_expires_in).toBe(400)
    await two.tick()
    expectRefused(await two.refresh(late.refresh_token), 'invalid_grant')
    expectRefused(await one.refresh(late.refresh_token), 'invalid_grant')
    await browser.get(`${two.base}/sign-in?as=alice&return_to=/`)
    const anew = await tokensIn(two, 'two', 400, browser)
    expect((await one.refresh(anew.refresh_token)).status).toBe(200)
  })

  test('a session that was prolonged at another when the family was over: it looks before it refuses', async () => {
    const { one, two, clock } = await untold(2)
    const tokens = await tokensIn(one, 'one', 40)
    signedIn(one, sessionOf(one, 'late', 40))
    const { code, verifier } = await one.authorize({ scope: 'a' })
    clock.advance(50)
    await one.aat.idpSessions.update({ ...ONE, expiresAt: clock.now + 100 })
    await one.aat.idpSessions.update({ issuer: IDP, sid: 'late', expiresAt: clock.now + 100 })
    const reads = two.line.reads
    const { body } = await two.refresh(tokens.refresh_token)
    expect(body).toMatchObject({ refresh_token_expires_in: 100, expires_in: 100 })
    expect(two.line.reads).toBe(reads + 1)
    const redeemed = await two.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
    expect(redeemed.body).toMatchObject({ refresh_token_expires_in: 100 })
  })

  test('and where it cannot look, the family is over by what is known, and nothing is lost', async () => {
    const { one, two, clock } = await untold(2)
    const tokens = await tokensIn(one, 'one', 40)
    clock.advance(50)
    await one.aat.idpSessions.update({ ...ONE, expiresAt: clock.now + 100 })
    two.line.isCut = true
    expectRefused(await two.refresh(tokens.refresh_token), 'invalid_grant')
    two.line.isCut = false
    expect((await two.refresh(tokens.refresh_token)).body.refresh_token_expires_in).toBe(100)
  })

  test('an update that overtakes the end changes nothing', async () => {
    const { one, two, clock } = await untold(2)
    const tokens = await tokensIn(one, 'one', 40)
    await one.aat.idpSessions.end(ONE)
    clock.advance(1)
    await two.aat.idpSessions.update({ ...ONE, expiresAt: clock.now + 1000 })
    await one.tick()
    await two.tick()
    await expectNothingAlive([one, two], [{ body: tokens }])
  })

  test('updates at once on two instances: both come to the same', async () => {
    const { one, two, clock } = await untold(2)
    const [tokens, more] = [await tokensIn(one, 'one', 40), await tokensIn(one, 'one', 40)]
    await one.aat.idpSessions.update({ ...ONE, expiresAt: clock.now + 1000 })
    await two.aat.idpSessions.update({ ...ONE, expiresAt: clock.now + 500 })
    await one.tick()
    await two.tick()
    const lives = async (world: World, token: string) =>
      (await world.refresh(token)).body.refresh_token_expires_in
    expect(await lives(one, tokens.refresh_token)).toBe(await lives(two, more.refresh_token))
  })
})

describe('a log that was rolled back', () => {
  test('ends and updates of sessions are written again, and hold for who starts now', async () => {
    let log: ReturnType<typeof losingLog> | undefined
    const place = site((clock) => {
      log = losingLog(clock)
      return log
    })
    const one = await startInstance(place, bound())
    instances.push(one)
    const ended = await tokensIn(one, 'one', 400)
    const cut = await tokensIn(one, 'two', 400)
    await one.aat.idpSessions.update({ ...ONE, expiresAt: place.clock.now + 300 })
    await one.aat.idpSessions.end(ONE)
    await one.aat.idpSessions.update({ issuer: IDP, sid: 'two', expiresAt: place.clock.now + 50 })
    await one.tick()
    log?.keepOnly(1)
    const two = await startInstance(place, bound())
    instances.push(two)
    await one.tick()
    await two.tick()
    expect(one.eventsNamed('revocation.rolled_back')).toMatchObject([{ added: 2 }])
    expect((await two.call('/api/a', ended.access_token)).status).toBe(401)
    expectRefused(await two.refresh(ended.refresh_token), 'invalid_grant')
    expect((await two.refresh(cut.refresh_token)).body.refresh_token_expires_in).toBe(50)
  })
})

test('a deployment that binds, or no longer does: each instance by its own configuration', async () => {
  const clock = manualClock()
  const storesOf = await makeSharedStores(clock)
  const free = await startWorld({ aat: bound({ boundToIdpSession: false }), clock, stores: storesOf() })
  const binding = await startWorld({ aat: bound(), clock, stores: storesOf(), issuer: free.issuer })
  worlds.push(free, binding)
  const tokens = await tokensIn(free, 'one', 60)
  expect(tokens.refresh_token_expires_in).toBe(100)
  clock.advance(20)
  const second = (await binding.refresh(tokens.refresh_token)).body
  expect(second).toMatchObject({ refresh_token_expires_in: 40, expires_in: 40 })
  clock.advance(20)
  const third = (await free.refresh(second.refresh_token)).body
  expect(third).toMatchObject({ refresh_token_expires_in: 60, expires_in: 300 })
  clock.advance(25)
  expectRefused(await binding.refresh(third.refresh_token), 'invalid_grant')
  expect((await free.refresh(third.refresh_token)).status).toBe(200)
})
