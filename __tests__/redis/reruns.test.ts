import { expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { sha256, tokenHash } from '../../lib/protocol/digest.ts'
import type { Client, ClientRecord, KeyRecord } from '../../lib/stores/ports.ts'
import type { ProxiedCommand } from '../support/fault-proxy.ts'
import {
  generationOf,
  proxiedStores,
  type RedisWorld,
  runsOf,
  startRedisWorld,
} from '../support/redis-world.ts'
import { Browser, pkce, REDIRECT_URI } from '../support/world.ts'

/** What makes the driver send a command again, or the network deliver it twice. */
const CAUSES = ['cut_after', 'duplicate'] as const
const now = () => Date.now() / 1000

/** Lets the next run of a script happen twice, and says that it did. */
function twice(world: Pick<RedisWorld, 'proxy'>, name: string, action: (typeof CAUSES)[number]) {
  return world.proxy.next(runsOf(name), action)
}

describeEach('refresh', async (action) => {
  for (const issuance of ['keep', 'rotate', 'rotate-and-reset'] as const) {
    const world = await startRedisWorld({
      aat: { refreshTokens: { issuance, grace: 0, dangerouslyKeepForPublicClients: true } },
    })
    let token = (await world.signInAndGetTokens()).body.refresh_token
    for (let round = 1; round <= 3; round++) {
      const hit = twice(world, 'refresh', action)
      const { status, body } = await world.refresh(token)
      await hit
      expect(status).toBe(200)
      expect(body.refresh_token === token).toBe(issuance === 'keep')
      expect(await generationOf(world)).toBe(issuance === 'keep' ? 0 : round)
      token = body.refresh_token
    }
    expect(world.eventsNamed('token.refreshed')).toHaveLength(3)
    expect(world.eventsNamed('refresh_token.reused')).toEqual([])
  }
})

describeEach('redeem-code', async (action) => {
  const world = await startRedisWorld({ aat: { refreshTokens: { grace: 0 } } })
  const { code, verifier } = await world.authorize()
  const hit = twice(world, 'redeem-code', action)
  const parameters = { grant_type: 'authorization_code', code, code_verifier: verifier }
  const first = await world.token({ ...parameters, redirect_uri: REDIRECT_URI })
  await hit
  expect(first.status).toBe(200)
  expect((await world.refresh(first.body.refresh_token)).status).toBe(200)
  expect(world.eventsNamed('code.reused')).toEqual([])
  // What the client itself does twice is still a second use.
  expect((await world.token({ ...parameters, redirect_uri: REDIRECT_URI })).body.error).toBe('invalid_grant')
  expect(world.eventsNamed('code.reused')).toHaveLength(1)
})

describeEach('claim', async (action) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const world = await startRedisWorld({
    aat: {
      clients: [
        {
          clientId: 'signer',
          jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] },
          tokenEndpointAuthMethod: 'private_key_jwt',
          grantTypes: ['client_credentials'],
        },
      ],
    },
  })
  const assertion = await new SignJWT({ jti: pkce().verifier })
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setIssuer('signer')
    .setSubject('signer')
    .setAudience(world.issuer)
    .setIssuedAt()
    .setExpirationTime('60s')
    .sign(privateKey)
  const ask = () =>
    world.token(
      {
        grant_type: 'client_credentials',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      },
      {},
    )
  const hit = twice(world, 'claim', action)
  expect((await ask()).status).toBe(200)
  await hit
  expect(await ask()).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
})

describeEach('take-value', async (action) => {
  const world = await startRedisWorld()
  const browser = new Browser(world.base)
  await browser.get(`${world.base}/sign-in?as=alice&return_to=/`)
  const page = await browser.follow(await browser.get(world.authorizeUrl({})))
  const form = await browser.readForm(page)
  const decide = () =>
    browser.send(new URL(form.action, page.url).href, {
      method: 'POST',
      body: new URLSearchParams([...form.fields, ['decision', 'allow']]),
    })
  const hit = twice(world, 'take-value', action)
  expect((await decide()).headers.get('location')).toContain('code=')
  await hit
  expect((await decide()).headers.get('location') ?? '').not.toContain('code=')
})

