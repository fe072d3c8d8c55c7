import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { athOf, dpopKey } from '../support/dpop.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { startRedis } from '../support/redis-servers.ts'
import {
  anotherInstance,
  closeLater,
  expectUnavailable,
  keysIn,
  type RedisWorld,
  startRedisWorld,
  timed,
  toldBy,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { Browser, basic, CONFIDENTIAL, REDIRECT_URI, RESOURCE_SERVER, readAnswer } from '../support/world.ts'

const DEADLINE = 200
/** What an answer may take beside the deadline, on a machine that is busy. */
const SMALL = 250

let unhandled: unknown[] = []
const note = (reason: unknown) => unhandled.push(reason)
beforeEach(() => {
  unhandled = []
  process.on('unhandledRejection', note)
})
afterEach(() => {
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

/** Every request that needs the store, whatever is in memory. */
function storeRequests(world: RedisWorld, refreshToken: string, accessToken: string, code: string) {
  const confidential = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
  return {
    refresh: () => world.refresh(refreshToken),
    code: () =>
      world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: 'v'.repeat(43),
        redirect_uri: REDIRECT_URI,
      }),
    register: () => world.register({ redirect_uris: [REDIRECT_URI] }),
    'revoke refresh token': () => world.post(world.endpoint('revoke'), { token: refreshToken }, confidential),
    'revoke access token': () => world.post(world.endpoint('revoke'), { token: accessToken }, confidential),
    'introspect refresh token': () =>
      world.post(world.endpoint('introspect'), { token: refreshToken }, confidential),
    'unknown registered client': () =>
      world.token({
        grant_type: 'refresh_token',
        refresh_token: refreshToken,
        client_id: 'dcr_AAAAAAAAAAAAAAAAAAAAAA',
      }),
  }
}

async function expectAllUnavailable(requests: Record<string, () => ReturnType<RedisWorld['refresh']>>) {
  for (const [name, ask] of Object.entries(requests)) {
    const { answer, ms } = await timed(ask)
    expect({ name, status: answer.status }).toEqual({ name, status: 503 })
    expectUnavailable(answer)
    expect({ name, inTime: ms < DEADLINE + SMALL || ms }).toEqual({ name, inTime: true })
  }
}

test('FLT-001: Redis down at start: three instances are up and answer 503, make no key of their own, and work without a restart when it is there', async () => {
  const server = await startRedis()
  closeLater(() => server.stop())
  const proxy = await startFaultProxy(server.port)
  await proxy.refuse()
  const options = { server, proxy, ready: false, redis: { deadline: DEADLINE, prefix: 'start:' } }
  const first = await startRedisWorld(options)
  const worlds = [first]
  for (let more = 0; more < 2; more++) worlds.push(await anotherInstance(first, options))

  for (const world of worlds) {
    expect(world.aat.health()).toMatchObject({ ready: false, keys: { canSign: false, revision: 0 } })
    const jwks = await readAnswer(await fetch(`${world.base}/.well-known/jwks.json`))
    expectUnavailable(jwks)
    expect((await fetch(`${world.base}/.well-known/oauth-authorization-server`)).status).toBe(200)
    await expectAllUnavailable({
      'client credentials': () => world.token({ grant_type: 'client_credentials' }),
      guard: () => world.call('/api/a', 'eyJhbGciOiJFUzI1NiJ9.e30.AA'),
      register: () => world.register({ redirect_uris: [REDIRECT_URI] }),
    }).catch((error: Error) => {
      // A token that no key could have signed may be refused from memory, too.
      if (!error.message.includes('guard')) throw error
    })
    const page = await new Browser(world.base).get(world.authorizeUrl({}))
    expect([302, 303, 503]).toContain(page.status)
    if (page.status !== 503) expect(page.headers.get('location')).not.toContain('code=')
    await expect(world.aat.ready()).rejects.toThrow()
    expect(world.eventsNamed('key.created')).toEqual([])
  }
  expect(await keysIn(first)).toEqual([])

  await proxy.refuse(false)
  const back = performance.now()
  await Promise.all(
    worlds.map((world) =>
      until(
        'it issues tokens',
        async () => (await world.token({ grant_type: 'client_credentials' })).status === 200,
      ),
    ),
  )
  expect(performance.now() - back).toBeLessThan(2000)
  await Promise.all(worlds.map((world) => until('it is ready', () => world.aat.health().ready)))
  const kids = new Set(worlds.flatMap((world) => world.aat.keys.status().keys.map(({ kid }) => kid)))
  expect(kids.size).toBe(2)
})

test('FLT-003, FLT-035: Redis dies and stays away: what needs it answers 503 in time, memory goes on, guards until S', async () => {
  const server = await startRedis()
  closeLater(() => server.stop())
  const world = await startRedisWorld({
    server,
    redis: { deadline: DEADLINE },
    aat: { revocationStaleAfter: 2 },
  })
  const { body } = await world.signInAndGetTokens()
  const { code } = await world.authorize()
  const load: Promise<{ status: number }>[] = []
  let isLoaded = true
  const lanes = Array.from({ length: 10 }, async () => {
    while (isLoaded) {
      const one = world.call('/api/a', body.access_token)
      load.push(one)
      await one
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })
  closeLater(async () => {
    isLoaded = false
  })
  await until('there is load', () => load.length > 20)
  await server.kill('SIGKILL')
  const began = performance.now()
  world.proxy.blackhole()

  // Younger than S: from memory.
  expect((await world.call('/api/a', body.access_token)).status).toBe(200)
  expect((await world.token({ grant_type: 'client_credentials' })).status).toBe(200)
  await expectAllUnavailable(storeRequests(world, body.refresh_token, body.access_token, code))

  const refused = await until('guards refuse', async () => {
    const answer = await world.call('/api/a', body.access_token)
    return answer.status !== 200 && answer
  })
  expect(performance.now() - began).toBeGreaterThan(2000 - 1100)
  expect(performance.now() - began).toBeLessThan(2000 + DEADLINE + 1000)
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toMatch(/^[1-5]$/)
  isLoaded = false
  await Promise.all(lanes)
  const statuses = new Set((await Promise.all(load)).map(({ status }) => status))
  expect([...statuses].sort()).toEqual([200, 503])

  // Older than S: the same, and still from memory what may be.
  await expectAllUnavailable(storeRequests(world, body.refresh_token, body.access_token, code))
  expect((await fetch(`${world.base}/.well-known/jwks.json`)).status).toBe(200)
  expect((await world.token({ grant_type: 'client_credentials' })).status).toBe(200)
  expect(world.aat.health()).toMatchObject({ ready: false, keys: { canSign: true } })
  await expect(world.aat.revoke({ subject: 'alice' })).rejects.toThrow(/^Redis /)
  const told = toldBy(world)
  for (const secret of [
    body.refresh_token,
    body.access_token,
    code,
    CONFIDENTIAL.secret,
    RESOURCE_SERVER.secret,
  ])
    expect(told).not.toContain(secret)
  expect(world.eventsNamed('fault').length).toBeGreaterThan(0)
})

test('DPO-017: Redis is away: a proof is 503 at the token endpoint and at guards, and bearer tokens go on', async () => {
  const server = await startRedis()
  closeLater(() => server.stop())
  const world = await startRedisWorld({ server, redis: { deadline: DEADLINE } })
  const key = await dpopKey(world.clock)
  const confidential = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
  const ask = () =>
    world.token(
      { grant_type: 'client_credentials' },
      { ...confidential, DPoP: key.proof('POST', world.endpoint('token')) },
    )
  const { access_token: bound } = (await ask()).body
  const { access_token: bearer } = (await world.token({ grant_type: 'client_credentials' })).body
  const present = () =>
    world.call('/api/a', undefined, {
      Authorization: `DPoP ${bound}`,
      DPoP: key.proof('GET', `${world.base}/api/a`, { ath: athOf(bound) }),
    })
  expect((await present()).status).toBe(200)
  await server.kill('SIGKILL')
  world.proxy.blackhole()
  await expectAllUnavailable({ 'client credentials': ask, guard: present })
  expect((await world.call('/api/a', bearer)).status).toBe(200)
})
