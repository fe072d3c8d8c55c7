import { describe, expect, test } from '@jest/globals'
import type { ClientDraft } from '../../lib/clients/client-metadata.ts'
import { createSelfDescribingIds } from '../../lib/clients/self-describing-id.ts'
import { deriveKeys } from '../../lib/protocol/derived-keys.ts'
import { sha256, type TokenHash, tokenHash } from '../../lib/protocol/digest.ts'
import { systemRandom } from '../../lib/protocol/random.ts'
import type { Client, GrantStore, PendingRequest, RefreshPolicy } from '../../lib/stores/ports.ts'
import { HOSTILE } from '../architecture/script-calls.ts'
import { aCode, aHash, anId, aToken, redemptionOf } from '../contracts/contract.ts'
import { openRing, WORLD_SECRET } from '../support/forge.ts'
import { keysIn, proxiedStores, startRedisWorld } from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { CONFIDENTIAL, REDIRECT_URI, RESOURCE_SERVER } from '../support/world.ts'

type Place = Awaited<ReturnType<typeof proxiedStores>>

const now = () => Date.now() / 1000
const kindOf = (key: string) => key.slice(key.lastIndexOf(':') + 1)
const ROTATE: RefreshPolicy = { issuance: 'rotate', lifetime: 1000 }

/** A family as most are: nothing but what every grant has. */
async function openTypical(grants: GrantStore, policy: RefreshPolicy, over = {}, boundTo?: TokenHash) {
  const grant = {
    id: anId(),
    clientId: 'aat_0123456789abcdefghijkl',
    subject: '0123456789',
    scope: ['orders:write'],
    resources: ['https://api.example.com/order'],
    createdAt: now(),
    authTime: now() - 5,
    ...over,
  }
  const obtainable = new Map([[grant.resources[0] as string, new Set(grant.scope)]])
  const keyId = deriveKeys(WORLD_SECRET).id
  const lineage = aHash()
  let token = aToken(keyId)
  let generation = 0
  const code = aCode({ grant, expiresAt: now() + 60, refreshLifetime: policy.lifetime })
  await grants.issueCode(code)
  const { outcome } = await grants.redeemCode(redemptionOf(code, { obtainable }, policy, token, lineage))
  expect(outcome).toBe('redeemed')
  return {
    grant,
    async rotate() {
      const next = aToken(keyId)
      const answer = await grants.refresh({
        grantId: grant.id,
        generation: generation++,
        tokenHash: token.hash,
        lineage,
        next,
        nonce: anId(),
        clientId: grant.clientId,
        policy,
        grace: 10,
        obtainable,
        ...(boundTo !== undefined && { boundTo }),
      })
      expect(answer.outcome).toBe('rotated')
      token = next
    },
  }
}

const send = ({ redis }: Place, ...command: (string | number)[]) =>
  redis.send(...(command.map(String) as [string, ...string[]]))

/** Milliseconds that each key has left, by its kind. */
async function lives(place: Place): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>()
  for (const key of await keysIn(place)) {
    const kind = key.includes('{log}') ? 'log' : key.includes('{ring}:r') ? 'ring' : kindOf(key)
    found.set(kind, [...(found.get(kind) ?? []), await send(place, 'PTTL', key)])
  }
  return found
}

/** Everything that every kind of record is made of. */
async function writeAll({ stores }: Place, text = 'a'): Promise<void> {
  const {
    grants,
    clients,
    requests,
    consents,
    replays,
    revocations,
    ring,
    counters,
    accessTokens,
    initialAccessTokens,
    places,
  } = stores
  const idpSession = { issuer: text, sid: text }
  const family = await openTypical(grants, ROTATE, { clientId: text, subject: text, idpSession })
  await family.rotate()
  for (const id of [text, `${text}2`]) await clients.create({ id } as Client)
  await clients.delete(`${text}2`)
  for (const handle of [text, `${text}2`])
    await requests.save(sha256(handle), { state: text } as PendingRequest, now() + 600)
  await requests.take(sha256(`${text}2`))
  await consents.remember(text, text, new Map([['https://api.example/', new Set(['a'])]]), now() + 5000)
  await replays.claim(sha256(text), now() + 90)
  await revocations.append({ kind: 'jti', id: text, until: now() + 300 })
  await counters.count(sha256(text), 60)
  await accessTokens.save({ home: anId(), hash: tokenHash(text) }, JSON.stringify({ sub: text }), now() + 300)
  await accessTokens.use(tokenHash(text), 2, now() + 400)
  await places.take(sha256(text), sha256(text), now() + 800, 5)
  for (const id of [anId(), anId()]) {
    const token = { id, hash: sha256(text), policy: text, uses: 2, createdAt: now(), expiresAt: now() + 700 }
    await initialAccessTokens.create(token)
    await initialAccessTokens.take(id, anId())
    await initialAccessTokens.revoke(id)
    await initialAccessTokens.create({ ...token, id: anId() })
  }
  await stores.announce?.({ id: anId(), settings: sha256(text) })
  await ring.compareAndSet({ revision: 0, tip: '' }, { issuer: 'https://issuer.example', keys: [] })
}

