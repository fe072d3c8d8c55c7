import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { memoryStores, remoteIssuer, requireAat, type SigningAlgorithm } from '../../lib/index.ts'
import { type Forger, forge, forgerOf, jtiOf, partsOfToken, segment, signatureOf } from '../support/forge.ts'
import { recordingStores } from '../support/recording-stores.ts'
import { headerOf, manualClock, startWorld, type World } from '../support/world.ts'

interface Scene {
  world: World
  forger: Forger
  calls: ReturnType<typeof recordingStores>['calls']
  token: string
}

async function startScene(alg: SigningAlgorithm): Promise<Scene> {
  const clock = manualClock()
  const { stores, calls } = recordingStores(memoryStores({ clock }))
  const world = await startWorld({ stores, clock, aat: { keys: { alg } } })
  const forger = await forgerOf(world, stores)
  const answer = await world.token({ grant_type: 'client_credentials', scope: 'a' })
  return { world, forger, calls, token: answer.body.access_token }
}

let ec: Scene
let rsa: Scene
beforeAll(async () => {
  ec = await startScene('ES256')
  rsa = await startScene('RS256')
})
afterAll(async () => {
  await ec.world.close()
  await rsa.world.close()
})

async function expectRefused(world: World, token: string): Promise<void> {
  const answer = await world.call('/api/a', token)
  expect([answer.status, answer.body?.error]).toEqual([401, 'invalid_token'])
  expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/)
}

const publicKeyOf = ({ forger }: Scene): KeyObject =>
  createPublicKey({ key: forger.record.publicJwk as JsonWebKey, format: 'jwk' })

test('the forger of these tests makes tokens that are accepted when nothing is wrong with them', async () => {
  for (const { world, forger } of [ec, rsa])
    expect((await world.call('/api/a', forger.withClaims({}))).status).toBe(200)
})

test.each(['none', 'None', 'NONE', 'noNE', 'nOnE', ''])(
  'ALG-001, ALG-002: alg %j without a signature is refused, and no store is asked',
  async (alg) => {
    const { world, forger, calls, token } = ec
    const before = calls.length
    const { payload, signature } = partsOfToken(token)
    const header = segment({ ...forger.header, alg })
    await expectRefused(world, `${header}.${payload}.`)
    await expectRefused(world, `${header}.${payload}.${signature.toString('base64url')}`)
    await expectRefused(world, `${header}.${payload}.AA`)
    expect(calls.slice(before).filter(({ store }) => store !== 'ring' && store !== 'revocations')).toEqual([])
  },
)

test('ALG-004, ALG-005: an HMAC with any encoding of the public key as its secret is refused', async () => {
  for (const scene of [ec, rsa]) {
    const { world, forger } = scene
    const key = publicKeyOf(scene)
    const jwk = { ...forger.record.publicJwk }
    const jwks = (await (await fetch(`${world.base}/.well-known/jwks.json`)).json()) as { keys: object[] }
    const secrets = [
      Buffer.from(key.export({ format: 'pem', type: 'spki' }) as string),
      Buffer.from((key.export({ format: 'pem', type: 'spki' }) as string).trim()),
      key.export({ format: 'der', type: 'spki' }) as Buffer,
      Buffer.from(JSON.stringify(jwk)),
      Buffer.from(JSON.stringify(jwks.keys[0])),
      Buffer.from(jwk.n ?? jwk.x ?? '', 'base64url'),
      Buffer.from(jwk.n ?? jwk.x ?? ''),
      Buffer.from(forger.header.kid),
    ]
    for (const alg of ['HS256', 'HS384', 'HS512'])
      for (const secret of secrets) {
        await expectRefused(world, forge({ ...forger.header, alg }, forger.claims(), alg, secret))
        // The header tells the truth about the ring, the signature is the HMAC.
        await expectRefused(world, forge(forger.header, forger.claims(), alg, secret))
      }
  }
})

test('ALG-007: an HMAC with the empty key, under a kid that is known or not, is refused', async () => {
  const { world, forger } = ec
  for (const kid of ['nope', '', forger.header.kid])
    for (const alg of ['HS256', 'ES256'])
      await expectRefused(
        world,
        forge({ alg, typ: 'at+jwt', kid }, forger.claims(), 'HS256', Buffer.alloc(0)),
      )
})

