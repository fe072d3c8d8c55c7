import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import express, { type Express } from 'express'
import {
  createAat,
  dcrEndpoint,
  denyListEndpoint,
  memoryStores,
  type Stores,
  wellKnown,
} from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { expectPage, expectRedirect, signedIn, stranger } from '../rfc6749-authorization/pages.ts'
import {
  basic,
  CONFIDENTIAL,
  manualClock,
  REDIRECT_URI,
  readAnswer,
  startWorld,
  type World,
} from '../support/world.ts'

const clock = manualClock()
let failing: Error | undefined
/** The ports that fail; all of them where it is empty. */
const only = new Set<string>()

/** Stores that work until they are told not to. */
function fragile(): Stores {
  const stores = memoryStores({ clock })
  const wrapped = Object.entries(stores).map(([port, verbs]) => [
    port,
    typeof verbs !== 'object'
      ? verbs
      : new Proxy(verbs, {
          get(target, verb) {
            const value = Reflect.get(target, verb)
            if (typeof value !== 'function' || verb === 'subscribe') return value
            return async (...args: unknown[]) => {
              if (failing !== undefined && (only.size === 0 || only.has(port))) throw failing
              return value.apply(target, args)
            }
          },
        }),
  ])
  return Object.fromEntries(wrapped)
}

let world: World
let dcrClient: { id: string; redirectUri: string }
beforeAll(async () => {
  world = await startWorld({
    ...{ stores: fragile(), clock, dcr: { allow: () => true } },
    after: (app, aat) => app.use('/oauth/denylist', denyListEndpoint(aat, { authorize: () => true })),
  })
  dcrClient = await stranger(world)
})
afterEach(() => {
  failing = undefined
  only.clear()
})
afterAll(() => world.close())

const faults: [string, () => Error, number, string][] = [
  ['an unknown error', () => new Error('secret SELECT * FROM users /srv/app/db.js'), 500, 'server_error'],
  [
    'a store that cannot answer',
    () => new StoreUnavailable('secret redis://:pw@host'),
    503,
    'temporarily_unavailable',
  ],
]

describe.each(faults)('HTP-008: %s', (_name, make, status, code) => {
  /** Every endpoint's request that needs a store. */
  async function requests() {
    const { body: tokens } = await world.signInAndGetTokens({ scope: 'a', prompt: 'consent' })
    const { code: fresh, verifier } = await world.authorize({ scope: 'a' })
    return {
      code: () =>
        world.token({
          grant_type: 'authorization_code',
          code: fresh,
          code_verifier: verifier,
          redirect_uri: REDIRECT_URI,
        }),
      refresh: () => world.refresh(tokens.refresh_token),
      'unknown client': () =>
        world.post(world.endpoint('token'), {
          grant_type: 'authorization_code',
          client_id: `dcr_${randomBytes(16).toString('base64url')}`,
          code: 'x',
        }),
      revoke: () =>
        world.post(
          world.endpoint('revoke'),
          { token: tokens.refresh_token },
          basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
        ),
      'revoke access token': () =>
        world.post(
          world.endpoint('revoke'),
          { token: tokens.access_token },
          basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
        ),
      introspect: () =>
        world.post(
          world.endpoint('introspect'),
          { token: tokens.refresh_token },
          basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
        ),
      register: () => world.register({ redirect_uris: [REDIRECT_URI] }),
      deny: () =>
        world.post(world.endpoint('denylist'), { type: 'token', id: randomBytes(16).toString('hex') }),
      'what is denied': () => world.call('/oauth/denylist'),
    }
  }

  test('HTP-008: JSON endpoints say so, with a reference and nothing else', async () => {
    const all = Object.entries(await requests())
    failing = make()
    for (const [name, send] of all) {
      const before = world.eventsNamed('fault').length
      const answer = await send()
      expect([name, answer.status, answer.body?.error]).toEqual([name, status, code])
      expect(Object.keys(answer.body).sort()).toEqual(['error', 'error_description'])
      expect(answer.text).not.toMatch(/secret|SELECT|redis|\.js|\.ts|Error|stack/)
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('retry-after')).toEqual(
        status === 503 ? expect.stringMatching(/^\d+$/) : null,
      )
      const reference = /\(reference ([A-Za-z0-9_-]{12})\)/.exec(answer.body.error_description)?.[1]
      const events = world.eventsNamed('fault').slice(before)
      expect(events).toMatchObject([{ reference, error: failing }])
    }
  })

  test('HTP-008: nothing is used up: the same requests work once the store answers', async () => {
    const all = await requests()
    failing = make()
    for (const send of Object.values(all)) await send()
    failing = undefined
    expect((await all.code()).status).toBe(200)
    expect((await all.refresh()).status).toBe(200)
  })

  test('HTP-008: the authorization endpoint: a page before the client is known, its redirect after', async () => {
    const browser = await signedIn(world)
    const page = await browser.follow(await browser.get(world.authorizeUrl({ prompt: 'consent' })))
    const form = await page.clone().text()
    failing = make()
    for (const response of [
      await browser.get(world.authorizeUrl({ client_id: dcrClient.id, redirect_uri: dcrClient.redirectUri })),
      await browser.get(page.url),
      await browser.submitConsent(page, { decision: 'allow' }),
    ]) {
      const text = await expectPage(response, status)
      expect(text).not.toMatch(/SELECT|redis|secret/)
      expect(text).toContain(code)
      expect(response.headers.get('retry-after')).toEqual(
        status === 503 ? expect.stringMatching(/^\d+$/) : null,
      )
    }
    const answer = expectRedirect(await browser.get(world.authorizeUrl({})), `${REDIRECT_URI}?`)
    expect(answer).toMatchObject({ error: code, state: 'the-state', iss: world.issuer })
    expect(answer.error_description).not.toMatch(/SELECT|redis|secret/)
    // The stranger's client is known this time: still no redirect.
    only.add('consents').add('requests')
    await expectPage(
      await browser.get(world.authorizeUrl({ client_id: dcrClient.id, redirect_uri: dcrClient.redirectUri })),
      status,
    )
    failing = undefined
    const { fields } = await browser.readForm(form)
    const late = await browser.send(page.url.split('?')[0] ?? '', {
      method: 'POST',
      body: new URLSearchParams([...fields, ['decision', 'allow']]),
    })
    expect(expectRedirect(late, `${REDIRECT_URI}?`).code).toMatch(/./)
  })
})

