import { expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { aclLine, scriptCommands } from '../../lib/stores/redis/acl.ts'
import { type RedisServer, startRedis } from '../support/redis-servers.ts'
import { anotherInstance, closeLater, proxiedStores, startRedisWorld } from '../support/redis-world.ts'
import { until } from '../support/until.ts'
import { basic, CONFIDENTIAL, pkce, REDIRECT_URI } from '../support/world.ts'

const PREFIX = 'acl:'
const USER = { username: 'aat', password: 'a-password-of-the-suite' }

/** A server whose user `aat` was made by the line of the README. */
async function guarded(args: string[] = []): Promise<RedisServer> {
  const server = await startRedis({ args: ['--appendonly', 'yes', ...args] })
  closeLater(() => server.stop())
  await setUser(server, aclLine(PREFIX))
  return server
}

async function setUser(server: RedisServer, line: string): Promise<void> {
  const [command = '', ...words] = line.replace('PASSWORD', USER.password).split(' ')
  expect(await server.send(command, ...words)).toBe('OK')
}

async function unusable(server: RedisServer, prefix = PREFIX): Promise<string[]> {
  const { stores } = await proxiedStores({ server, client: USER, redis: { prefix } })
  const findings = (await stores.check?.()) ?? []
  await stores.close?.()
  return findings.filter(({ severity }) => severity === 'unusable').map(({ message }) => message)
}

test('FLT-051: a user made by exactly the documented line: the whole suite works, hints by pub/sub included', async () => {
  const server = await guarded()
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  // The hint alone: without the look at the log each second.
  const every = () => () => undefined
  const options = { server, client: USER, loaded: false, redis: { prefix: PREFIX }, dcr: { rateLimit: {} } }
  const world = await startRedisWorld({ ...options, aat: { every } })
  const other = await anotherInstance(world, { ...options, aat: { every } })

  const { body } = await world.signInAndGetTokens()
  const refreshed = await other.refresh(body.refresh_token)
  expect(refreshed.status).toBe(200)
  const client = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
  const introspect = (token: string) => world.post(world.endpoint('introspect'), { token }, client)
  expect((await introspect(refreshed.body.refresh_token)).body.active).toBe(true)
  expect((await world.token({ grant_type: 'client_credentials' })).status).toBe(200)

  const registered = await world.register({
    redirect_uris: [REDIRECT_URI],
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] },
  })
  expect(registered.status).toBe(201)
  const id = registered.body.client_id
  const client_assertion = await new SignJWT({ jti: pkce().verifier })
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setIssuer(id)
    .setSubject(id)
    .setAudience(world.issuer)
    .setExpirationTime('60s')
    .sign(privateKey)
  const assertion = {
    grant_type: 'refresh_token',
    refresh_token: refreshed.body.refresh_token,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion,
  }
  // Authenticated, though not for this grant type; then the same assertion once more.
  expect((await world.token(assertion, {})).body.error).toBe('unauthorized_client')
  expect((await other.token(assertion, {})).body.error).toBe('invalid_client')

  expect((await other.call('/api/a', refreshed.body.access_token)).status).toBe(200)
  const revoked = await world.post(world.endpoint('revoke'), { token: refreshed.body.refresh_token }, client)
  expect(revoked.status).toBe(200)
  await until(
    'the hint arrived',
    async () => (await other.call('/api/a', refreshed.body.access_token)).status === 401,
    {
      timeout: 2000,
    },
  )
  expect((await introspect(refreshed.body.refresh_token)).body).toEqual({ active: false })
  await world.aat.keys.rotate()
  await world.aat.revoke({ subject: 'alice' })

  for (const { aat, eventsNamed } of [world, other]) {
    expect(eventsNamed('fault')).toEqual([])
    expect(aat.health()).toMatchObject({ ready: true, problems: [] })
    expect(aat.health().advice.filter((advice) => !/CVE|settings/.test(advice))).toEqual([])
  }
  expect(await unusable(server)).toEqual([])
})

test('FLT-051: a user that may do more: advice with the exact line to use', async () => {
  const server = await guarded()
  const { stores } = await proxiedStores({ server, redis: { prefix: PREFIX } })
  const findings = (await stores.check?.()) ?? []
  expect(findings).toContainEqual({
    severity: 'advice',
    message: `the Redis user may do more than it needs; this is all: ${aclLine(PREFIX)}`,
  })
  expect(findings.filter(({ severity }) => severity === 'unusable')).toEqual([])
})

test('a user that lacks one command of the scripts is told which', async () => {
  const server = await guarded()
  for (const command of scriptCommands) {
    await setUser(server, aclLine(PREFIX))
    await server.send('ACL', 'SETUSER', 'aat', `-${command}`)
    const [message, ...more] = await unusable(server)
    expect(more).toEqual([])
    // Without TIME no script can even begin to look.
    if (command === 'time')
      expect(message).toBe(
        `NOPERM: the Redis user may not run a command or use a key that is needed; see the ACL line in the README: ${aclLine(PREFIX)}`,
      )
    else
      expect(message).toBe(
        `the Redis user may not run ${command.toUpperCase()}; it needs: ${aclLine(PREFIX)}`,
      )
    expect(message).not.toContain(USER.password)
  }
})

test('a user for other keys, for other channels, or without EVALSHA', async () => {
  const server = await guarded()
  const [keys = ''] = await unusable(server, 'other:')
  expect(keys).toContain('NOPERM: ')
  expect(keys).toContain(aclLine('other:'))
  await server.send('ACL', 'SETUSER', 'aat', 'resetchannels')
  expect(await unusable(server)).toEqual([`the Redis user may not run PUBLISH; it needs: ${aclLine(PREFIX)}`])
  await setUser(server, aclLine(PREFIX))
  await server.send('ACL', 'SETUSER', 'aat', '-evalsha', '-eval')
  expect((await unusable(server))[0]).toContain('NOPERM: ')
})
