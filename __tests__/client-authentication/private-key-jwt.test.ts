import { createHmac, createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { type JWTPayload, SignJWT } from 'jose'
import { memoryStores, type Stores } from '../../lib/index.ts'
import { recordingStores, type StoreCall } from '../support/recording-stores.ts'
import { CONFIDENTIAL, manualClock, startWorld, type World } from '../support/world.ts'

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const strangers = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwkOf = (key: KeyObject, kid: string) => ({ ...key.export({ format: 'jwk' }), kid })
const jwks = { keys: [jwkOf(ec.publicKey, 'ec'), jwkOf(rsa.publicKey, 'rsa')] }

const grantTypes = ['client_credentials' as const]
const clients = [
  { clientId: 'any-alg', jwks, grantTypes },
  { clientId: 'es256-only', jwks, tokenEndpointAuthSigningAlg: 'ES256', grantTypes },
  { clientId: 'other', jwks: { keys: [jwkOf(strangers.publicKey, 'strangers')] }, grantTypes },
  { clientId: CONFIDENTIAL.id, clientSecret: CONFIDENTIAL.secret, grantTypes },
]

const clock = manualClock()
let stores: Stores
let calls: StoreCall[]
let world: World
let serial = 0
beforeAll(async () => {
  const recorded = recordingStores(memoryStores({ clock }))
  stores = recorded.stores
  calls = recorded.calls
  world = await startWorld({ clock, stores, aat: { clients } })
})
afterAll(() => world.close())
beforeEach(() => {
  world.events.length = 0
  calls.length = 0
})

interface Order {
  claims?: JWTPayload
  header?: Record<string, unknown>
  key?: KeyObject
  clientId?: string
}

function sign({ claims, header, key = ec.privateKey, clientId = 'any-alg' }: Order = {}): Promise<string> {
  const all = {
    iss: clientId,
    sub: clientId,
    aud: world.issuer,
    iat: clock(),
    exp: clock() + 60,
    jti: `jti-${serial++}`,
    ...claims,
  }
  const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  return new SignJWT(kept).setProtectedHeader({ alg: 'ES256', ...header }).sign(key)
}

/** Signs a payload as text, for what JSON.stringify cannot say. */
function signText(payload: string): string {
  const part = (text: string) => Buffer.from(text).toString('base64url')
  const input = `${part('{"alg":"ES256"}')}.${part(payload)}`
  const signature = createSign('sha256').update(input).sign({ key: ec.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}

const present = (assertion: string, more: Record<string, string> = {}, at: World = world) =>
  at.token({
    grant_type: 'client_credentials',
    client_assertion_type: TYPE,
    client_assertion: assertion,
    ...more,
  })

async function expectRefused(assertion: string, more?: Record<string, string>) {
  const { status, body } = await present(assertion, more)
  expect([status, body.error]).toEqual([401, 'invalid_client'])
  expect(world.eventsNamed('token.issued')).toHaveLength(0)
  expect(world.eventsNamed('fault')).toHaveLength(0)
}

describe('good assertions', () => {
  test('CAU-020: aud is the issuer', async () => {
    expect((await present(await sign())).status).toBe(200)
    expect((await present(await sign({ claims: { aud: [world.issuer] } }))).status).toBe(200)
    expect((await present(await sign(), { client_id: 'any-alg' })).status).toBe(200)
    expect(
      (await present(await sign({ key: rsa.privateKey, header: { alg: 'PS256', kid: 'rsa' } }))).status,
    ).toBe(200)
  })

  test('CAU-020: typ may say what it is', async () => {
    for (const typ of ['JWT', 'jwt', 'client-authentication+jwt'])
      expect((await present(await sign({ header: { typ } }))).status).toBe(200)
  })

  test('CAU-020: clocks may differ by 30 s', async () => {
    expect((await present(await sign({ claims: { iat: clock() + 30, exp: clock() + 90 } }))).status).toBe(200)
    expect((await present(await sign({ claims: { exp: clock() - 29 } }))).status).toBe(200)
    await expectLater({ exp: clock() - 30 })
    await expectLater({ iat: clock() + 31 })
    await expectLater({ nbf: clock() + 31 })
  })

  async function expectLater(claims: JWTPayload) {
    world.events.length = 0
    await expectRefused(await sign({ claims }))
  }
})

describe('audience', () => {
  test('CAU-022: everything but exactly the issuer is refused', async () => {
    const { issuer } = world
    for (const aud of [
      `${issuer}/`,
      `${issuer}/oauth`,
      world.endpoint('token'),
      issuer.toUpperCase(),
      issuer.replace('http:', 'https:'),
      `${issuer}?`,
      [issuer, 'https://elsewhere.example'],
      [issuer, issuer],
      [],
      '',
      undefined,
    ] as (string | string[] | undefined)[])
      await expectRefused(await sign({ claims: { aud: aud as string } }))
  })
})

describe('replay', () => {
  test('CAU-023: the same assertion twice is good once', async () => {
    const assertion = await sign()
    expect((await present(assertion)).status).toBe(200)
    world.events.length = 0
    await expectRefused(assertion)
  })

  test('CAU-023: another assertion with the same jti is a replay too, but only for the same client', async () => {
    expect((await present(await sign({ claims: { jti: 'shared' } }))).status).toBe(200)
    world.events.length = 0
    await expectRefused(await sign({ claims: { jti: 'shared', exp: clock() + 61 } }))
    const other = await sign({ claims: { jti: 'shared' }, key: strangers.privateKey, clientId: 'other' })
    expect((await present(other)).status).toBe(200)
  })

  test('CAU-023: remembered for as long as it is accepted', async () => {
    const assertion = await sign({ claims: { exp: clock() + 60 } })
    expect((await present(assertion)).status).toBe(200)
    for (const step of [60, 29, 1, 60]) {
      clock.advance(step)
      world.events.length = 0
      await expectRefused(assertion)
    }
  })

  test('CAU-023: 50 at once over 3 instances: exactly one is good', async () => {
    const others = await Promise.all(
      [1, 2].map(() => startWorld({ clock, stores, issuer: world.issuer, aat: { clients } })),
    )
    const instances = [world, ...others]
    try {
      const assertion = await sign()
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, index) => present(assertion, {}, instances[index % 3])),
      )
      const statuses = answers.map(({ status }) => status)
      expect(statuses.filter((status) => status === 200)).toHaveLength(1)
      expect(statuses.filter((status) => status === 401)).toHaveLength(49)
    } finally {
      await Promise.all(others.map((instance) => instance.close()))
    }
  })

  test('CAU-023: an assertion that is refused does not spend its jti', async () => {
    const jti = 'not-spent'
    await expectRefused(await sign({ claims: { jti, aud: 'https://elsewhere.example' } }))
    await expectRefused(await sign({ claims: { jti }, key: strangers.privateKey }))
    expect(calls.filter(({ store }) => store === 'replays')).toEqual([])
    expect((await present(await sign({ claims: { jti } }))).status).toBe(200)
  })

  test('CAU-023: where the replay cannot be recorded it is 503, never 401 and never a token', async () => {
    const broken: Stores = {
      ...memoryStores({ clock }),
      replays: { claim: () => Promise.reject(new Error('private words of the store')) },
    }
    const down = await startWorld({ clock, stores: broken, issuer: world.issuer, aat: { clients } })
    try {
      const answer = await present(await sign(), {}, down)
      expect(answer.status).toBeGreaterThanOrEqual(500)
      expect(['server_error', 'temporarily_unavailable']).toContain(answer.body.error)
      expect(answer.text).not.toContain('private words')
      expect(down.eventsNamed('fault')).toHaveLength(1)
      expect(down.eventsNamed('client.authentication_failed')).toHaveLength(0)
    } finally {
      await down.close()
    }
  })
})

