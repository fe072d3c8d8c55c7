import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { sameHash, sha256 } from '../../lib/protocol/digest.ts'
import { recordingStores, type StoreCall } from '../support/recording-stores.ts'
import { requestText, sendRaw } from '../support/wire.ts'
import { basic, manualClock, PUBLIC, REDIRECT_URI, startWorld, type World } from '../support/world.ts'

const ODD = { id: 'a:b c/ü', secret: 'p%:+é and sixteen more' }
const BASIC = { id: 'by-basic', secret: 'secret-of-by-basic-0123456789' }
const POST = { id: 'by-post', secret: 'secret-of-by-post-0123456789' }
const ROTATING = { id: 'rotating', current: 'new-secret-0123456789', old: 'old-secret-0123456789' }
/** What a raw "a:b:…" header would say: client "a" with secret "b:…". It exists, so that nobody becomes it by accident. */
const PREFIX = { id: 'a', secret: 'another-secret-0123456789' }

const grantTypes = ['client_credentials' as const]
const clientsOfWorld = [
  { clientId: ODD.id, clientSecret: ODD.secret, grantTypes },
  { clientId: PREFIX.id, clientSecret: PREFIX.secret, grantTypes },
  {
    clientId: BASIC.id,
    clientSecret: BASIC.secret,
    redirectUris: [REDIRECT_URI],
    grantTypes: ['authorization_code' as const, 'refresh_token' as const, 'client_credentials' as const],
  },
  {
    clientId: POST.id,
    clientSecret: POST.secret,
    tokenEndpointAuthMethod: 'client_secret_post' as const,
    grantTypes,
  },
  { clientId: ROTATING.id, clientSecret: [ROTATING.current, ROTATING.old], grantTypes },
  { clientId: PUBLIC.id, redirectUris: [REDIRECT_URI] },
]

let world: World
let calls: StoreCall[]
beforeAll(async () => {
  const clock = manualClock()
  const recorded = recordingStores(memoryStores({ clock }))
  calls = recorded.calls
  world = await startWorld({ clock, stores: recorded.stores, aat: { clients: clientsOfWorld } })
})
afterAll(() => world.close())
beforeEach(() => {
  world.events.length = 0
})

const GRANT = { grant_type: 'client_credentials' }
const withHeader = (authorization: string, parameters: Record<string, string> = {}) =>
  world.post(world.endpoint('token'), { ...GRANT, ...parameters }, { Authorization: authorization })
const base64 = (text: string) => Buffer.from(text).toString('base64')

