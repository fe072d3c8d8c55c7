import { afterEach, expect, test } from '@jest/globals'
import { Redis } from 'ioredis'
import { type AatOptions, createAat } from '../../lib/index.ts'
import { redisStores } from '../../lib/redis.ts'
import { sharedRedis } from '../support/redis-servers.ts'

const closes: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closes.splice(0)) await close()
})

const base = {
  issuer: 'https://as.example',
  secrets: ['a-secret-of-the-tests-0123456789-0123456789'],
  resources: { 'https://as.example/api': { scopes: ['a'] } },
} satisfies AatOptions

/** An instance of an app on one Redis, ready. */
async function start(over: Partial<AatOptions> = {}) {
  const server = await sharedRedis()
  const client = new Redis(server.port, { lazyConnect: true })
  const aat = createAat({ ...base, ...over, stores: redisStores(client, { prefix: 'settings:' }) })
  const findings: string[] = []
  aat.on('store.finding', ({ message }) => findings.push(message))
  closes.push(() => aat.close())
  await aat.ready()
  return { aat, findings: () => findings.filter((message) => /other settings/.test(message)) }
}

test('FLT-050: an instance with other settings than its neighbours says so, and goes on', async () => {
  await (await sharedRedis()).flush()
  const [first, same] = [await start(), await start()]
  expect([first.findings(), same.findings()]).toEqual([[], []])
  const other = await start({ refreshTokens: { grace: 30 } })
  expect(other.findings()).toEqual([expect.stringContaining('refresh tokens')])
  expect(other.aat.health()).toMatchObject({ ready: true })
  expect(other.aat.health().advice).toContainEqual(expect.stringContaining('other settings'))
})

test('FLT-050: what differs on purpose is not told: another order of secrets, another secret of a client', async () => {
  await (await sharedRedis()).flush()
  const machine = { clientId: 'machine', grantTypes: ['client_credentials' as const] }
  await start({ clients: [{ ...machine, clientSecret: 'a-first-secret-of-the-client' }] })
  const other = await start({
    secrets: [...base.secrets, 'a-newer-secret-of-the-tests-0123456789-0123'],
    clients: [{ ...machine, clientSecret: 'a-second-secret-of-the-client' }],
    claims: () => ({}),
  })
  expect(other.findings()).toEqual([])
})