describe("ALG-008, ALG-010, ALG-050: the algorithm is the ring record's, never the header's", () => {
  test.each(['RS384', 'RS512', 'PS256', 'PS384', 'PS512'])(
    "ALG-010: %s with the ring's own RS256 key",
    async (alg) => {
      const { world, forger } = rsa
      await expectRefused(world, forge({ ...forger.header, alg }, forger.claims(), alg, forger.privateKey))
      // Signed so, but labelled as the ring has it.
      await expectRefused(world, forge(forger.header, forger.claims(), alg, forger.privateKey))
      // Signed as the ring has it, but labelled otherwise.
      await expectRefused(
        world,
        forge({ ...forger.header, alg }, forger.claims(), 'RS256', forger.privateKey),
      )
    },
  )

  test.each(['ES384', 'ES512', 'ES256K', 'EdDSA', 'RS256', 'es256'])(
    'ALG-050: label %s on a good ES256 signature',
    async (alg) => {
      const { world, forger } = ec
      await expectRefused(
        world,
        forge({ ...forger.header, alg }, forger.claims(), 'ES256', forger.privateKey),
      )
    },
  )

  test('ALG-010: ES384 over the P-256 key', async () => {
    const { world, forger } = ec
    await expectRefused(
      world,
      forge({ ...forger.header, alg: 'ES384' }, forger.claims(), 'ES384', forger.privateKey),
    )
    await expectRefused(world, forge(forger.header, forger.claims(), 'ES384', forger.privateKey))
  })

  test('ALG-008: a key of a remote JWK Set that does not say its algorithm verifies nothing', async () => {
    const pair = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const bare = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'bare' }
    const good = { ...other.publicKey.export({ format: 'jwk' }), kid: 'good', alg: 'ES256' }
    const confused = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'confused', alg: 'ES256' }
    const encryption = { ...other.publicKey.export({ format: 'jwk' }), kid: 'enc', alg: 'ES256', use: 'enc' }
    const symmetric = { kty: 'oct', k: 'AAAA', kid: 'oct', alg: 'HS256' }
    const issuer = 'https://issuer.example'
    const world = await startWorld({
      after: (app) => {
        const resource = 'https://api.example/api'
        const remote = remoteIssuer(issuer, {
          resources: { [resource]: { scopes: ['a'] } },
          jwksUri: `${issuer}/jwks`,
          clock: () => 1_800_000_000,
          fetch: async () => Response.json({ keys: [bare, good, confused, encryption, symmetric] }),
        })
        app.get('/remote', requireAat(remote, { scope: 'a' }), (_req, res) => void res.json({ ok: true }))
      },
    })
    try {
      const claims = {
        iss: issuer,
        sub: 'alice',
        aud: 'https://api.example/api',
        client_id: 'x',
        iat: 1_800_000_000,
        exp: 1_800_000_300,
        jti: 'j',
        scope: 'a',
      }
      const present = async (kid: string, alg: string, key: KeyObject | Buffer) =>
        (await world.call('/remote', forge({ alg, typ: 'at+jwt', kid }, claims, alg, key))).status
      expect(await present('good', 'ES256', other.privateKey)).toBe(200)
      for (const alg of ['RS256', 'RS384', 'PS256']) {
        expect(await present('bare', alg, pair.privateKey)).toBe(401)
        expect(await present('confused', alg, pair.privateKey)).toBe(401)
      }
      expect(await present('enc', 'ES256', other.privateKey)).toBe(401)
      expect(await present('oct', 'HS256', Buffer.from('AAAA', 'base64url'))).toBe(401)
    } finally {
      await world.close()
    }
  })
})

const P256_N = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551')
const scalar = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')

test('ALG-011: psychic signatures (r and s of 0, n, n+1, 1) are refused', async () => {
  const { world, token } = ec
  const { header, payload } = partsOfToken(token)
  const odd = [0n, 1n, P256_N, P256_N + 1n, 2n ** 256n - 1n]
  for (const r of odd)
    for (const s of odd)
      await expectRefused(
        world,
        `${header}.${payload}.${Buffer.concat([scalar(r), scalar(s)]).toString('base64url')}`,
      )
})

