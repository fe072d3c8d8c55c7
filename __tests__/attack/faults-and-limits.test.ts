import { createHmac, hkdfSync, randomBytes } from 'node:crypto'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { claimsOf, REDIRECT_URI, startWorld } from '../support/world.ts'

test('custom claims that make the token too long are refused before the code is spent', async () => {
  let name = '\u6f22'.repeat(980)
  const world = await startWorld({ aat: { claims: () => ({ name }) } })
  const { code, verifier } = await world.authorize()
  const redeem = () =>
    world.token({
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    })
  const first = await redeem()
  name = 'short'
  const second = await redeem()
  await world.close()
  expect([first.status, second.status]).toEqual([500, 200])
})

test('registration with a deeply nested jwk is 400, not 500', async () => {
  const world = await startWorld()
  const deep = '['.repeat(30_000) + ']'.repeat(30_000)
  const response = await fetch(world.endpoint('register'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: `{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt","jwks":{"keys":[{"kty":"EC","x":${deep}}]}}`,
  })
  await world.close()
  expect(response.status).toBe(400)
})

test('an assertion whose exp has a fraction cannot be used twice', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(publicKey)
  const world = await startWorld({
    aat: {
      clients: [
        {
          clientId: 'jwt',
          jwks: { keys: [jwk as Record<string, unknown>] },
          grantTypes: ['client_credentials'],
        },
      ],
    },
  })
  const now = world.clock()
  const assertion = await new SignJWT({
    jti: 'once',
    exp: now + 60.1,
    iss: 'jwt',
    sub: 'jwt',
    aud: world.issuer,
  })
    .setProtectedHeader({ alg: 'ES256' })
    .sign(privateKey)
  const use = async () =>
    (
      await world.token({
        grant_type: 'client_credentials',
        scope: 'a',
        client_id: 'jwt',
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: assertion,
      })
    ).status
  const first = await use()
  world.clock.now = now + 90.5
  const later = [await use(), await use(), await use()]
  await world.close()
  expect({ first, later }).toEqual({ first: 200, later: [401, 401, 401] })
})

test('the limit of failed client authentications holds for requests whose bodies were held back', async () => {
  const world = await startWorld()
  const { port } = new URL(world.base)
  const guesses = 900 // the limit is 600
  const statuses: number[] = []
  const body = 'grant_type=client_credentials&client_id=confidential&client_secret=wrong-wrong-wrong-wrong'
  const sockets = Array.from({ length: guesses }, () => {
    const socket = connect(Number(port), '127.0.0.1')
    socket.on('error', () => undefined)
    const done = new Promise<void>((resolve) => {
      socket.on('data', (data) => {
        const status = /^HTTP\/1\.1 (\d+)/.exec(String(data))?.[1]
        if (status !== undefined) statuses.push(Number(status))
        socket.destroy()
      })
      socket.on('close', () => resolve())
    })
    socket.write(
      `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`,
    )
    return { socket, done }
  })
  // All of them have arrived, none with its body.
  while ((await connectionsOf(world.server)) < sockets.length) await new Promise(setImmediate)
  for (const { socket } of sockets) socket.write(body)
  await Promise.all(sockets.map(({ done }) => done))
  await world.close()
  expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(600)
})

test('with a leaked secret and a grant_id (a claim of every token), but without any token of it, no refresh token can be made', async () => {
  const world = await startWorld()
  const { body } = await world.signInAndGetTokens()
  const grantId = Buffer.from(String(claimsOf(body.access_token).grant_id), 'base64url')
  const key = Buffer.from(
    hkdfSync(
      'sha256',
      Buffer.from('test-secret-0123456789-0123456789-0123456789'),
      '',
      'express-aat/1/tag',
      32,
    ),
  )
  const generation = Buffer.from([0x7f, 0, 0, 0])
  const secret = randomBytes(32)
  const tag = createHmac('sha256', key)
    .update('tag')
    .update(grantId)
    .update(generation)
    .update(secret)
    .digest()
  const forged = `aat_rt_${Buffer.concat([grantId, generation, secret, tag.subarray(0, 16)]).toString('base64url')}`
  const answer = await world.refresh(forged)
  await world.close()
  expect(answer.status).toBe(400)
})

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  )
}