describeEach('create-client', async (action) => {
  const world = await startRedisWorld()
  const created = twice(world, 'create-client', action)
  const { status, body } = await world.register({ redirect_uris: [REDIRECT_URI], client_name: 'Twice' })
  await created
  expect(status).toBe(201)
  const { client } = (await world.stores.clients.read(body.client_id)) as ClientRecord
  expect(await world.stores.clients.create(client)).toBe('exists')

  const deleted = twice(world, 'delete-client', action)
  expect(await world.stores.clients.delete(client.id)).toBe('deleted')
  await deleted
  expect(await world.stores.clients.delete(client.id)).toBe('unknown')
})

describeEach('replace-client', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const client = { id: 'x', name: 'One' } as Client
  await stores.clients.create(client)
  const { revision } = (await stores.clients.read('x')) as ClientRecord
  const hit = twice(world, 'replace-client', action)
  expect(await stores.clients.replace({ ...client, name: 'Two' }, revision)).toBe('replaced')
  await hit
  expect(await stores.clients.replace(client, revision)).toBe('changed')
  expect(await stores.clients.read('x')).toMatchObject({ client: { name: 'Two' } })
})

describeEach('delete-client', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const end = Date.now() / 1000 + 1000
  const hit = twice(world, 'delete-client', action)
  expect(await stores.clients.delete('x', end)).toBe('deleted')
  await hit
  expect(await stores.clients.delete('x', end)).toBe('unknown')
  expect(await stores.clients.read('x')).toBe('gone')
})

describeEach('renew-client', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const end = Date.now() / 1000 + 1000
  await stores.clients.create({ id: 'x' } as Client, end)
  const hit = twice(world, 'renew-client', action)
  expect(await stores.clients.renew('x', end + 1000)).toBe('renewed')
  await hit
  const { expiresAt = 0 } = (await stores.clients.read('x')) as ClientRecord
  expect(expiresAt).toBeCloseTo(end + 1000, 1)
})

describeEach('write-ring', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const issuer = 'https://as.example'
  const hit = twice(world, 'write-ring', action)
  const keys: KeyRecord[] = []
  const written = await stores.ring.compareAndSet({ revision: 0, tip: '' }, { issuer, keys })
  await hit
  expect(written).toMatchObject({ outcome: 'written', place: { revision: 1 } })
  if (written.outcome === 'written') expect(await stores.ring.read(written.place)).toBe('unchanged')
  expect(await stores.ring.compareAndSet({ revision: 0, tip: '' }, { issuer, keys })).toEqual({
    outcome: 'conflict',
  })
})

describeEach('append-revocation', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const entry = { kind: 'jti', id: 'one', until: now() + 60 } as const
  const hit = twice(world, 'append-revocation', action)
  expect(await stores.revocations.append(entry)).toBe(1)
  await hit
  expect(await stores.revocations.append({ ...entry, id: 'two' })).toBe(2)
  const { entries } = await stores.revocations.since({ revision: 0, tip: '' })
  expect(entries.map(({ id }) => id)).toEqual(['one', 'two'])
})

describeEach('take-count', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const key = sha256('key')
  const first = twice(world, 'take-count', action)
  const { outcome, resetsAt } = await stores.counters.take(key, 60, 2)
  await first
  expect(outcome).toBe('taken')
  expect((await stores.counters.take(key, 60, 2)).outcome).toBe('taken')
  const back = twice(world, 'give-back-count', action)
  await stores.counters.giveBack(key, resetsAt)
  await back
  expect((await stores.counters.take(key, 60, 2)).outcome).toBe('taken')
  expect((await stores.counters.take(key, 60, 2)).outcome).toBe('full')
})