describe('HTTP Basic', () => {
  test('CAU-001: id and secret are form-urlencoded before they are joined', async () => {
    const { status } = await world.token(GRANT, basic(ODD.id, ODD.secret))
    expect(status).toBe(200)
    // %20 and + are both a space (RFC 6749 appendix B).
    const percent = `${encodeURIComponent(ODD.id)}:${encodeURIComponent(ODD.secret)}`
    expect((await withHeader(`Basic ${base64(percent)}`)).status).toBe(200)
  })

  test('CAU-001: the scheme is case-insensitive', async () => {
    for (const scheme of ['basic', 'BASIC', 'bAsIc'])
      expect((await withHeader(`${scheme} ${base64(`${BASIC.id}:${BASIC.secret}`)}`)).status).toBe(200)
  })

  test('CAU-002: raw reserved characters authenticate nobody', async () => {
    for (const pair of [
      `${ODD.id}:${ODD.secret}`,
      `a:b c/ü:${ODD.secret}`,
      `a:${PREFIX.secret.slice(0, -1)}`,
      `a:b:${PREFIX.secret}`,
    ]) {
      const { status, body } = await withHeader(`Basic ${base64(pair)}`)
      expect([status, body.error]).toEqual([401, 'invalid_client'])
    }
    expect(world.eventsNamed('token.issued')).toHaveLength(0)
  })

  const good = base64(`${BASIC.id}:${BASIC.secret}`)
  test.each([
    ['CAU-004', 'a foreign character', `Basic ${good.slice(0, 4)}*${good.slice(4)}`],
    ['CAU-004', 'a space inside', `Basic ${good.slice(0, 4)} ${good.slice(4)}`],
    ['CAU-004', 'text after the padding', `Basic ${base64('by-basic:x')}AAAA`],
    ['CAU-004', 'a comma list', `Basic ${good}, Basic ${good}`],
    ['CAU-004', 'parameters', `Basic ${good} realm="x"`],
    ['CAU-004', 'nothing', 'Basic'],
    ['CAU-004', 'no colon', `Basic ${base64(BASIC.id)}`],
    ['CAU-004', 'an empty id', `Basic ${base64(`:${BASIC.secret}`)}`],
    ['CAU-004', 'an empty secret', `Basic ${base64(`${BASIC.id}:`)}`],
    ['CAU-004', 'bytes that are not UTF-8', `Basic ${Buffer.from([0x61, 0x3a, 0xff]).toString('base64')}`],
    ['CAU-004', 'a broken escape', `Basic ${base64(`${BASIC.id}:%zz`)}`],
    ['CAU-004', 'another scheme', `Bearer ${good}`],
  ])('%s: %s is invalid_client', async (_id, _what, header) => {
    const answer = await withHeader(header)
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm=/)
    expect(world.eventsNamed('fault')).toHaveLength(0)
  })

  test('CAU-005: one spelling only: the standard alphabet, padded, with no stray bits', async () => {
    // A secret whose encoding has "/", "+" and padding; the client does not exist, so it is the reader that is asked.
    const pair = 'by-basic:??>>~~x'
    const canonical = base64(pair)
    expect(canonical).toMatch(/[+/].*=$|=$/)
    const reasons = async (header: string) => {
      world.events.length = 0
      const { status } = await withHeader(header)
      expect(status).toBe(401)
      return world.eventsNamed('client.authentication_failed').length
    }
    // Read, and found wrong: there is an event for the client that it names.
    expect(await reasons(`Basic ${canonical}`)).toBe(1)
    const sloppy = [
      Buffer.from(pair).toString('base64url'),
      canonical.replace(/=+$/, ''),
      `${canonical}=`,
      canonical.replace(/.(=+)$/, (_all, padding) => `B${padding}`),
    ].filter((text) => text !== canonical)
    expect(sloppy.length).toBeGreaterThanOrEqual(3)
    for (const text of sloppy) expect(await reasons(`Basic ${text}`)).toBe(0)
  })
})

describe('one method, and the registered one', () => {
  test('CAU-007: Basic and a secret in the body are refused, and nothing is consumed', async () => {
    const { code, verifier } = await world.authorize({ client_id: BASIC.id })
    const request = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    }
    const { status, body } = await world.token(
      { ...request, client_secret: BASIC.secret },
      basic(BASIC.id, BASIC.secret),
    )
    expect([status, body.error]).toEqual([400, 'invalid_request'])
    const assertion = { client_assertion: 'x', client_assertion_type: 'y' }
    for (const [parameters, headers] of [
      [{ ...request, ...assertion }, basic(BASIC.id, BASIC.secret)],
      [{ ...request, ...assertion, client_id: BASIC.id, client_secret: BASIC.secret }, {}],
    ] as const) {
      const answer = await world.token({ ...parameters }, headers)
      expect([answer.status, answer.body.error]).toEqual([400, 'invalid_request'])
    }
    expect((await world.token(request, basic(BASIC.id, BASIC.secret))).status).toBe(200)
  })

  test('CAU-008: a client_id that differs from the Basic one is refused; the same one is fine', async () => {
    const { status, body } = await world.token(
      { ...GRANT, client_id: POST.id },
      basic(BASIC.id, BASIC.secret),
    )
    expect([status, body.error]).toEqual([400, 'invalid_request'])
    expect(world.eventsNamed('token.issued')).toHaveLength(0)
    const same = await world.token({ ...GRANT, client_id: BASIC.id }, basic(BASIC.id, BASIC.secret))
    expect(same.status).toBe(200)
  })

  test('CAU-010: a 401 carries the Basic challenge, whatever the method was', async () => {
    for (const answer of [
      await world.token(GRANT, basic(BASIC.id, 'wrong')),
      await world.token({ ...GRANT, client_id: POST.id, client_secret: 'wrong' }, {}),
      await world.token({ ...GRANT, client_id: 'nobody' }, {}),
      await world.token(GRANT, {}),
    ]) {
      expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm="[^"]+"/)
    }
  })

  test('CAU-011: a public client that sends a secret is refused', async () => {
    const { code, verifier } = await world.authorize({ client_id: PUBLIC.id })
    const request = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
    }
    for (const answer of [
      await world.token({ ...request, client_id: PUBLIC.id, client_secret: 'x' }),
      await world.token(request, basic(PUBLIC.id, 'x')),
    ])
      expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
    expect((await world.token({ ...request, client_id: PUBLIC.id })).status).toBe(200)
  })

  test('CAU-013: the method is the registered one; right credentials by another way are refused', async () => {
    for (const answer of [
      await world.token({ ...GRANT, client_id: BASIC.id, client_secret: BASIC.secret }),
      await world.token(GRANT, basic(POST.id, POST.secret)),
      await world.token({ ...GRANT, client_id: BASIC.id }),
    ])
      expect([answer.status, answer.body.error]).toEqual([401, 'invalid_client'])
    expect((await world.token({ ...GRANT, client_id: POST.id, client_secret: POST.secret })).status).toBe(200)
    expect((await world.token(GRANT, basic(BASIC.id, BASIC.secret))).status).toBe(200)
  })
})

