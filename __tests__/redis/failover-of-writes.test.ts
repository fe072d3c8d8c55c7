import { generateKeyPairSync } from 'node:crypto'
import { afterEach, expect, test } from '@jest/globals'
import { exportJWK, SignJWT } from 'jose'
import { dpopKey } from '../support/dpop.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { type ReplicatedRedis, startReplicated } from '../support/redis-servers.ts'
import { until } from '../support/until.ts'
import { basic, CONFIDENTIAL, claimsOf, REDIRECT_URI, type World } from '../support/world.ts'
import { expectInvalidGrant, type InstanceOptions, Instances, kidsOf, signIn, to } from './instances.ts'

let pair: ReplicatedRedis
let proxy: FaultProxy
let instances: Instances
afterEach(async () => {
  await instances.close()
  await pair.stop()
})

async function start(options: InstanceOptions = {}): Promise<readonly [World, World]> {
  pair = await startReplicated()
  proxy = await startFaultProxy(pair.primary.port)
  instances = new Instances(to(proxy), options)
  return [await instances.start(), await instances.start()]
}

/** What is written from now on is acknowledged and lost. */
async function cut(): Promise<void> {
  await pair.caughtUp()
  await pair.cutReplication()
}

async function failover(): Promise<void> {
  proxy.retarget((await pair.failover()).port)
  proxy.cutAll()
}

const clientCredentials = { grant_type: 'client_credentials', scope: 'a' }

test('FLT-012: a lost revocation is written again by whoever knows it, and says so', async () => {
  const [one, two] = await start()
  const [byGrant, byToken, spared] = await signIn(one, 3)
  if (byGrant === undefined || byToken === undefined || spared === undefined) throw new Error('three')
  await cut()
  await one.aat.revoke({ grantId: byGrant.grantId })
  await one.aat.revoke({ jti: String(claimsOf(byToken.access).jti) })
  for (const { access } of [byGrant, byToken])
    await until('the other knows', async () => (await two.call('/api/a', access)).status === 401)
  // The one that was asked is gone too.
  await instances.stop(one)
  await failover()
  await until('it was noticed', () => two.eventsNamed('revocation.rolled_back').length === 1)
  expect(two.eventsNamed('revocation.rolled_back')).toMatchObject([{ from: 2, to: 0, added: 2 }])
  const three = await instances.start()
  for (const world of [two, three]) {
    for (const { access } of [byGrant, byToken]) expect((await world.call('/api/a', access)).status).toBe(401)
    expect((await world.call('/api/a', spared.access)).status).toBe(200)
    await expectInvalidGrant(world, byGrant.token)
  }
  await spared.refresh(three)
  await byToken.refresh(three)
})

test('FLT-012: with replicas to wait for, whoever revokes is told that it may be lost', async () => {
  const [one] = await start({ redis: { replicas: 1, deadline: 2000 } })
  const [holder] = await signIn(one, 1)
  await one.aat.revoke({ jti: 'before' })
  await cut()
  await expect(one.aat.revoke({ jti: 'after' })).rejects.toThrow('0 of 1 replicas')
  const revoked = await one.post(
    one.endpoint('revoke'),
    { token: holder?.token ?? '' },
    basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
  )
  expect(revoked.status).toBe(503)
  expect(revoked.headers.get('retry-after')).toMatch(/^\d+$/)
})

test('FLT-013: a lost redemption can be repeated until the code ends, with the verifier, and gives the same family', async () => {
  const [one, two] = await start({ aat: { codeLifetime: 4 } })
  const { code, verifier } = await one.authorize({ scope: 'a' })
  const redeem = (world: World, code_verifier = verifier) =>
    world.token({ grant_type: 'authorization_code', code, code_verifier, redirect_uri: REDIRECT_URI })
  await cut()
  const first = await redeem(one)
  expect(first.status).toBe(200)
  await failover()
  const again = await until('it is answered', async () => {
    const answer = await redeem(two)
    return answer.status !== 503 && answer
  })
  expect(again.status).toBe(200)
  // Not a second family: the same tokens for both, so one of two holders is found out at its next use but one.
  expect(again.body.refresh_token).toBe(first.body.refresh_token)
  expect((await redeem(two)).body.error).toBe('invalid_grant')
  expect(two.eventsNamed('code.reused')).toHaveLength(1)
  await expectInvalidGrant(one, first.body.refresh_token)
  for (const { access_token: token } of [first.body, again.body])
    await until('refused', async () => (await one.call('/api/a', token)).status === 401)
})

test('FLT-013: after the end of the code a lost redemption cannot be repeated', async () => {
  const [one, two] = await start({ aat: { codeLifetime: 1 } })
  const { code, verifier } = await one.authorize({ scope: 'a' })
  await cut()
  const parameters = { grant_type: 'authorization_code', code, redirect_uri: REDIRECT_URI }
  const first = await one.token({ ...parameters, code_verifier: verifier })
  expect(first.status).toBe(200)
  const ended = Date.now() + 1000
  await failover()
  await until('the code is over', () => Date.now() > ended)
  const again = await until('it is answered', async () => {
    const answer = await two.token({ ...parameters, code_verifier: verifier })
    return answer.status !== 503 && answer
  })
  expect(again.body.error).toBe('invalid_grant')
  // The family that it opened was lost with it: its client asks the user again.
  await expectInvalidGrant(two, first.body.refresh_token)
})