describe('a family', () => {
  test('takes at most 300 bytes, as many after 100 rotations as after none', async () => {
    const place = await proxiedStores({ redis: { prefix: 'aat:' } })
    const family = await openTypical(place.stores.grants, ROTATE)
    const key = `${place.prefix}{${family.grant.id}}:f`
    expect([family.grant.clientId.length, family.grant.resources[0]?.length]).toEqual([26, 29])
    const sizes: number[] = []
    for (let rotation = 0; rotation <= 100; rotation++) {
      sizes.push(await send(place, 'MEMORY', 'USAGE', key))
      await family.rotate()
    }
    process.stdout.write(
      `bytes of a family: ${sizes[0]} fresh, ${sizes[10]} after 10, ${sizes[100]} after 100\n`,
    )
    expect(Math.max(...sizes)).toBeLessThanOrEqual(300)
    expect(sizes[100]).toBe(sizes[1])
    expect(Math.abs((sizes[1] as number) - (sizes[0] as number))).toBeLessThanOrEqual(32)
  })

  test('takes at most 300 bytes where it is bound to a key, too', async () => {
    const place = await proxiedStores({ redis: { prefix: 'aat:' } })
    const sizes: number[] = []
    for (const boundTo of [undefined, aHash()]) {
      const family = await openTypical(place.stores.grants, ROTATE, {}, boundTo)
      for (let rotation = 0; rotation < 10; rotation++) await family.rotate()
      sizes.push(await send(place, 'MEMORY', 'USAGE', `${place.prefix}{${family.grant.id}}:f`))
    }
    process.stdout.write(`bytes of a family: ${sizes[0]}, bound to a key ${sizes[1]}\n`)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(300)
  })

  test('is gone at its end, without anybody looking for it', async () => {
    const place = await proxiedStores()
    const kinds = async () => (await keysIn(place)).map(kindOf).filter((kind) => kind === 'f').length
    const plain = await openTypical(place.stores.grants, { issuance: 'rotate', lifetime: 1 })
    await openTypical(place.stores.grants, { issuance: 'keep', lifetime: 600, absoluteLifetime: 1 })
    const ended = await openTypical(place.stores.grants, { issuance: 'rotate-and-reset', lifetime: 1 })
    await plain.rotate()
    await ended.rotate()
    await place.stores.grants.end(ended.grant.id, 'revoked')
    expect(await kinds()).toBe(3)
    await until('the families are gone', async () => (await kinds()) === 0)
    for (const { grant } of [plain, ended])
      expect(await place.stores.grants.readFamily(grant.id)).toBeUndefined()
    expect((await place.stores.grants.listFamilies({ subject: '0123456789' })).families).toEqual([])
    // What is left ends by itself, too: codes, and the entries of lists.
    for (const [kind, left] of await lives(place))
      for (const ms of left) expect([kind, ms > 0 && ms <= 1_300_000]).toEqual([kind, true])
  })
})

test('a DPoP proof that was used takes at most 200 bytes', async () => {
  const place = await proxiedStores({ redis: { prefix: 'aat:' } })
  await place.stores.replays.claim(sha256('a proof'), now() + 120)
  const key = (await keysIn(place)).find((name) => kindOf(name) === 'j')
  const size = await send(place, 'MEMORY', 'USAGE', String(key))
  process.stdout.write(`bytes of a proof that was used: ${size}\n`)
  expect(size).toBeLessThanOrEqual(200)
})

test('an opaque access token takes at most 500 bytes', async () => {
  const place = await proxiedStores({ redis: { prefix: 'aat:' } })
  const claims = {
    iss: 'https://shop.example.com',
    sub: '0123456789',
    aud: 'https://shop.example.com/api',
    client_id: 'aat_0123456789abcdefghijkl',
    iat: 1_800_000_000,
    exp: 1_800_000_300,
    jti: anId(),
    scope: 'orders:read orders:write',
    auth_time: 1_800_000_000,
    grant_id: anId(),
    grant_iat: 1_800_000_000.123,
  }
  const token = { home: anId(), hash: tokenHash('token') }
  await place.stores.accessTokens.save(token, JSON.stringify(claims), now() + 300)
  const bytes = await send(place, 'MEMORY', 'USAGE', `${place.prefix}{${token.home}}:${token.hash}:a`)
  process.stdout.write(`bytes of an opaque access token: ${bytes}\n`)
  expect(bytes).toBeLessThanOrEqual(500)
})