describe('what nobody can find out', () => {
  test('CAU-014: an unknown client and a wrong secret read the same, byte for byte', async () => {
    const ask = async (headers: Record<string, string>, body: string) => {
      const request = requestText(
        world.base,
        '/oauth/token',
        { ...headers, 'Content-Type': 'application/x-www-form-urlencoded' },
        body,
      )
      const { text } = await sendRaw(world.base, request, ({ statuses }) => statuses.length === 1)
      return text.replace(/^Date: .*\r\n/m, '')
    }
    const body = 'grant_type=client_credentials'
    const wrongSecret = await ask(basic(BASIC.id, 'wrong'), body)
    expect(wrongSecret).toMatch(/^HTTP\/1\.1 401 /)
    for (const other of [
      await ask(basic('nobody', 'wrong'), body),
      await ask(basic('dcr_AAAAAAAAAAAAAAAAAAAAAA', 'wrong'), body),
      // Known, but registered for another way.
      await ask(basic(POST.id, POST.secret), body),
      await ask(basic(PUBLIC.id, 'wrong'), body),
      await ask({}, `${body}&client_id=nobody&client_secret=wrong`),
      await ask({}, `${body}&client_id=${POST.id}&client_secret=wrong`),
      await ask({}, `${body}&client_id=nobody`),
      await ask({}, `${body}&client_id=${BASIC.id}`),
      await ask({}, `${body}&client_id=${'x'.repeat(1000)}`),
    ])
      expect(other).toBe(wrongSecret)
  })

  test('CAU-016: secrets of any length are compared as hashes, and never throw', async () => {
    for (const secret of ['x', BASIC.secret.slice(0, 8), `${BASIC.secret}x`, 'x'.repeat(10_000)]) {
      const byBasic = await world.token(GRANT, basic(BASIC.id, secret))
      const byPost = await world.token({ ...GRANT, client_id: POST.id, client_secret: secret })
      expect([byBasic.status, byPost.status]).toEqual([401, 401])
    }
    expect(world.eventsNamed('fault')).toHaveLength(0)
    // What reaches timingSafeEqual has one length, whatever the secret's.
    expect(new Set(['', 'x', 'x'.repeat(10_000)].map((secret) => sha256(secret).length))).toEqual(
      new Set([43]),
    )
    expect(sameHash(sha256('x'), sha256('x'))).toBe(true)
    expect(sameHash(sha256('x'), sha256('y'))).toBe(false)
    expect(sameHash(sha256('x'), 'short' as ReturnType<typeof sha256>)).toBe(false)
  })

  test('CAU-017: the store never sees a secret, in any spelling', async () => {
    calls.length = 0
    const { status, body } = await world.register({
      redirect_uris: [REDIRECT_URI],
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_post',
    })
    expect(status).toBe(201)
    const secret: string = body.client_secret
    expect(Buffer.from(secret, 'base64url').length).toBeGreaterThanOrEqual(16)
    const { status: used } = await world.token({
      grant_type: 'refresh_token',
      refresh_token: 'x',
      client_id: body.client_id,
      client_secret: secret,
    })
    expect(used).toBe(400)
    const told = await world.signInAndGetTokens(
      { client_id: body.client_id },
      { client_id: body.client_id, client_secret: secret },
    )
    expect(told.status).toBe(200)
    expect(calls.map(({ store, verb }) => `${store}.${verb}`)).toEqual(
      expect.arrayContaining(['clients.create', 'clients.read']),
    )
    const dump = JSON.stringify(calls)
    const bytes = Buffer.from(secret, 'base64url')
    for (const spelling of [
      secret,
      bytes.toString('hex'),
      bytes.toString('base64').replace(/=+$/, ''),
      Buffer.from(secret).toString('hex'),
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
    ])
      expect(dump).not.toContain(spelling)
    expect(dump).toContain(sha256(secret))
    expect(JSON.stringify(world.events)).not.toContain(secret)
  })

  test('CAU-014: the private reason of a refusal is in the event, never in the answer', async () => {
    const answer = await world.token(GRANT, basic(BASIC.id, 'wrong'))
    expect(world.eventsNamed('client.authentication_failed')).toMatchObject([
      { clientId: BASIC.id, reason: 'wrong secret' },
    ])
    expect(answer.text).not.toContain('wrong')
    expect(answer.text).not.toContain(BASIC.id)
  })
})