describe('times', () => {
  const payload = (exp: string) =>
    `{"iss":"any-alg","sub":"any-alg","aud":${JSON.stringify(world.issuer)},"jti":"exp-${serial++}"${exp}}`

  test.each([
    ['1e400', ',"exp":1e400'],
    ['in 10 years', ',"exp":2115360000'],
    ['missing', ''],
    ['a text', ',"exp":"1800000060"'],
    ['null', ',"exp":null'],
    ['negative', ',"exp":-1'],
    ['twice', ',"exp":1800000060,"exp":1e400'],
  ])('CAU-025: exp %s is refused, and no replay record is made', async (_what, exp) => {
    await expectRefused(signText(payload(exp)))
    expect(calls.filter(({ store }) => store === 'replays')).toEqual([])
  })

  test('CAU-025: the longest record of a jti is bounded', async () => {
    expect((await present(await sign({ claims: { exp: clock() + 630 } }))).status).toBe(200)
    const [claim] = calls.filter(({ store }) => store === 'replays')
    expect(claim?.parameters[1]).toBeLessThanOrEqual(clock() + 690)
    world.events.length = 0
    await expectRefused(await sign({ claims: { exp: clock() + 631 } }))
  })

  test('CAU-025: jti missing, empty, no text or too long', async () => {
    for (const jti of [undefined, '', 7, 'x'.repeat(513)])
      await expectRefused(await sign({ claims: { jti: jti as string } }))
  })
})

