import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { type RedisServer, startRedis, startReplicated } from '../support/redis-servers.ts'
import {
  closeLater,
  expectUnavailable,
  generationOf,
  type RedisWorld,
  reasonsOf,
  startRedisWorld,
  timed,
  toldBy,
} from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { basic, CONFIDENTIAL, REDIRECT_URI } from '../support/world.ts'

async function ownServer(args: string[] = []): Promise<RedisServer> {
  const server = await startRedis({ args })
  closeLater(() => server.stop())
  return server
}

const refreshTokenOf = async (world: RedisWorld) => (await world.signInAndGetTokens()).body.refresh_token

test('FLT-019: NOSCRIPT (SCRIPT FLUSH, a new server): loaded again, and nobody notices', async () => {
  const world = await startRedisWorld({ loaded: false })
  let token = await refreshTokenOf(world)
  for (let round = 0; round < 5; round++) {
    await world.redis.send('SCRIPT', 'FLUSH')
    const answers = await Promise.all([world.refresh(token), world.refresh(token)])
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect(answers[0]?.body.refresh_token).toBe(answers[1]?.body.refresh_token)
    token = answers[0]?.body.refresh_token
  }
  expect(await generationOf(world)).toBe(5)
  expect(world.eventsNamed('fault')).toEqual([])
})

test('FLT-018: READONLY: the primary became a replica; reconnecting finds the new one, and no session is lost', async () => {
  const pair = await startReplicated()
  closeLater(() => pair.stop())
  const [old, next] = [pair.primary, pair.replicas[0] as RedisServer]
  const world = await startRedisWorld({ server: old, redis: { deadline: 500 } })
  let token = await refreshTokenOf(world)
  await pair.caughtUp()
  await pair.promote(next)
  await old.send('REPLICAOF', '127.0.0.1', next.port)
  await until(
    'the old primary follows',
    async () => (await old.info('replication')).master_link_status === 'up',
  )

  // Nobody has told the address yet: 503, never 500 and never the client's fault, and no storm of connections.
  world.proxy.resetCounts()
  const began = performance.now()
  expectUnavailable(await world.refresh(token))
  expectUnavailable(await world.register({ redirect_uris: [REDIRECT_URI] }))
  const seconds = (performance.now() - began) / 1000
  expect(world.proxy.accepted / seconds).toBeLessThan(40)
  expect(reasonsOf(world).every((reason) => /READONLY|did not answer/.test(reason))).toBe(true)

  world.proxy.retarget(next.port)
  const answer = await until('it found the new primary', async () => {
    const retry = await world.refresh(token)
    expect([200, 503]).toContain(retry.status)
    return retry.status === 200 && retry.body
  })
  token = answer.refresh_token
  expect((await world.refresh(token)).status).toBe(200)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  expect(toldBy(world)).not.toContain(token)
})

test('FLT-024: no memory left (OOM): 503 and nothing half done; revoking still works; all is well when there is memory', async () => {
  const server = await ownServer()
  const world = await startRedisWorld({ server })
  const [kept, gone] = [await refreshTokenOf(world), await refreshTokenOf(world)]
  const { code, verifier } = await world.authorize()
  const redeem = () =>
    world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
  const registered = (await world.register({ redirect_uris: [REDIRECT_URI] })).body.client_id
  await server.send('CONFIG', 'SET', 'maxmemory', '1mb')

  for (const answer of [
    await world.refresh(kept),
    await redeem(),
    await world.register({ redirect_uris: [REDIRECT_URI] }),
  ])
    expectUnavailable(answer)
  expect(reasonsOf(world)[0]).toBe('OOM: Redis has reached maxmemory')
  // The log cannot be written, which is said, but the family is over.
  const revoked = await world.post(
    world.endpoint('revoke'),
    { token: gone },
    basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
  )
  expectUnavailable(revoked)
  expect(await world.stores.clients.delete(registered)).toBe('deleted')

  await server.send('CONFIG', 'SET', 'maxmemory', '0')
  expect((await world.refresh(gone)).body.error).toBe('invalid_grant')
  expect((await world.refresh(kept)).status).toBe(200)
  expect((await redeem()).status).toBe(200)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  for (const secret of [kept, gone, code]) expect(toldBy(world)).not.toContain(secret)
  // Nor what the driver sent: keys, records, hashes.
  expect(toldBy(world)).not.toMatch(/args:/)
})

test('FLT-031: the disk is full (MISCONF): writes are 503, reads and guards go on', async () => {
  const server = await ownServer(['--save', '86400 1', '--dbfilename', 'dump.rdb'])
  // No snapshot can take the place of a folder.
  mkdirSync(join(server.dir, 'dump.rdb'))
  const world = await startRedisWorld({ server })
  const { body } = await world.signInAndGetTokens()
  await server.send('BGSAVE')
  await until(
    'the snapshot failed',
    async () => (await server.info('persistence')).rdb_last_bgsave_status === 'err',
  )

  expectUnavailable(await world.refresh(body.refresh_token))
  expect(reasonsOf(world)[0]).toBe('MISCONF: Redis cannot write to its disk and refuses to go on')
  const revoke = await world.post(
    world.endpoint('revoke'),
    { token: body.refresh_token },
    basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
  )
  expectUnavailable(revoke)
  expect(await world.stores.clients.read('nobody')).toBe(undefined)
  await world.stores.ring.read()
  expect((await world.call('/api/a', body.access_token)).status).toBe(200)

  await server.send('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no')
  expect((await world.refresh(body.refresh_token)).status).toBe(200)
})

test('FLT-039: BUSY with somebody else’s script: 503 at once; our own scripts are short', async () => {
  const server = await ownServer(['--busy-reply-threshold', '20'])
  const world = await startRedisWorld({ server })
  const token = await refreshTokenOf(world)
  const busy = server
    .client()
    .eval('while true do end', 0)
    .catch((error: Error) => error.message)
  await until('it is busy', () =>
    server.send('PING').then(
      () => false,
      (error: Error) => error.message.startsWith('BUSY'),
    ),
  )
  const { answer, ms } = await timed(() => world.refresh(token))
  expectUnavailable(answer)
  expect(ms).toBeLessThan(200)
  expect(reasonsOf(world).at(-1)).toBe("BUSY: Redis is busy with somebody's script")
  await server.send('SCRIPT', 'KILL')
  expect(await busy).toContain('killed')
  let { body } = await world.refresh(token)
  await server.send('CONFIG', 'RESETSTAT')
  for (let round = 0; round < 50; round++) body = (await world.refresh(body.refresh_token)).body
  const { cmdstat_evalsha: statistics = '' } = await server.info('commandstats')
  expect(Number(/usec_per_call=([\d.]+)/.exec(statistics)?.[1])).toBeLessThan(1000)
  expect(world.eventsNamed('refresh_token.reused')).toEqual([])
})
