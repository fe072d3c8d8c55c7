import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { InstanceProcess, ISSUER, stopAllInstances } from '../support/instance-processes.ts'
import { countStatuses, refreshManyTimes } from '../support/many-requests.ts'
import { type RedisServer, sharedRedis, startReplicated } from '../support/redis-servers.ts'
import { REDIRECT_URI } from '../support/world.ts'
import { expectInvalidGrant, Instances, kidsOf, signIn, to } from './instances.ts'

const root = join(import.meta.dirname, '../..')
let server: RedisServer
let instances: Instances
beforeEach(async () => {
  const shared = await sharedRedis()
  await shared.flush()
  server = shared
  instances = new Instances(to(server))
})
afterEach(async () => {
  await stopAllInstances()
  await instances.close()
})

/** The built library again, with scripts of other text, and so of other SHA-1. */
function otherBuild(): { program: string; remove: () => void } {
  mkdirSync(join(root, '.tmp'), { recursive: true })
  const folder = mkdtempSync(join(root, '.tmp/other-version-'))
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true })
  const scripts = join(folder, 'dist/stores/redis/scripts')
  for (const name of readdirSync(scripts)) {
    const path = join(scripts, name)
    writeFileSync(path, `${readFileSync(path, 'utf8')}\n-- another version\n`)
  }
  const text = readFileSync(join(root, '__tests__/support/instance-process.js'), 'utf8')
  const program = join(folder, 'instance-process.js')
  const imports = text
    .replace("'express-aat'", "'./dist/index.js'")
    .replace("'express-aat/redis'", "'./dist/redis.js'")
  writeFileSync(program, imports)
  return { program, remove: () => rmSync(folder, { recursive: true }) }
}

test('FLT-049: two versions of the scripts side by side, in any order: no refresh fails, one successor each time', async () => {
  const world = await instances.start({ issuer: ISSUER })
  const { program, remove } = otherBuild()
  try {
    const [older, newer] = [new InstanceProcess(), new InstanceProcess(program)]
    const ports = [
      ...(await older.start({ redis: server.address })),
      ...(await newer.start({ redis: server.address })),
    ]
    await Promise.all([older.call('ready'), newer.call('ready')])
    const before = Number((await server.info('memory')).number_of_cached_scripts)
    for (const holder of await signIn(world, 10)) {
      let token = holder.token
      for (let round = 0; round < 3; round++) {
        const answers = await refreshManyTimes(token, { ports, total: 20, connections: 5 })
        expect(countStatuses(answers)).toEqual({ 200: 20 })
        expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1)
        token = answers[0]?.body.refresh_token
      }
    }
    expect(Number((await server.info('memory')).number_of_cached_scripts)).toBeGreaterThan(before)
    for (const one of [older, newer])
      expect((await one.call('events'))['refresh_token.reused']).toBeUndefined()
  } finally {
    await stopAllInstances()
    remove()
  }
}, 30_000)

test('FLT-049: a family of a newer version is 503 and left as it is; one that it was understood before goes on', async () => {
  const world = await instances.start()
  const [newer, plain] = await signIn(world, 2)
  const key = `aat:{${newer?.grantId}}:f`
  await server.send('SETRANGE', key, 0, '\x03')
  const client = server.client()
  const before = await client.getBuffer(key)
  for (let attempt = 0; attempt < 2; attempt++) {
    const answer = await world.refresh(newer?.token ?? '')
    expect({ status: answer.status, error: answer.body.error }).toEqual({
      status: 503,
      error: 'temporarily_unavailable',
    })
  }
  expect(await client.getBuffer(key)).toEqual(before)
  expect(String((world.eventsNamed('fault')[0] as { error?: unknown }).error)).toContain('AATVERSION')
  await plain?.refresh(world)
  // The newer version is rolled back, and what it wrote is readable again.
  await server.send('SETRANGE', key, 0, '\x01')
  await newer?.refresh(world)
})

test('FLT-049: members that this version does not know are kept: of the ring, of a client, of a grant', async () => {
  const world = await instances.start()
  await server.send('HSET', 'aat:{ring}:r', 'later', 'kept')
  await world.aat.keys.rotate({ immediately: true })
  expect(await server.send('HGET', 'aat:{ring}:r', 'later')).toBe('kept')
  expect(await kidsOf(world)).toHaveLength(3)

  const { body } = await world.register({
    redirect_uris: [REDIRECT_URI],
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['authorization_code', 'refresh_token'],
  })
  const [key = '']: string[] = await server.send('KEYS', 'aat:*:d')
  const stored: string = await server.send('GET', key)
  const later = stored.replace(/\}$/, ',"later":{"and":"more"}}')
  expect(later).not.toBe(stored)
  await server.send('SET', key, later)
  const other = await instances.start()
  const asked = await other.token(
    {
      grant_type: 'refresh_token',
      refresh_token: 'none',
      client_id: body.client_id,
      client_secret: body.client_secret,
    },
    {},
  )
  expect(asked.body.error).toBe('invalid_grant')
  expect(await server.send('GET', key)).toBe(later)

  const [holder] = await signIn(world, 1)
  const family = `aat:{${holder?.grantId}}:f`
  const client = server.client()
  const text = (await client.getBuffer(family)) as Buffer
  await client.call('SET', family, Buffer.concat([text, Buffer.from('{"later":[1]}')]), 'KEEPTTL')
  for (let round = 0; round < 3; round++) await holder?.refresh([world, other])
  expect(String(await client.getBuffer(family)).endsWith('{"later":[1]}')).toBe(true)
  await expectInvalidGrant(world, holder?.tokens[0] ?? '')
})

test('FLT-055: this server: its version is accepted, and TIME in scripts reaches replicas as effects', async () => {
  const { redis_version: redis, valkey_version: valkey } = await server.info('server')
  console.log(`FLT-055: tested with ${valkey === undefined ? `Redis ${redis}` : `Valkey ${valkey}`}`)
  const pair = await startReplicated()
  const onPair = new Instances(to(pair.primary))
  try {
    const world = await onPair.start()
    const holders = await signIn(world, 5)
    for (const holder of holders) for (let round = 0; round < 3; round++) await holder.refresh(world)
    await world.aat.revoke({ jti: 'one' })
    await pair.caughtUp()
    expect(world.aat.health()).toMatchObject({ ready: true, problems: [] })
    const [replica] = pair.replicas
    const keys: string[] = await pair.primary.send('KEYS', '*:f')
    expect(keys).toHaveLength(5)
    for (const key of keys) {
      const [here, there] = [pair.primary.client(), replica?.client()]
      expect(await there?.getBuffer(key)).toEqual(await here.getBuffer(key))
      expect(Math.abs(((await there?.pttl(key)) ?? 0) - (await here.pttl(key)))).toBeLessThan(1000)
    }
    const entries = ['ZRANGE', 'aat:{log}:e', 0, -1] as const
    expect(await replica?.send(...entries)).toEqual(await pair.primary.send(...entries))
  } finally {
    await onPair.close()
    await pair.stop()
  }
})
