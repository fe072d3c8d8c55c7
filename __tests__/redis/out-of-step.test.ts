import { expect, test } from '@jest/globals'
import { proxiedStores, runsOf, startRedisWorld, toldBy } from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { claimsOf } from '../support/world.ts'
import { FAULTS, provokeCrossTalk } from './cross-talk.ts'

test.each(FAULTS)('%s: no request is ever given the answer of another one', async (fault) => {
  const world = await startRedisWorld({ redis: { deadline: 200 } })
  const names = ['alice', 'bob']
  const tokens = await Promise.all(
    names.map(async (as) => (await world.signInAndGetTokens({}, {}, { as })).body.refresh_token as string),
  )
  for (let round = 0; round < 3; round++) {
    const hit = world.proxy.next(runsOf('refresh'), fault)
    const answers = await Promise.all(tokens.map((token) => world.refresh(token)))
    await hit
    answers.forEach(({ status, body }, index) => {
      expect([200, 503]).toContain(status)
      if (status !== 200) return
      expect(claimsOf(body.access_token).sub).toBe(names[index])
      tokens[index] = body.refresh_token
    })
    // What was out of step is over with the connection: both go on with the same families.
    const after = await Promise.all(
      tokens.map((token) =>
        until('it answers again', async () => {
          const answer = await world.refresh(token)
          expect([200, 503]).toContain(answer.status)
          return answer.status === 200 && answer.body
        }),
      ),
    )
    after.forEach((body, index) => {
      expect(claimsOf(body.access_token).sub).toBe(names[index])
      tokens[index] = body.refresh_token
    })
  }
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  for (const token of tokens) expect(toldBy(world)).not.toContain(token)
})

test.each(FAULTS)('%s with WAIT behind the writes: neither', async (fault) => {
  const { stores, proxy } = await proxiedStores({ redis: { deadline: 200, replicas: 1 } })
  // There is no replica: a write that is executed is not one that counts.
  const revoke = (id: string) =>
    stores.revocations.append({ kind: 'jti', id, until: Date.now() / 1000 + 60 }).then(
      () => 'written',
      (error: Error) => error.message,
    )
  await revoke('warm')
  void proxy.next(runsOf('append-revocation'), fault)
  const answers = await Promise.all([
    revoke('a'),
    revoke('b'),
    stores.clients.read('x').catch(() => undefined),
  ])
  expect(answers).not.toContain('written')
  expect(answers[2]).toBe(undefined)
  await until('it is in step again', async () => /^0 of 1 replicas/.test(await revoke('c')))
})

test('FLT-008: commands that are given up at random moments under load (scaled: 3,000): every reply belongs to its request', async () => {
  const { right, wrong, unavailable } = await provokeCrossTalk({
    commands: 3000,
    seconds: 30,
    lanes: 40,
    faults: 30,
  })
  expect(wrong).toBe(0)
  expect(right).toBeGreaterThan(300)
  expect(unavailable).toBeGreaterThan(10)
})