test('FLT-014: a lost assertion id can be used once more, and never after the assertion has ended', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }
  const [one, two] = await start({
    aat: {
      clients: [{ clientId: 'robot', jwks: { keys: [jwk as never] }, grantTypes: ['client_credentials'] }],
    },
  })
  const assertion = await new SignJWT({ jti: 'once' })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' })
    .setIssuer('robot')
    .setSubject('robot')
    .setAudience(one.issuer)
    .setIssuedAt()
    .setExpirationTime('10s')
    .sign(privateKey)
  const ask = (world: World) =>
    world.token({
      ...clientCredentials,
      client_id: 'robot',
      client_assertion: assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    })
  await cut()
  expect((await ask(one)).status).toBe(200)
  expect((await ask(two)).status).toBe(401)
  await failover()
  const again = await until('it is answered', async () => {
    const answer = await ask(two)
    return answer.status !== 503 && answer
  })
  expect(again.status).toBe(200)
  expect((await ask(one)).status).toBe(401)
  // Ten seconds, and thirty for clocks that differ.
  for (const world of [one, two]) world.clock.advance(41)
  for (const world of [one, two]) expect((await ask(world)).status).toBe(401)
})

test('FLT-014: a lost DPoP proof can be used once more, and never after it has ended', async () => {
  const [one, two] = await start()
  const key = await dpopKey(one.clock)
  const proof = key.proof('POST', `${one.issuer}/oauth/token`)
  const headers = { ...basic(CONFIDENTIAL.id, CONFIDENTIAL.secret), DPoP: proof }
  const ask = (world: World) => world.token(clientCredentials, headers)
  await cut()
  expect((await ask(one)).status).toBe(200)
  expect((await ask(two)).body.error).toBe('invalid_dpop_proof')
  await failover()
  const again = await until('it is answered', async () => {
    const answer = await ask(two)
    return answer.status !== 503 && answer
  })
  expect(again.status).toBe(200)
  expect((await ask(one)).body.error).toBe('invalid_dpop_proof')
  for (const world of [one, two]) world.clock.advance(61)
  for (const world of [one, two]) expect((await ask(world)).body.error).toBe('invalid_dpop_proof')
})

test('FLT-015: a lost registration is invalid_client, and the client registers again', async () => {
  const [one, two] = await start()
  await cut()
  const metadata = {
    redirect_uris: [REDIRECT_URI],
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['authorization_code', 'refresh_token'],
  }
  const { status, body } = await one.register(metadata)
  expect(status).toBe(201)
  await failover()
  const ask = (world: World, { client_id, client_secret }: { client_id: string; client_secret: string }) =>
    world.token({ grant_type: 'refresh_token', refresh_token: 'none', client_id, client_secret }, {})
  const lost = await until('it is answered', async () => {
    const answer = await ask(two, body)
    return answer.status !== 503 && answer
  })
  expect({ status: lost.status, error: lost.body.error }).toEqual({ status: 401, error: 'invalid_client' })
  const again = await two.register(metadata)
  expect(again.status).toBe(201)
  for (const world of [one, two]) expect((await ask(world, again.body)).body.error).toBe('invalid_grant')
})

test('FLT-015: with replicas to wait for, a registration or redemption that may be lost is 503', async () => {
  const [one] = await start({ redis: { replicas: 1, deadline: 2000 } })
  const { code, verifier } = await one.authorize({ scope: 'a' })
  await cut()
  expect((await one.register({ redirect_uris: [REDIRECT_URI] })).status).toBe(503)
  const redemption = await one.token({
    grant_type: 'authorization_code',
    code,
    code_verifier: verifier,
    redirect_uri: REDIRECT_URI,
  })
  expect(redemption.status).toBe(503)
})

test('FLT-016: a lost new key is published again by the instances, and nothing that was signed fails', async () => {
  const [one, two] = await start()
  const before = await kidsOf(one)
  const token = (await one.token(clientCredentials)).body.access_token
  await cut()
  await one.aat.keys.rotate({ immediately: true })
  const after = await kidsOf(one)
  expect(after).toHaveLength(3)
  await until('the other has it', async () => (await kidsOf(two)).length === 3)
  const younger = (await two.token(clientCredentials)).body.access_token
  await failover()
  await until('it was noticed', () => instances.eventsNamed('ring.repaired').length > 0)
  const added = instances.eventsNamed('ring.repaired').flatMap(({ added: kids }) => kids)
  // The new one, and what the rotation changed of those before.
  expect(added).toEqual(expect.arrayContaining(after.filter((kid) => !before.includes(kid))))
  const three = await instances.start()
  for (const world of [one, two, three]) {
    expect(await kidsOf(world)).toEqual(after)
    for (const signed of [token, younger]) expect((await world.call('/api/a', signed)).status).toBe(200)
  }
})