describe('CAU-019: secret rotation', () => {
  test('CAU-019: while two secrets are configured both work, in either order', async () => {
    for (const secret of [ROTATING.current, ROTATING.old, ROTATING.current])
      expect((await world.token(GRANT, basic(ROTATING.id, secret))).status).toBe(200)
    expect((await world.token(GRANT, basic(ROTATING.id, `${ROTATING.current}${ROTATING.old}`))).status).toBe(
      401,
    )
  })

  test('CAU-019: after the old one is taken out, only the new one works', async () => {
    const later = await startWorld({
      aat: { clients: [{ clientId: ROTATING.id, clientSecret: ROTATING.current, grantTypes }] },
    })
    try {
      expect((await later.token(GRANT, basic(ROTATING.id, ROTATING.current))).status).toBe(200)
      expect((await later.token(GRANT, basic(ROTATING.id, ROTATING.old))).status).toBe(401)
    } finally {
      await later.close()
    }
  })
})

describe('CAU-031: client ids that are no ids', () => {
  test.each([
    ['of 64 KiB', 'x'.repeat(65_536), [413]],
    ['of 60,000 characters', 'x'.repeat(60_000), [401]],
    ['with NUL', 'pub\0lic', [400]],
    ['with a line break', 'public\nx', [400]],
    ['*', '*', [401]],
    ['{}', '{}', [401]],
    ['a hash tag', '{dcr_AAAAAAAAAAAAAAAAAAAAAA}', [401]],
    ['a longer registered id', `dcr_${'A'.repeat(23)}`, [401]],
    ['a registered id and more', `dcr_${'A'.repeat(22)}:x`, [401]],
    ['__proto__', '__proto__', [401]],
  ])('CAU-031: %s is refused and reaches no store', async (_what, clientId, statuses) => {
    calls.length = 0
    const answer = await world.token({ grant_type: 'refresh_token', refresh_token: 'x', client_id: clientId })
    expect(statuses).toContain(answer.status)
    expect(calls.filter(({ store }) => store !== 'counters')).toEqual([])
    for (const event of world.eventsNamed('client.authentication_failed'))
      expect(JSON.stringify(event).length).toBeLessThan(1000)
  })
})

test('a secret is good until its end, and a newer one stays', async () => {
  const stores = memoryStores({ clock: world.clock })
  const end = world.clock() + 100
  await stores.clients.create({
    id: `dcr_${'e'.repeat(22)}`,
    origin: 'registered',
    applicationType: 'web',
    redirectUris: [],
    grantTypes: ['client_credentials'],
    authenticationMethod: 'client_secret_basic',
    secrets: [{ hash: sha256('the-newer-secret') }, { hash: sha256('the-older-secret'), expiresAt: end }],
    createdAt: world.clock(),
  })
  const policies = { default: { grantTypes } }
  const other = await startWorld({ clock: world.clock, stores, aat: { registration: { policies } } })
  const status = async (secret: string) =>
    (await other.token(GRANT, basic(`dcr_${'e'.repeat(22)}`, secret))).status
  expect([await status('the-newer-secret'), await status('the-older-secret')]).toEqual([200, 200])
  other.clock.now = end
  expect([await status('the-newer-secret'), await status('the-older-secret')]).toEqual([200, 401])
  expect(other.eventsNamed('client.authentication_failed')).toMatchObject([{ reason: 'expired secret' }])
  await other.close()
})