test('HTP-008: the guard needs no store', async () => {
  const { body } = await world.signInAndGetTokens({ scope: 'a' })
  failing = new Error('secret')
  expect((await world.call('/api/a', body.access_token)).status).toBe(200)
})

test('MET-016: a ring that is lost or cannot be read leaves the keys published; one that never came is 503, never an empty set', async () => {
  const before = await world.call('/.well-known/jwks.json')
  failing = new StoreUnavailable('secret')
  expect(await world.call('/.well-known/jwks.json')).toMatchObject({ status: 200, body: before.body })
  failing = undefined
  const aat = createAat({
    issuer: 'https://as.example',
    resources: { 'https://as.example/api': { scopes: ['a'] } },
    stores: {
      ...memoryStores(),
      ring: {
        read: () => Promise.reject(new Error('secret')),
        compareAndSet: async () => ({ outcome: 'conflict' }),
      },
    },
  })
  aat.on('*', () => undefined)
  const { base, close } = await listen(express().use(wellKnown(aat)))
  try {
    const answer = await readAnswer(await fetch(`${base}/.well-known/jwks.json`))
    expect([500, 503]).toContain(answer.status)
    expect(answer.body.keys).toBeUndefined()
    expect(answer.text).not.toContain('secret')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    await expect(aat.ready()).rejects.toThrow()
  } finally {
    await aat.close()
    await close()
  }
})

async function listen(app: Express) {
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    base: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

test('HTP-008: faults that nobody listens to are warnings of the process, without any detail', async () => {
  const warnings: unknown[] = []
  const { emitWarning } = process
  process.emitWarning = (...args: unknown[]) => void warnings.push(args)
  const aat = createAat({
    issuer: 'https://as.example',
    resources: { 'https://as.example/api': { scopes: ['a'] } },
    stores: fragile(),
    clock,
  })
  await aat.ready()
  const { base, close } = await listen(
    express().use('/oauth/register', dcrEndpoint(aat, { allow: () => true, rateLimit: false })),
  )
  try {
    failing = new Error('hush SELECT')
    const answer = await readAnswer(
      await fetch(`${base}/oauth/register`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ redirect_uris: ['https://a.example/cb'] }),
      }),
    )
    expect(answer.status).toBe(500)
    const text = inspect(warnings, { depth: 10 })
    expect(text).toContain('a fault in registration (reference ')
    expect(text).not.toMatch(/hush|SELECT/)
  } finally {
    process.emitWarning = emitWarning
    await aat.close()
    await close()
  }
})