test('ALG-013: whatever becomes of the (r, n - s) twin, revoking the jti refuses it with the original', async () => {
  const { world } = ec
  const token = (await world.signInAndGetTokens({ scope: 'a' })).body.access_token
  const { header, payload, signature } = partsOfToken(token)
  const s = BigInt(`0x${signature.subarray(32).toString('hex')}`)
  const twin = `${header}.${payload}.${Buffer.concat([signature.subarray(0, 32), scalar(P256_N - s)]).toString('base64url')}`
  expect(twin).not.toBe(token)
  expect((await world.call('/api/a', token)).status).toBe(200)
  await world.aat.revoke({ jti: jtiOf(token) })
  await expectRefused(world, token)
  await expectRefused(world, twin)
})

test.each(['jku', 'x5u', 'jwk', 'x5c', 'x5t', 'x5t#S256'])(
  'ALG-028, ALG-029, ALG-031: header %s is refused, and nobody is called',
  async (name) => {
    const { world, forger } = ec
    let connections = 0
    const attacker = createServer((_req, res) => {
      res.end(JSON.stringify({ keys: [jwk] }))
    })
    attacker.on('connection', () => connections++)
    await new Promise<void>((resolve) => attacker.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(attacker.address() as AddressInfo).port}/keys`
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'evil', alg: 'ES256' }
    const der = (pair.publicKey.export({ format: 'der', type: 'spki' }) as Buffer).toString('base64')
    const thumb = createHash('sha1').update(der).digest('base64url')
    const value = { jku: url, x5u: url, jwk, x5c: [der], x5t: thumb, 'x5t#S256': thumb }[name]
    try {
      for (const kid of ['evil', forger.header.kid]) {
        const header = { ...forger.header, kid, [name]: value }
        await expectRefused(world, forge(header, forger.claims(), 'ES256', pair.privateKey))
      }
      // Signed by the ring's own key: still not what this server makes.
      await expectRefused(world, forger.withHeader({ ...forger.header, [name]: value }))
      expect(connections).toBe(0)
    } finally {
      await new Promise((resolve) => attacker.close(resolve))
    }
  },
)

test.each([
  '../../../../dev/null',
  "' OR 1=1--",
  'aat:{ring}:r',
  'a\r\nSET x 1',
  '__proto__',
  'constructor',
  'toString',
  'k'.repeat(300),
  '\u0000',
])('ALG-020: kid %j reaches no store', async (kid) => {
  const { world, forger, calls } = ec
  const before = calls.length
  await expectRefused(world, forger.withHeader({ ...forger.header, kid }))
  expect(JSON.stringify(calls.slice(before))).not.toContain(JSON.stringify(kid).slice(1, -1))
})

test.each([1, null, {}, ['k1'], true, 1.5, ''])('ALG-022: kid %j is refused', async (kid) => {
  await expectRefused(ec.world, ec.forger.withHeader({ ...ec.forger.header, kid }))
})

test('ALG-022: an array that prints as the kid is refused', async () => {
  await expectRefused(ec.world, ec.forger.withHeader({ ...ec.forger.header, kid: [ec.forger.header.kid] }))
})

test('ALG-023: a token without kid is refused; keys are not tried out', async () => {
  const { kid: _, ...header } = ec.forger.header
  await expectRefused(ec.world, ec.forger.withHeader(header))
})

test('ALG-050: every signature algorithm signs and verifies as itself only', async () => {
  for (const alg of ['ES384', 'ES512', 'PS256', 'EdDSA'] as const) {
    const scene = await startScene(alg)
    try {
      expect(headerOf(scene.token).alg).toBe(alg)
      expect((await scene.world.call('/api/a', scene.token)).status).toBe(200)
      const { header, payload, signature } = partsOfToken(scene.token)
      const flipped = Buffer.from(signature)
      flipped[5] = (flipped[5] ?? 0) ^ 1
      await expectRefused(scene.world, `${header}.${payload}.${flipped.toString('base64url')}`)
      const wrong = { ES384: 'ES256', ES512: 'ES256', PS256: 'RS256', EdDSA: 'ES256' }[alg]
      await expectRefused(scene.world, scene.forger.withHeader({ ...scene.forger.header, alg: wrong }))
      const input = `${header}.${payload}`
      if (alg === 'PS256')
        await expectRefused(
          scene.world,
          `${input}.${signatureOf('RS256', scene.forger.privateKey, input).toString('base64url')}`,
        )
    } finally {
      await scene.world.close()
    }
  }
})