describe('who it is from', () => {
  test('CAU-026: iss, sub and client_id must be one', async () => {
    await expectRefused(await sign({ claims: { iss: 'other' } }))
    await expectRefused(await sign({ claims: { sub: 'other' } }))
    await expectRefused(await sign({ claims: { iss: 'other', sub: 'es256-only' } }), { client_id: 'any-alg' })
    await expectRefused(await sign(), { client_id: 'other' })
    await expectRefused(await sign({ claims: { iss: undefined as unknown as string } }))
    await expectRefused(await sign({ claims: { sub: undefined as unknown as string } }))
    await expectRefused(await sign({ claims: { sub: ['any-alg'] as unknown as string } }))
  })

  test('CAU-026: a key of another client proves nothing', async () => {
    await expectRefused(await sign({ key: strangers.privateKey }))
    await expectRefused(await sign({ key: strangers.privateKey, header: { kid: 'strangers' } }))
    await expectRefused(
      await sign({
        key: strangers.privateKey,
        header: { jwk: strangers.publicKey.export({ format: 'jwk' }), kid: 'ec' },
      }),
    )
  })

  test('CAU-013: a client of another method is not authenticated by an assertion', async () => {
    await expectRefused(await sign({ clientId: CONFIDENTIAL.id }))
    await expectRefused(await sign({ clientId: 'nobody' }))
  })
})

describe('algorithms', () => {
  test('CAU-028: another algorithm than the registered one is refused', async () => {
    const options = { clientId: 'es256-only' }
    expect((await present(await sign(options))).status).toBe(200)
    world.events.length = 0
    for (const alg of ['PS256', 'RS256'])
      await expectRefused(await sign({ ...options, key: rsa.privateKey, header: { alg, kid: 'rsa' } }))
  })

  test('CAU-028: none, HMAC with the public key, and algorithms that are not offered', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = part({
      iss: 'any-alg',
      sub: 'any-alg',
      aud: world.issuer,
      exp: clock() + 60,
      jti: 'forged',
    })
    await expectRefused(`${part({ alg: 'none' })}.${claims}.`)
    const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' })
    const input = `${part({ alg: 'HS256', kid: 'rsa' })}.${claims}`
    await expectRefused(`${input}.${createHmac('sha256', publicPem).update(input).digest('base64url')}`)
    for (const alg of ['RS512', 'PS384'])
      await expectRefused(await sign({ key: rsa.privateKey, header: { alg, kid: 'rsa' } }))
    await expectRefused(await sign({ header: { crit: ['x'], x: 1 } }).catch(() => 'unsignable'))
  })
})

describe('other things that are signed', () => {
  test('CAU-029: an access token is no assertion', async () => {
    const { body } = await present(await sign())
    world.events.length = 0
    await expectRefused(body.access_token)
    await expectRefused(body.access_token, { client_id: 'any-alg' })
    // Not even one that the client's own key made: its type tells.
    for (const typ of ['at+jwt', 'application/at+jwt', 'dpop+jwt', 'logout+jwt'])
      await expectRefused(await sign({ header: { typ } }))
  })

  test.each(['', 'x', 'a.b', 'a.b.c', '....', 'e30.e30.', `${'x'.repeat(9000)}`, '{}', 'null'])(
    'CAU-029: %.20s is no assertion',
    async (assertion) => {
      await expectRefused(assertion)
    },
  )

  test('CAU-029: the assertion type must be there, and be the one', async () => {
    const { status, body } = await world.token({
      grant_type: 'client_credentials',
      client_assertion: await sign(),
    })
    expect([status, body.error]).toEqual([401, 'invalid_client'])
    const other = await present(await sign(), {
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer',
    })
    expect([other.status, other.body.error]).toEqual([401, 'invalid_client'])
  })

  test('CAU-023: what an assertion says is in no event', async () => {
    const assertion = await sign()
    await present(assertion)
    await present(assertion)
    expect(world.events.length).toBeGreaterThan(1)
    expect(JSON.stringify(world.events)).not.toContain(assertion.split('.')[2])
  })
})