test('a family of a client whose id describes it takes at most 400 bytes', async () => {
  const place = await proxiedStores({ redis: { prefix: 'aat:' } })
  const ids = createSelfDescribingIds([deriveKeys(WORLD_SECRET)], 'https://as.example', systemRandom, 768)
  const draft: ClientDraft = {
    applicationType: 'native',
    name: 'Claude Code (shop)',
    redirectUris: ['http://localhost:54545/callback'],
    grantTypes: ['authorization_code', 'refresh_token'],
    authenticationMethod: 'none',
  }
  const { id: clientId = '' } = ids.issue(draft, now(), undefined) ?? {}
  const family = await openTypical(place.stores.grants, ROTATE, { clientId })
  await family.rotate()
  const { families } = await place.stores.grants.listFamilies({ clientId })
  expect(families.map(({ grant }) => grant.clientId)).toEqual([clientId])
  const size = await send(place, 'MEMORY', 'USAGE', `${place.prefix}{${family.grant.id}}:f`)
  process.stdout.write(`bytes of a family with a client id of ${clientId.length} characters: ${size}\n`)
  expect(size).toBeLessThanOrEqual(400)
})

test('a registered client takes at most 700 bytes, a mark of one that was deleted at most 160', async () => {
  const world = await startRedisWorld({ dcr: { allow: 'anyone' } })
  const sizes: number[] = []
  for (const metadata of [
    { client_name: 'Claude Code (shop)', redirect_uris: ['http://localhost:54545/callback'] },
    {
      client_name: 'A web application of some partner',
      redirect_uris: ['https://app.partner.example/oauth/callback', 'https://staging.partner.example/cb'],
      client_uri: 'https://partner.example/',
      token_endpoint_auth_method: 'client_secret_post',
    },
  ]) {
    const methods = { token_endpoint_auth_method: 'none', ...metadata }
    const { body } = await world.register({
      ...methods,
      grant_types: ['authorization_code', 'refresh_token'],
    })
    const { client_id, client_secret } = body
    const place = { client_id, redirect_uri: metadata.redirect_uris[0] }
    const { status } = await world.signInAndGetTokens(place, {
      client_id,
      ...(client_secret !== undefined && { client_secret }),
    })
    expect(status).toBe(200)
    const hash = sha256(client_id).slice(0, 22)
    sizes.push(await send(world, 'MEMORY', 'USAGE', `${world.prefix}{${hash}}:d`))
    await world.aat.clients.delete(client_id)
    expect(await send(world, 'MEMORY', 'USAGE', `${world.prefix}{${hash}}:x`)).toBeLessThanOrEqual(160)
  }
  process.stdout.write(`bytes of a client: ${sizes.join(', ')}\n`)
  expect(Math.max(...sizes)).toBeLessThanOrEqual(700)
})

test('every record ends when it should; what never ends are ring, log and clients', async () => {
  const place = await proxiedStores()
  await writeAll(place)
  const found = await lives(place)
  const expected: Record<string, number | 'never'> = {
    ...{
      f: 1000,
      c: 660,
      s: 2000,
      k: 2000,
      i: 60,
      r: 600,
      t: 10,
      x: 10,
      u: 5000,
      j: 90,
      n: 60,
      a: 300,
      v: 400,
      o: 700,
      q: 700,
      z: 800,
      y: 10,
    },
    ...{ d: 'never', ring: 'never', log: 'never', l: 100 * 365 * 86_400 },
  }
  // Instances and families of a session have the same letter, in slots of their own.
  const letters = [...found.keys()].sort()
  expect(letters).toEqual(Object.keys(expected).sort())
  for (const [kind, left] of found) {
    const seconds = expected[kind]
    for (const ms of left) {
      const known = kind === 'i' && ms > 60_000 ? 2000 : seconds
      if (known === 'never') expect([kind, ms]).toEqual([kind, -1])
      else
        expect([kind, ms <= Number(known) * 1000 && ms > Number(known) * 1000 - 5000]).toEqual([kind, true])
    }
  }
})

test('a code that lives long is remembered after its end, not after its beginning', async () => {
  const place = await proxiedStores()
  const code = aCode({ expiresAt: now() + 600 })
  await place.stores.grants.issueCode(code)
  const left = await send(place, 'PTTL', `${place.prefix}{${code.grant.id}}:c`)
  expect(left).toBeGreaterThan(1_195_000)
  expect(left).toBeLessThanOrEqual(1_200_000)
})

