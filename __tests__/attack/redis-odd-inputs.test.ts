import { randomUUID } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { keysIn, realClock, startRedisWorld } from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { manualClock } from '../support/world.ts'

test('an assertion is used up once, also while the clock of Redis is ahead as far as is allowed', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const redisClock = manualClock(Math.floor(Date.now() / 1000))
  const world = await startRedisWorld({
    clock: realClock(),
    redis: { clock: redisClock },
    aat: {
      clients: [
        {
          clientId: 'signer',
          jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'its', alg: 'ES256' }] },
          grantTypes: ['client_credentials'],
        },
      ],
    },
  })
  redisClock.advance(29)
  const now = Math.floor(Date.now() / 1000)
  // Over a while ago, still taken for the sake of clocks that differ.
  const assertion = await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid: 'its' })
    .setIssuer('signer')
    .setSubject('signer')
    .setAudience(world.issuer)
    .setJti(randomUUID())
    .setExpirationTime(now - 5)
    .sign(privateKey)
  const use = () =>
    world.token({
      grant_type: 'client_credentials',
      scope: 'a',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: assertion,
    })
  const answers = [await use(), await use(), await use()]
  expect(answers.map(({ status }) => status)).toEqual([200, 401, 401])
})

test('a subject that is no well-formed text is refused: revoking it would miss what Redis keeps of it', async () => {
  const world = await startRedisWorld({
    authorize: {
      resolveUser: () => ({ subject: 'mallory\ud800', authTime: Math.floor(Date.now() / 1000) }),
    },
  })
  const { location, code } = await world.authorize().catch(() => ({ location: undefined, code: '' }))
  expect({ code, error: location?.searchParams.get('error') ?? 'server_error' }).toEqual({
    code: '',
    error: 'server_error',
  })
})

test('only offline_access is asked for, twice: it is as if nothing were asked, and no token is spent for a refusal', async () => {
  const world = await startRedisWorld()
  const { body } = await world.signInAndGetTokens({ scope: 'a b' })
  const answer = await world.refresh(body.refresh_token, { scope: 'offline_access offline_access' })
  expect(answer.body).toMatchObject({ scope: 'a b' })
})

test('codes that nobody redeems do not fill the lists of families for twice the life of a refresh token', async () => {
  const world = await startRedisWorld()
  const lists = async () => (await keysIn(world)).filter((key) => /:[sk]$/.test(key))
  const longest = async () =>
    Math.max(...(await Promise.all((await lists()).map((key) => world.redis.client().pttl(key)))))
  await world.authorize()
  expect(await lists()).toHaveLength(2)
  expect(await longest()).toBeLessThan(2 * 86_400_000)
  await world.signInAndGetTokens()
  await until('the family is entered', async () => (await longest()) > 59 * 86_400_000)
})
