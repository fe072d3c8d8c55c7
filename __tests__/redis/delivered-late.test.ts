import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { afterEach, expect, test } from '@jest/globals'
import { sha256 } from '../../lib/protocol/digest.ts'
import { script } from '../../lib/stores/redis/script.ts'
import { sharedRedis } from '../support/redis-servers.ts'
import {
  expectUnavailable,
  generationOf,
  loadScripts,
  proxiedStores,
  type RedisWorld,
  runsOf,
  startRedisWorld,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { pkce } from '../support/world.ts'

const GRACE = 1
const DEADLINE = 150

let monitors: Socket[] = []
afterEach(() => {
  for (const monitor of monitors) monitor.destroy()
  monitors = []
})

/**
 * How often the server itself was given a script, whoever sent it and whenever. By a connection without a driver: ioredis
 * takes a command that comes together with the answer to MONITOR for an answer that it did not ask for.
 */
async function watch(name: string) {
  const { sha, body } = script(name)
  const [title = ''] = body.split('\n')
  const seen = { runs: 0 }
  const monitor = connect((await sharedRedis()).address)
  monitors.push(monitor)
  const lines = createInterface({ input: monitor })
  const isWatching = new Promise((resolve) => lines.once('line', resolve))
  lines.on('line', (line) => {
    if (/^\S+ \[[^\]]*\] "evalsha" /i.test(line) && line.includes(`"${sha}"`)) seen.runs++
    if (/^\S+ \[[^\]]*\] "eval" /i.test(line) && line.includes(`"${title}`)) seen.runs++
  })
  monitor.write('MONITOR\r\n')
  expect(await isWatching).toBe('+OK')
  return seen
}

/** By the server's clock, which is the one that counts. */
async function passed(seconds: number): Promise<void> {
  const now = async () => Number((await (await sharedRedis()).send('TIME'))[0])
  const began = await now()
  await until(`${seconds} s have passed`, async () => (await now()) > began + seconds, { every: 50 })
}

async function start(): Promise<{ world: RedisWorld; token: string }> {
  const world = await startRedisWorld({
    aat: { refreshTokens: { grace: GRACE } },
    redis: { deadline: DEADLINE },
  })
  return { world, token: (await world.signInAndGetTokens()).body.refresh_token }
}

test.each([['kept in the network'], ['kept by a server that was stopped']])(
  'a refresh that is delivered long after its deadline, %s, changes nothing; the next try gets 200 and the family lives',
  async (how) => {
    const { world, token } = await start()
    const seen = await watch('refresh')
    const isNetwork = how.includes('network')
    const sent = world.proxy.next(runsOf('refresh'), 'pass')
    if (isNetwork) world.proxy.blackhole()
    else world.redis.pause()
    const answers = Promise.all([world.refresh(token), world.refresh(token), world.refresh(token)])
    await sent
    for (const answer of await answers) expectUnavailable(answer)
    expect(seen.runs).toBe(0)
    if (isNetwork) await passed(GRACE + 1)
    else await new Promise((resolve) => setTimeout(resolve, (GRACE + 1) * 1000))

    world.redis.resume()
    world.proxy.release()
    await until('the late refreshes reached the server', () => seen.runs >= 3)
    expect(await generationOf(world)).toBe(0)
    const retry = await until('it answers again', async () => {
      const answer = await world.refresh(token)
      return answer.status !== 503 && answer
    })
    expect(retry.status).toBe(200)
    expect((await world.refresh(retry.body.refresh_token)).status).toBe(200)
    expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  },
)

test('a late redemption, too: the code still works', async () => {
  const { world } = await start()
  const { code, verifier } = await world.authorize()
  const parameters = {
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: 'https://client.example/cb',
  }
  const seen = await watch('redeem-code')
  const sent = world.proxy.next(runsOf('redeem-code'), 'swallow_request')
  const first = world.token(parameters)
  await sent
  expectUnavailable(await first)
  await passed(1)
  world.proxy.release()
  await until('it reached the server', () => seen.runs === 1)
  expect((await world.token(parameters)).status).toBe(200)
  expect(world.eventsNamed('code.reused')).toEqual([])
})

test('stores that have never heard of their server cannot tell what is late, so they ask before they change anything', async () => {
  await loadScripts(await sharedRedis())
  const { stores, proxy } = await proxiedStores({ redis: { deadline: DEADLINE } })
  const seen = await watch('claim')
  const key = sha256(pkce().verifier)
  await until('it is connected', () => proxy.count('INFO') > 0 && proxy.replies >= proxy.count())
  void proxy.next(runsOf('claim'), 'swallow_request')
  await expect(stores.replays.claim(key, Date.now() / 1000 + 600)).rejects.toThrow('150 ms')
  await passed(1)
  proxy.release()
  await until('it reached the server', () => seen.runs > 0)
  expect(await stores.replays.claim(key, Date.now() / 1000 + 600)).toBe('fresh')
  expect(await stores.replays.claim(key, Date.now() / 1000 + 600)).toBe('seen')
})

test('a command of a moment when the server’s clock was behind is judged again by the right one, not refused', async () => {
  const clock = { now: Date.now() / 1000 }
  const { stores } = await proxiedStores({ redis: { clock: () => clock.now } })
  const claim = (text: string) => stores.replays.claim(sha256(text), clock.now + 60)
  expect(await claim('a')).toBe('fresh')
  clock.now += 3600
  expect(await claim('b')).toBe('fresh')
  clock.now -= 7200
  expect(await claim('c')).toBe('fresh')
  clock.now += 3600
  expect(await Promise.all([claim('d'), claim('e'), claim('d')])).toEqual(['fresh', 'fresh', 'seen'])
})
