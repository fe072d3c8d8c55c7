import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { memoryStores, type Stores } from '../../lib/index.ts'
import { sha256 } from '../../lib/protocol/digest.ts'
import { recordingStores, type StoreCall } from '../support/recording-stores.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  manualClock,
  REDIRECT_URI,
  startWorld,
  type World,
} from '../support/world.ts'

const OTHER_URI = 'https://client.example/other'
const clients = [
  {
    clientId: CONFIDENTIAL.id,
    clientSecret: CONFIDENTIAL.secret,
    redirectUris: [REDIRECT_URI, OTHER_URI],
    grantTypes: ['authorization_code' as const, 'refresh_token' as const],
  },
  { clientId: 'one-uri', clientSecret: CONFIDENTIAL.secret, redirectUris: [REDIRECT_URI] },
]

const clock = manualClock()
let world: World
let stores: Stores
let calls: StoreCall[]
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

async function codeRequest(parameters: Record<string, string | undefined> = {}) {
  const { code, verifier } = await world.authorize({ scope: 'a b', ...parameters })
  expect(code).toMatch(/^aat_ac_/)
  return { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: REDIRECT_URI }
}

describe('single use', () => {
  test('COD-001: a second use is refused, and ends what the first one got', async () => {
    const request = await codeRequest()
    const { status, body } = await world.token(request)
    expect(status).toBe(200)
    expect((await world.call('/api/a', body.access_token)).status).toBe(200)
    const again = await world.token(request)
    expect([again.status, again.body.error]).toEqual([400, 'invalid_grant'])
    expect((await world.call('/api/a', body.access_token)).status).toBe(401)
    expect((await world.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
    expect(world.eventsNamed('code.reused')).toHaveLength(1)
  })

  test('COD-001: also after the code would have expired, with another scope, redirect_uri or verifier', async () => {
    for (const wrong of [
      {},
      { scope: 'x  y' },
      { redirect_uri: OTHER_URI },
      { code_verifier: 'x'.repeat(43) },
    ]) {
      const request = await codeRequest()
      const { body } = await world.token(request)
      clock.advance(200)
      expect((await world.token({ ...request, ...wrong })).body.error).toBe('invalid_grant')
      expect((await world.call('/api/a', body.access_token)).status).toBe(401)
      expect((await world.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
    }
  })

  test('COD-001: another client that presents a spent code ends nothing', async () => {
    const request = await codeRequest()
    const { body } = await world.token(request)
    const foreign = await world.token(request, basic('one-uri', CONFIDENTIAL.secret))
    expect([foreign.status, foreign.body.error]).toEqual([400, 'invalid_grant'])
    expect((await world.call('/api/a', body.access_token)).status).toBe(200)
    expect((await world.refresh(body.refresh_token)).status).toBe(200)
  })

  test('COD-002: of 1,000 concurrent redemptions over 3 instances exactly one succeeds', async () => {
    const others = await Promise.all(
      [1, 2].map(() => startWorld({ clock, stores, issuer: world.issuer, aat: { clients } })),
    )
    const instances = [world, ...others]
    try {
      const request = await codeRequest()
      const answers = await Promise.all(
        Array.from({ length: 1000 }, (_, index) => (instances[index % 3] as World).token(request)),
      )
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
      expect(
        answers.filter(({ status, body }) => status === 400 && body.error === 'invalid_grant'),
      ).toHaveLength(999)
      const winner = answers.find(({ status }) => status === 200)
      // The others were second uses: what the winner got is over.
      expect((await world.refresh(winner?.body.refresh_token)).body.error).toBe('invalid_grant')
      for (const instance of instances) expect(instance.eventsNamed('fault')).toHaveLength(0)
    } finally {
      await Promise.all(others.map((instance) => instance.close()))
    }
  }, 60_000)

  // The design: a client's second use is one, with no grace; a driver's second run of the same redemption is not.
  test('COD-004: a driver that runs one redemption twice gets one family, and the answer', async () => {
    const inner = memoryStores({ clock })
    const twice: Stores = {
      ...inner,
      grants: {
        ...inner.grants,
        async redeemCode(redemption) {
          await inner.grants.redeemCode(redemption)
          return inner.grants.redeemCode(redemption)
        },
      },
    }
    const retrying = await startWorld({ clock, stores: twice, aat: { clients } })
    try {
      const { status, body } = await retrying.signInAndGetTokens()
      expect(status).toBe(200)
      expect(retrying.eventsNamed('code.reused')).toHaveLength(0)
      expect((await retrying.aat.grants.list({ subject: 'alice' })).grants).toHaveLength(1)
      expect((await retrying.refresh(body.refresh_token)).status).toBe(200)
    } finally {
      await retrying.close()
    }
  })

  test('COD-004: a client that repeats a redemption never gets a second family', async () => {
    const request = await codeRequest()
    const { body } = await world.token(request)
    const grantId = claimsOf(body.access_token).grant_id
    expect((await world.token(request)).body.error).toBe('invalid_grant')
    const { grants } = await world.aat.grants.list({ subject: 'alice', limit: 1000 })
    expect(grants.map((grant) => grant.grantId)).not.toContain(grantId)
  })
})

describe('forged codes', () => {
  test('COD-005: a real grant id with another secret, tag or spelling touches nothing', async () => {
    const request = await codeRequest()
    const bytes = Buffer.from(request.code.slice('aat_ac_'.length), 'base64url')
    const flip = (index: number) => {
      const copy = Buffer.from(bytes)
      copy[index] = (copy[index] ?? 0) ^ 1
      return `aat_ac_${copy.toString('base64url')}`
    }
    const last = request.code.slice(-1)
    const forged = [
      flip(16),
      flip(47),
      flip(48),
      flip(63),
      flip(0),
      request.code.slice(0, -1) + String.fromCharCode(last.charCodeAt(0) + 1),
      `${request.code}=`,
      `${request.code}A`,
      ` ${request.code}`,
      request.code.toUpperCase(),
      request.code.replace('aat_ac_', 'aat_rt_'),
      request.code.slice('aat_ac_'.length),
      'x',
      'x'.repeat(10_000),
    ]
    calls.length = 0
    for (const code of forged) {
      const { status, body } = await world.token({ ...request, code })
      expect([status, body.error]).toEqual([400, 'invalid_grant'])
    }
    // Not one of them cost a call of the grant store.
    expect(calls.filter(({ store }) => store === 'grants')).toEqual([])
    const { status, body } = await world.token(request)
    expect(status).toBe(200)
    for (const code of forged) await world.token({ ...request, code })
    expect((await world.refresh(body.refresh_token)).status).toBe(200)
  })
})

describe('lifetime', () => {
  test.each([
    ['COD-007', 60.001, 400],
    ['COD-008', 60, 400],
    ['COD-008', 59.999, 200],
  ])('%s: %d s after it was issued, with a lifetime of 60 s: %d', async (_id, age, expected) => {
    const request = await codeRequest()
    clock.advance(age)
    const { status, body } = await world.token(request)
    expect(status).toBe(expected)
    if (expected === 400) expect(body.error).toBe('invalid_grant')
  })
})

describe('binding', () => {
  test.each([
    ['left out', undefined],
    ['another registered one', OTHER_URI],
    ['in other case', REDIRECT_URI.toUpperCase()],
    ['with a slash', `${REDIRECT_URI}/`],
    ['with a query', `${REDIRECT_URI}?a=b`],
    ['percent-encoded', REDIRECT_URI.replace('cb', '%63b')],
    ['with the default port', REDIRECT_URI.replace('example', 'example:443')],
  ])('COD-010: redirect_uri %s is invalid_grant', async (_what, redirectUri) => {
    const { redirect_uri: right, ...request } = await codeRequest()
    const { status, body } = await world.token({
      ...request,
      ...(redirectUri !== undefined && { redirect_uri: redirectUri }),
    })
    expect([status, body.error]).toEqual([400, 'invalid_grant'])
    expect((await world.token({ ...request, redirect_uri: right })).status).toBe(200)
  })

  test('COD-010: where the authorization request named none, the token request need not, and must not lie', async () => {
    const header = basic('one-uri', CONFIDENTIAL.secret)
    const { redirect_uri: right, ...request } = await codeRequest({
      client_id: 'one-uri',
      redirect_uri: undefined,
    })
    const lie = await world.token({ ...request, redirect_uri: OTHER_URI }, header)
    expect([lie.status, lie.body.error]).toEqual([400, 'invalid_grant'])
    expect((await world.token(request, header)).status).toBe(200)
    const named = await codeRequest({ client_id: 'one-uri', redirect_uri: undefined })
    expect((await world.token({ ...named, redirect_uri: right }, header)).status).toBe(200)
  })

  test('COD-011: the code of a client that was deleted in between', async () => {
    const { body: client } = await world.register({ redirect_uris: [REDIRECT_URI] })
    const header = basic(client.client_id, client.client_secret)
    const request = await codeRequest({ client_id: client.client_id })
    expect(await world.aat.clients.delete(client.client_id)).toBe('deleted')
    const { status, body } = await world.token(request, header)
    expect([status, body.error]).toEqual([401, 'invalid_client'])
    // And nobody else inherits it.
    expect((await world.token(request)).body.error).toBe('invalid_grant')
  })
})

describe('what is kept, and what is said', () => {
  test('COD-013: a code has 256 random bits, the store gets its hash alone, and every record ends', async () => {
    const requests = [await codeRequest(), await codeRequest()]
    const secrets = requests.map(({ code }) => Buffer.from(code.slice(7), 'base64url').subarray(16, 48))
    expect(secrets.map((secret) => secret.length)).toEqual([32, 32])
    expect(secrets[0]?.equals(secrets[1] as Buffer)).toBe(false)
    for (const request of requests) expect((await world.token(request)).status).toBe(200)

    const dump = JSON.stringify(calls)
    for (const { code, code_verifier: verifier } of requests) {
      const secret = Buffer.from(code.slice(7), 'base64url').subarray(16, 48)
      for (const kept of [code, verifier, secret.toString('hex'), secret.toString('base64url')])
        expect(dump).not.toContain(kept)
      expect(dump).toContain(sha256(code))
    }
    const records = calls.filter(({ verb }) => verb === 'issueCode')
    expect(records).toHaveLength(2)
    for (const { parameters } of records)
      expect(parameters[0]).toMatchObject({ expiresAt: clock() + 60, codeHash: expect.any(String) })
  })

  test('COD-014: no code, token, secret or verifier is in any event, warning or output', async () => {
    const written: string[] = []
    const streams = [process.stdout, process.stderr] as const
    const writes = streams.map((stream) => stream.write)
    const { emitWarning } = process
    const consoleNames = ['log', 'info', 'warn', 'error', 'debug'] as const
    const consoles = consoleNames.map((name) => console[name])
    const secrets: string[] = []
    try {
      for (const stream of streams)
        stream.write = ((chunk: unknown) => written.push(String(chunk)) > 0) as typeof stream.write
      for (const name of consoleNames)
        console[name] = (...parameters) => void written.push(parameters.map(String).join(' '))
      process.emitWarning = (warning) => void written.push(String(warning))

      const request = await codeRequest()
      const { body } = await world.token(request)
      secrets.push(request.code, request.code_verifier, body.access_token, body.refresh_token)
      const { body: refreshed } = await world.refresh(body.refresh_token)
      secrets.push(refreshed.access_token, refreshed.refresh_token)
      clock.advance(60)
      await world.refresh(body.refresh_token)
      await world.token(request)
      await world.token({ ...request, code_verifier: 'wrong-verifier-wrong-verifier-wrong-verifier-0' })
      await world.token({
        ...request,
        client_id: CONFIDENTIAL.id,
        client_secret: 'a-wrong-secret-of-somebody',
      })
      await world.token(request, basic(CONFIDENTIAL.id, 'a-wrong-secret-of-somebody'))
      await world.call('/api/a', refreshed.access_token)
      const { body: client } = await world.register({ redirect_uris: [REDIRECT_URI] })
      secrets.push(client.client_secret, CONFIDENTIAL.secret, 'a-wrong-secret-of-somebody')
      secrets.push('wrong-verifier-wrong-verifier-wrong-verifier-0')
      console.log('the net is in place')
    } finally {
      streams.forEach((stream, index) => {
        stream.write = writes[index] as typeof stream.write
      })
      consoleNames.forEach((name, index) => {
        console[name] = consoles[index] as typeof console.log
      })
      process.emitWarning = emitWarning
    }
    const everything = written.join('\n') + JSON.stringify(world.events)
    expect(everything).toContain('the net is in place')
    expect(world.eventsNamed('refresh_token.reused')).toHaveLength(1)
    expect(world.eventsNamed('code.reused').length).toBeGreaterThan(0)
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(20)
      expect(everything).not.toContain(secret)
      expect(everything).not.toContain(sha256(secret))
    }
  })
})
