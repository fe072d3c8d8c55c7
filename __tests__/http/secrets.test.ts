import { generateKeyPairSync } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from '@jest/globals'
import { SignJWT } from 'jose'
import { memoryStores } from '../../lib/index.ts'
import { readRing } from '../support/read-ring.ts'
import {
  basic,
  CONFIDENTIAL,
  manualClock,
  PUBLIC,
  REDIRECT_URI,
  RESOURCE_SERVER,
  startWorld,
} from '../support/world.ts'

test('HTP-013: no event, warning or console line of a whole life holds a secret', async () => {
  const lines: unknown[] = []
  const { emitWarning } = process
  process.emitWarning = (...args: unknown[]) => void lines.push(args)
  const consoles = (['log', 'info', 'warn', 'error', 'debug'] as const).map(
    (name) => [name, console[name]] as const,
  )
  for (const [name] of consoles) console[name] = (...args: unknown[]) => void lines.push(args)
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const world = await startWorld({
    stores,
    clock,
    aat: { secrets: ['the-secret-of-this-server-0123456789-0123456789', undefined] },
  })
  const hidden = new Set<string>([
    'the-secret-of-this-server-0123456789-0123456789',
    CONFIDENTIAL.secret,
    RESOURCE_SERVER.secret,
  ])
  try {
    const client = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
    const keep = (...texts: string[]) => texts.forEach((text) => void hidden.add(text))
    const exchange = (code: string, verifier: string, more: Record<string, string> = {}) =>
      world.token({
        grant_type: 'authorization_code',
        code,
        code_verifier: verifier,
        redirect_uri: REDIRECT_URI,
        ...more,
      })

    // A whole life: code, reuse, wrong verifier, wrong client, refresh, retry, reuse, revocation, introspection.
    const one = await world.authorize({ scope: 'a b', state: 'a-state-that-only-the-client-knows' })
    keep(one.code, one.verifier, 'a-state-that-only-the-client-knows', ...one.browser.cookies.values())
    const { body } = await exchange(one.code, one.verifier)
    keep(body.access_token, body.access_token.split('.')[2], body.refresh_token)
    await exchange(one.code, one.verifier)
    const two = await world.authorize({ scope: 'a' })
    keep(two.code, two.verifier)
    await exchange(two.code, 'w'.repeat(43))
    keep('w'.repeat(43))
    const three = await world.authorize({ scope: 'a' })
    keep(three.code, three.verifier)
    await exchange(three.code, three.verifier, { client_id: PUBLIC.id })
    await exchange(three.code, three.verifier)
    const four = (await world.signInAndGetTokens({ scope: 'a' })).body
    keep(four.access_token, four.refresh_token)
    const next = (await world.refresh(four.refresh_token)).body
    keep(next.access_token, next.refresh_token)
    await world.refresh(four.refresh_token)
    await world.refresh(next.refresh_token)
    clock.advance(60)
    await world.refresh(four.refresh_token)
    await world.refresh(four.refresh_token, { client_id: PUBLIC.id })
    await world.post(world.endpoint('revoke'), { token: next.access_token }, client)
    await world.post(world.endpoint('revoke'), { token: next.refresh_token }, client)
    await world.post(
      world.endpoint('introspect'),
      { token: next.access_token },
      basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret),
    )
    for (const wrong of ['wrong-secret-of-somebody-else', 'another-wrong-one']) {
      keep(wrong)
      await world.token({ grant_type: 'client_credentials' }, basic(CONFIDENTIAL.id, wrong))
      await world.token({
        grant_type: 'client_credentials',
        client_id: CONFIDENTIAL.id,
        client_secret: wrong,
      })
    }
    await world.call('/api/a', next.access_token)
    await world.call('/api/a', `${next.access_token}x`)
    await world.call('/api/a', 'a-token-that-is-none')
    keep('a-token-that-is-none')

    // Registration, and an assertion.
    const registered = (await world.register({ redirect_uris: [REDIRECT_URI] })).body
    keep(registered.client_secret)
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwks = { keys: [publicKey.export({ format: 'jwk' })] }
    const own = (
      await world.register({
        redirect_uris: [REDIRECT_URI],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks,
      })
    ).body
    const assertion = await new SignJWT({ jti: 'j' })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(own.client_id)
      .setSubject(own.client_id)
      .setAudience(world.issuer)
      .setExpirationTime(clock.now + 60)
      .sign(privateKey)
    keep(assertion)
    for (let use = 0; use < 2; use++)
      await world.token({
        grant_type: 'authorization_code',
        code: 'x',
        client_assertion: assertion,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      })
    await world.aat.keys.rotate({ immediately: true })
    await world.aat.revoke({ subject: 'alice' })
    await world.aat.clients.delete(registered.client_id)

    // Private parts of the ring, as they lie in the store.
    for (const key of (await readRing(stores.ring)).keys)
      keep(
        key.sealed?.ciphertext ?? key.kid + key.kid,
        key.sealed?.wrappedKey ?? key.kid + key.kid,
        key.proof.tag,
      )

    const names = new Set(world.events.map(({ name }) => name))
    for (const name of [
      'authorization.granted',
      'code.reused',
      'code.burnt',
      'token.issued',
      'token.refreshed',
      'token.retried',
      'refresh_token.reused',
      'token.foreign',
      'revocation.recorded',
      'client.registered',
      'client.deleted',
      'client.authentication_failed',
    ] as const)
      expect([name, names.has(name)]).toEqual([name, true])

    const everything =
      inspect([world.events, lines], {
        depth: 20,
        maxArrayLength: null,
        maxStringLength: null,
        showHidden: true,
        breakLength: Infinity,
      }) + JSON.stringify(world.events)
    expect(hidden.size).toBeGreaterThan(20)
    for (const secret of hidden) expect([secret, everything.includes(secret)]).toEqual([secret, false])
    // Nor the part of an opaque token that carries its entropy, nor a hash in the spellings that are around.
    for (const text of [one.code, body.refresh_token, next.refresh_token])
      expect(everything).not.toContain(text.slice(-40))
    expect(everything).not.toMatch(/"d":|privateKey|Hash|aat_(ac|rt|reg)_|eyJ[A-Za-z0-9_-]{10,}\./)
  } finally {
    process.emitWarning = emitWarning
    for (const [name, original] of consoles) console[name] = original
    await world.close()
  }
})

test("HTP-014: a name of the caller's is one JSON line in a log, and short", async () => {
  const world = await startWorld()
  try {
    const evil = 'a\n{"level":"fatal","msg":"x"}'
    await world.token({ grant_type: 'client_credentials', client_id: evil })
    const assertion = `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${Buffer.from(JSON.stringify({ sub: evil + 'x'.repeat(3000) })).toString('base64url')}.AAAA`
    await world.token({
      grant_type: 'client_credentials',
      client_assertion: assertion,
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    })
    const failed = world.eventsNamed('client.authentication_failed')
    expect(failed.length).toBeGreaterThanOrEqual(1)
    for (const event of failed) {
      const line = JSON.stringify(event)
      expect(line).not.toMatch(/[\r\n]/)
      expect(line.length).toBeLessThan(2000)
    }
  } finally {
    await world.close()
  }
})
