import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { Browser, claimsOf, type World } from '../support/world.ts'
import { startInstances } from './instances.ts'

type Server = Awaited<ReturnType<typeof startInstances>>
let server: Server
let worlds: readonly [World, World, World]
let browser: Browser
beforeEach(async () => {
  server = await startInstances(3)
  worlds = server.worlds as unknown as typeof worlds
  browser = new Browser(worlds[0].base)
})
afterEach(() => server.close())

/** A new family; the consent of the first time is remembered, so the others are quick. */
const open = async () => (await worlds[0].signInAndGetTokens({ scope: 'a b' }, {}, { browser })).body
const eventsNamed = (name: Parameters<World['eventsNamed']>[0]) =>
  worlds.flatMap((world) => world.eventsNamed(name))

test('RTK-010: of 2 concurrent refreshes on two instances both are answered, with one successor that lives', async () => {
  for (let round = 0; round < 20; round++) {
    const { refresh_token: token } = await open()
    const answers = await Promise.all([worlds[1].refresh(token), worlds[2].refresh(token)])
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    const [one, two] = answers.map(({ body }) => body)
    expect(one.refresh_token).toBe(two.refresh_token)
    expect(one.access_token).not.toBe(two.access_token)
    for (const { access_token: accessToken } of [one, two])
      expect((await worlds[0].call('/api/a', accessToken)).status).toBe(200)
    expect((await worlds[0].refresh(one.refresh_token)).status).toBe(200)
  }
  expect(eventsNamed('token.retried')).toHaveLength(20)
  expect(eventsNamed('refresh_token.reused')).toEqual([])
})

test('RTK-011: 2,000 (of 10,000) concurrent refreshes of one token on three instances: one rotation, one successor', async () => {
  const { refresh_token: token } = await open()
  const successors = new Set<string>()
  const jtis = new Set<unknown>()
  let left = 2000
  async function connection(index: number): Promise<void> {
    while (left-- > 0) {
      const { status, body } = await (worlds[index % 3] as World).refresh(token)
      expect(status).toBe(200)
      successors.add(body.refresh_token)
      jtis.add(claimsOf(body.access_token).jti)
    }
  }
  await Promise.all(Array.from({ length: 24 }, (_, index) => connection(index)))
  expect(successors.size).toBe(1)
  expect(jtis.size).toBe(2000)
  expect(eventsNamed('token.refreshed')).toHaveLength(1)
  expect(eventsNamed('token.retried')).toHaveLength(1999)
  expect((await worlds[0].refresh([...successors][0] as string)).status).toBe(200)
})

test('RTK-013: 100 (of 10,000) rounds of refresh and revoke at once: afterwards no token of the family works', async () => {
  const outcomes = new Set<string>()
  for (let round = 0; round < 100; round++) {
    const first = await open()
    const [one, two, three] = [0, 1, 2].map((shift) => worlds[(round + shift) % 3] as World) as [
      World,
      World,
      World,
    ]
    const revocation = () =>
      round % 2 === 0
        ? one.post(one.endpoint('revoke'), { token: first.refresh_token }, authorization)
        : one.aat
            .revoke({ grantId: claimsOf(first.access_token).grant_id as string })
            .then(() => ({ status: 200 }))
    const refreshing = round % 3 === 0 ? [] : [two.refresh(first.refresh_token)]
    const [revoked, ...answers] = await Promise.all([
      revocation(),
      ...refreshing,
      three.refresh(first.refresh_token),
    ])
    expect(revoked?.status).toBe(200)
    const tokens = [
      first,
      ...answers.flatMap((answer) => ('body' in answer && answer.status === 200 ? [answer.body] : [])),
    ]
    outcomes.add(`${tokens.length - 1} of ${answers.length}`)
    for (const { access_token: accessToken, refresh_token: refreshToken } of tokens) {
      expect((await two.call('/api/a', accessToken)).status).toBe(401)
      expect((await three.refresh(refreshToken)).body.error).toBe('invalid_grant')
    }
  }
  // Else it was no race: sometimes the refresh came first, sometimes the revocation.
  expect(outcomes.size).toBeGreaterThan(1)
})

test('RTK-014: 100 (of 10,000) rounds of a replay beside the refresh of its successor: the family is dead', async () => {
  let refreshed = 0
  for (let round = 0; round < 100; round++) {
    const first = await open()
    const second = (await worlds[0].refresh(first.refresh_token)).body
    server.clock.advance(10)
    const [killer, other] = [worlds[round % 3] as World, worlds[(round + 1) % 3] as World]
    const requests = [() => killer.refresh(first.refresh_token), () => other.refresh(second.refresh_token)]
    const answers = await Promise.all((round % 2 === 0 ? requests : requests.reverse()).map((send) => send()))
    const [replay, refresh] = (round % 2 === 0 ? answers : answers.reverse()) as [
      (typeof answers)[0],
      (typeof answers)[0],
    ]
    expect(replay.body.error).toBe('invalid_grant')
    const tokens = [first, second]
    if (refresh.status === 200) {
      refreshed++
      tokens.push(refresh.body)
    } else expect(refresh.body.error).toBe('invalid_grant')
    for (const { access_token: accessToken, refresh_token: refreshToken } of tokens) {
      expect((await other.call('/api/a', accessToken)).status).toBe(401)
      expect((await killer.refresh(refreshToken)).body.error).toBe('invalid_grant')
    }
  }
  expect(eventsNamed('refresh_token.reused').length).toBe(100)
  // Else it was no race.
  expect(refreshed).toBeGreaterThan(0)
  expect(refreshed).toBeLessThan(100)
})

test('a code redeemed on several instances at once: at most one answer, and afterwards nothing of it works', async () => {
  for (let round = 0; round < 20; round++) {
    const { code, verifier } = await worlds[0].authorize({ scope: 'a' }, { browser })
    const redeem = (world: World) =>
      world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: 'https://client.example/cb',
      })
    const answers = await Promise.all(worlds.map(redeem))
    const good = answers.filter(({ status }) => status === 200)
    expect(good.length).toBeLessThanOrEqual(1)
    expect(answers.filter(({ status }) => status === 400).length).toBe(3 - good.length)
    for (const { body } of good) {
      expect((await worlds[1].call('/api/a', body.access_token)).status).toBe(401)
      expect((await worlds[2].refresh(body.refresh_token)).status).toBe(400)
    }
  }
})

const authorization = {
  Authorization: `Basic ${Buffer.from('confidential:a-secret-of-the-test-suite-0123456789').toString('base64')}`,
}