test('nothing that came from outside gets into the name of a key', async () => {
  const place = await proxiedStores()
  for (const text of HOSTILE) await writeAll(place, text)
  const names = (await keysIn(place)).map((key) => key.slice(place.prefix.length))
  expect(names.length).toBeGreaterThan(HOSTILE.length * 10)
  for (const name of names)
    expect(name).toMatch(/^\{(?:[\w-]{22}|[\w-]{43}|ring|log|clients|iat)\}(?::[\w-]{22})?:[a-z]$/)
  for (const text of HOSTILE) {
    const { families } = await place.stores.grants.listFamilies({ subject: text })
    expect(families.map(({ grant }) => grant.subject)).toEqual([text])
    expect(await place.stores.clients.read(text)).toMatchObject({ client: { id: text } })
  }
})

test('nothing in Redis is a token, a code, a secret or a private key', async () => {
  const world = await startRedisWorld()
  const hidden: Record<string, string> = { WORLD_SECRET, a: CONFIDENTIAL.secret, b: RESOURCE_SERVER.secret }
  const one = await world.authorize({ scope: 'a b' })
  const waiting = await one.browser.get(world.authorizeUrl({ scope: 'a c', state: 'another' }))
  const { body: first } = await world.token({
    ...{ grant_type: 'authorization_code', code: one.code, code_verifier: one.verifier },
    redirect_uri: REDIRECT_URI,
  })
  const { body: second } = await world.refresh(first.refresh_token)
  const { body: third } = await world.refresh(second.refresh_token)
  const { body: machine } = await world.token({ grant_type: 'client_credentials', scope: 'a' })
  const registered = await world.register({
    redirect_uris: [REDIRECT_URI],
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['authorization_code'],
  })
  const { client_id, client_secret } = registered.body
  const used = await world.signInAndGetTokens({ client_id }, { client_id, client_secret })
  expect(used.status).toBe(200)
  await world.post(world.endpoint('revoke'), {
    ...{ token: machine.access_token, client_id: CONFIDENTIAL.id, client_secret: CONFIDENTIAL.secret },
  })
  const issued = { first, second, third, machine }
  for (const [name, { access_token, refresh_token }] of Object.entries(issued)) {
    expect([name, typeof access_token]).toEqual([name, 'string'])
    hidden[`access token, ${name}`] = access_token.split('.')[2]
    if (refresh_token !== undefined) hidden[`refresh token, ${name}`] = refresh_token.replace(/^aat_rt_/, '')
  }
  hidden.code = one.code
  hidden.verifier = one.verifier
  hidden['secret of the registered client'] = registered.body.client_secret
  hidden.handle =
    new URL(waiting.headers.get('location') ?? waiting.url, world.base).href.split('=').at(-1) ?? ''
  for (const [name, value] of one.browser.cookies) if (name !== 'user') hidden[`cookie ${name}`] = value
  const keys = await openRing(world.stores, world.issuer)
  for (const { privateKey } of keys) {
    const { d } = privateKey?.export({ format: 'jwk' }) ?? {}
    if (d !== undefined) hidden.privateKey = d
  }
  expect(Object.keys(hidden)).toEqual(expect.arrayContaining(['privateKey', 'refresh token, third', 'code']))

  const dump = await dumpOf(world)
  expect(dump.length).toBeGreaterThan(3000)
  const found = Object.entries(hidden).filter(([name, secret]) => {
    expect([name, secret.length >= 16]).toEqual([name, true])
    return formsOf(secret).some((form) => dump.includes(form))
  })
  expect(found.map(([name]) => name)).toEqual([])
  // The dump would show them: a hash that is stored is found in it.
  expect(formsOf(sha256(registered.body.client_secret)).some((form) => dump.includes(form))).toBe(true)
})

/** A secret as it is, and the bytes behind it as they are, in base64, base64url and hex, whole and by half. */
function formsOf(secret: string): Buffer[] {
  const decoded = Buffer.from(secret, 'base64url')
  const half = decoded.subarray(decoded.length >> 1)
  const forms = (['base64url', 'base64', 'hex'] as const).flatMap((form) => [
    decoded.toString(form).replace(/=+$/, ''),
    Buffer.from(secret).toString(form).replace(/=+$/, ''),
  ])
  return [...[secret, ...forms].map((text) => Buffer.from(text)), decoded, half]
}

/** Names, fields and values of all keys, as they lie there. */
async function dumpOf(place: Place): Promise<Buffer> {
  const client = place.redis.client()
  const reading = { string: ['GET'], hash: ['HGETALL'], zset: ['ZRANGE', '0', '-1', 'WITHSCORES'] }
  const parts: Buffer[] = []
  for (const key of await keysIn(place)) {
    const [command = '', ...rest] = reading[(await client.type(key)) as keyof typeof reading]
    const value = (await client.callBuffer(command, [key, ...rest])) as Buffer | Buffer[] | Buffer[][]
    parts.push(
      Buffer.from(key),
      ...[value].flat(2).map((item) => (Buffer.isBuffer(item) ? item : Buffer.from(String(item)))),
    )
  }
  return Buffer.concat(parts.flatMap((part) => [part, Buffer.from('\n')]))
}