describeEach('take-initial-token', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const id = 'an-initial-token-22-ch'
  const token = { id, hash: sha256('x'), policy: 'default', uses: 3, createdAt: now(), expiresAt: now() + 60 }
  const used = async () => (await stores.initialAccessTokens.read(id))?.used
  const created = twice(world, 'create-initial-token', action)
  const entered = twice(world, 'take-place', action)
  expect(await stores.initialAccessTokens.create(token)).toBe('created')
  await Promise.all([created, entered])
  expect((await stores.initialAccessTokens.list({})).tokens).toHaveLength(1)

  const taken = twice(world, 'take-initial-token', action)
  expect(await stores.initialAccessTokens.take(id, 'one')).toBe('taken')
  await taken
  expect(await used()).toBe(1)
  await stores.initialAccessTokens.take(id, 'two')

  const back = twice(world, 'give-back-initial-token', action)
  expect(await stores.initialAccessTokens.giveBack(id, 'one')).toBe('returned')
  await back
  expect(await used()).toBe(1)

  const revoked = twice(world, 'revoke-initial-token', action)
  expect(await stores.initialAccessTokens.revoke(id)).toBe('revoked')
  await revoked
  expect(await stores.initialAccessTokens.revoke(id)).toBe('unknown')
})

describeEach('shorten-place', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const take = (holder: string) => stores.places.take(sha256('hall'), sha256(holder), undefined, 1)
  const taken = twice(world, 'take-place', action)
  expect(await take('one')).toBe('taken')
  await taken
  const shortened = twice(world, 'shorten-place', action)
  await stores.places.leave(sha256('hall'), sha256('one'), now() + 60)
  await shortened
  expect(await take('two')).toBe('full')
  await stores.places.leave(sha256('hall'), sha256('one'), now() - 1)
  expect(await take('two')).toBe('taken')
})

describeEach('count', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const hit = twice(world, 'count', action)
  expect((await stores.counters.count(sha256('key'), 60)).count).toBe(1)
  await hit
  expect((await stores.counters.count(sha256('key'), 60)).count).toBe(2)
})

describeEach('use-token', async (action) => {
  const { stores, ...world } = await proxiedStores()
  const use = () => stores.accessTokens.use(tokenHash('jti'), 2, now() + 60)
  const hit = twice(world, 'use-token', action)
  expect(await use()).toBe('used')
  await hit
  expect([await use(), await use()]).toEqual(['used', 'exhausted'])
})

test('a retry whose second run comes when its grace is over is a retry all the same, not a theft', async () => {
  const clock = { now: Math.floor(now()) }
  const world = await startRedisWorld({
    aat: { refreshTokens: { grace: 10 } },
    redis: { clock: () => clock.now, deadline: 5000 },
  })
  const spent = (await world.signInAndGetTokens()).body.refresh_token
  const { refresh_token: successor } = (await world.refresh(spent)).body
  clock.now += 9.9
  const sent: Buffer[][] = []
  const isRefresh = runsOf('refresh') as (command: ProxiedCommand) => boolean
  world.proxy.onCommand((command) => {
    if (isRefresh(command)) sent.push(command.args)
    return undefined
  })
  expect((await world.refresh(spent)).body.refresh_token).toBe(successor)
  // The driver re-sends what it sent; only the server's clock has gone on, which an argument stands for here.
  const args = sent.at(-1) ?? []
  args[5] = Buffer.from(String(Math.round((clock.now + 1) * 1000)))
  const again = (await world.redis.client().callBuffer('EVALSHA', args)) as Buffer[]
  expect(String(again[2])).toBe('retried')
  clock.now += 1
  expect((await world.refresh(successor)).status).toBe(200)
  expect(world.eventsNamed('token.retried')).toHaveLength(1)
})

function describeEach(name: string, prove: (action: (typeof CAUSES)[number]) => Promise<void>): void {
  test.each(CAUSES)(`${name} that runs twice (%s) gives the first answer, and happened once`, prove)
}
