import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import type { Client } from '../../lib/stores/ports.ts'
import {
  type Browser,
  CONFIDENTIAL,
  manualClock,
  pkce,
  REDIRECT_URI,
  startWorld,
  type World,
} from '../support/world.ts'
import { expectPage, expectRedirect, signedIn } from './pages.ts'

const clock = manualClock()
const stores = memoryStores({ clock })
let world: World
let browser: Browser

beforeAll(async () => {
  world = await startWorld({
    stores,
    clock,
    aat: {
      clients: [
        {
          clientId: CONFIDENTIAL.id,
          clientSecret: CONFIDENTIAL.secret,
          redirectUris: [REDIRECT_URI],
          firstParty: true,
        },
        { clientId: 'two', redirectUris: ['https://two.example/a', 'https://two.example/b'] },
        { clientId: 'one', redirectUris: ['https://one.example/cb'], firstParty: true },
        { clientId: 'a', redirectUris: ['https://a.example/cb'], firstParty: true },
        { clientId: 'query', redirectUris: ['https://q.example/cb?x=1'], firstParty: true },
        {
          clientId: 'native',
          redirectUris: [
            'http://127.0.0.1/cb',
            'http://[::1]/cb',
            'http://localhost/cb',
            'com.example.app:/cb',
          ],
          firstParty: true,
        },
      ],
    },
  })
  browser = await signedIn(world)
})
afterAll(() => world.close())

const ask = (parameters: Record<string, string | undefined>) => browser.get(world.authorizeUrl(parameters))

/** Nothing was sent to anybody and nothing was granted. */
async function expectRefused(response: Response): Promise<string> {
  const text = await expectPage(response)
  expect(world.eventsNamed('authorization.granted')).toHaveLength(0)
  return text
}

describe('what is not proven is never redirected to', () => {
  test('AUT-001: an unknown client gets a page', async () => {
    for (const id of ['nope', '', 'dcr_AAAAAAAAAAAAAAAAAAAAAA', '__proto__', 'constructor', 'x'.repeat(5000)])
      await expectRefused(await ask({ client_id: id }))
    await expectRefused(await ask({ client_id: undefined }))
  })

  test('AUT-002: redirect_uri left out with two registered gets a page; with one registered it is that one', async () => {
    await expectRefused(await ask({ client_id: 'two', redirect_uri: undefined }))
    await expectRefused(await ask({ client_id: 'two', redirect_uri: '' }))
    const answer = expectRedirect(
      await ask({ client_id: 'one', redirect_uri: undefined, response_type: 'token' }),
      'https://one.example/cb?',
    )
    expect(answer.error).toBe('unsupported_response_type')
  })

  test('AUT-004: an unregistered redirect_uri gets a page, and no code', async () => {
    for (const uri of [
      'https://evil.example/cb',
      'https://client.example',
      'https://client.example/',
      'https://client.example/cb/',
      'https://client.example/cb?x=1',
      'https://client.example/cb?',
      'https://client.example/c',
      'http://client.example/cb',
      'HTTPS://client.example/cb',
      'https://CLIENT.example/cb',
      '//client.example/cb',
      '/cb',
      'client.example/cb',
      'x'.repeat(3000),
    ])
      await expectRefused(await ask({ redirect_uri: uri }))
  })

  test("AUT-004: another client's redirect_uri is unregistered too", async () => {
    await expectRefused(await ask({ client_id: 'one', redirect_uri: REDIRECT_URI }))
  })

  test('AUT-007: host tricks', async () => {
    for (const uri of [
      'https://a.example.evil.com/cb',
      'https://evil-a.example/cb',
      'https://a.example@evil.com/cb',
      'https://a.example:443@evil.com/cb',
      'https://a.example%40evil.com/cb',
      'https://a.example%2f@evil.com/cb',
      'https://a.example\\@evil.com/cb',
      'https://evil.com\\.a.example/cb',
      'https://a.example./cb',
      'https:a.example/cb',
      'https:///a.example/cb',
    ])
      await expectRefused(await ask({ client_id: 'a', redirect_uri: uri }))
  })

  test('AUT-008: path tricks', async () => {
    for (const uri of [
      'https://a.example/cb/../x',
      'https://a.example/x/../cb',
      'https://a.example/./cb',
      'https://a.example/cb/%2e%2e/x',
      'https://a.example/x/%2e%2e/cb',
      'https://a.example/cb/..;/x',
      'https://a.example//a.example/cb',
      'https://a.example//cb',
      '//a.example/cb',
      'https://a.example/%63b',
      'https://a.example/CB',
      'https://a.example/cb%00',
      'https://a.example/cb%0d%0aSet-Cookie:x=1',
      ' https://a.example/cb',
      'https://a.example/cb ',
    ])
      await expectRefused(await ask({ client_id: 'a', redirect_uri: uri }))
  })

  test('AUT-010: the default port is another text', async () => {
    await expectRefused(await ask({ client_id: 'a', redirect_uri: 'https://a.example:443/cb' }))
    await expectRefused(await ask({ client_id: 'a', redirect_uri: 'https://a.example:/cb' }))
  })

  test('AUT-011: letters that URL parsers fold', async () => {
    for (const uri of [
      'https://ⓐ.example/cb',
      'https://а.example/cb',
      'https://a。example/cb',
      'https://a.example/ｃb',
    ])
      await expectRefused(await ask({ client_id: 'a', redirect_uri: uri }))
  })

  test('AUT-013: a fragment, even an empty one', async () => {
    await expectRefused(await ask({ client_id: 'a', redirect_uri: 'https://a.example/cb#x' }))
    await expectRefused(await ask({ client_id: 'a', redirect_uri: 'https://a.example/cb#' }))
  })

  test('AUT-016: client_id or redirect_uri twice gets a page', async () => {
    const url = world.authorizeUrl({})
    await expectRefused(await browser.get(`${url}&client_id=${CONFIDENTIAL.id}`))
    await expectRefused(await browser.get(`${url}&client_id=one`))
    await expectRefused(await browser.get(`${url}&redirect_uri=${encodeURIComponent(REDIRECT_URI)}`))
    await expectRefused(await browser.get(`${url}&redirect_uri=https://evil.example/cb`))
  })

  test('AUT-017: redirect_uri as an array or an object', async () => {
    const rest = `client_id=one&response_type=code&code_challenge=${pkce().challenge}&code_challenge_method=S256`
    const uri = encodeURIComponent('https://one.example/cb')
    for (const query of [
      `redirect_uri[]=${uri}&redirect_uri[]=https://evil.example/cb`,
      `redirect_uri[0]=${uri}`,
      `redirect_uri[x]=https://evil.example/cb`,
      `redirect_uri=${uri}&redirect_uri[]=https://evil.example/cb`,
      `redirect_uri%5B%5D=https://evil.example/cb`,
    ])
      await expectRefused(await browser.get(`${world.endpoint('authorize')}?${rest}&${query}`))
  })

  test('AUT-022: loopback is nothing for a web client', async () => {
    await expectRefused(await ask({ redirect_uri: 'http://127.0.0.1/cb' }))
    await expectRefused(await ask({ redirect_uri: 'http://127.0.0.1:3000/cb' }))
  })

  test('AUT-023, AUT-014: what a store was made to hold all the same is not redirected to', async () => {
    const uris = [
      'javascript:alert(1)',
      'data:text/html,x',
      'vbscript:x',
      'blob:https://a.example/x',
      'file:///etc/passwd',
      'about:blank',
      'http://a.example/cb',
      'https://a.example/cb#x',
      'https://a.example/cb?code=evil',
      'https://a.example/cb?state=x',
      'https://a.example/cb?x=1&iss=y',
      'https://a.example/cb?ERROR=y',
      'https://a.example/cb?c%6fde=evil',
      'https://user@a.example/cb',
    ]
    const id = `dcr_${'S'.repeat(22)}`
    const client: Client = {
      id,
      origin: 'registered',
      applicationType: 'native',
      redirectUris: uris,
      grantTypes: ['authorization_code'],
      authenticationMethod: 'none',
      secrets: [],
      createdAt: 0,
    }
    expect(await stores.clients.create(client)).toBe('created')
    for (const uri of uris) {
      const text = await expectRefused(await ask({ client_id: id, redirect_uri: uri }))
      expect(text).not.toContain(uri)
    }
    await stores.clients.delete(id)
    expect(await stores.clients.create({ ...client, redirectUris: ['javascript:alert(1)'] })).toBe('created')
    await expectRefused(await ask({ client_id: id, redirect_uri: undefined }))
  })

  test('AUT-020: localhost is as registered, port and all, by default', async () => {
    await expectRefused(await ask({ client_id: 'native', redirect_uri: 'http://localhost:51000/cb' }))
  })

  test('AUT-019: loopback differs in its port only', async () => {
    for (const uri of [
      'http://[::1]:0/cb',
      'http://[::1]:65536/cb',
      'http://[::1]:051000/cb',
      'http://[::1]:51000/other',
      'http://[::1]:51000/cb?x=1',
      'http://[::1]:51000@evil.example/cb',
      'http://[::1].evil.example/cb',
      'http://[0:0:0:0:0:0:0:1]:51000/cb',
      'http://127.0.0.2:51000/cb',
      'http://127.1:51000/cb',
      'http://2130706433:51000/cb',
      'http://0x7f.1:51000/cb',
      'https://127.0.0.1:51000/cb',
      'http://127.0.0.1.evil.example:51000/cb',
    ])
      await expectRefused(await ask({ client_id: 'native', redirect_uri: uri }))
  })
})

/** The error goes to the redirect URI, so it was proven; what the user is asked is another matter. */
const errorAt = async (id: string, uri: string) =>
  expectRedirect(await ask({ client_id: id, redirect_uri: uri, response_type: 'token' }), `${uri}?`).error

describe('what is registered works', () => {
  test('AUT-019: IPv6 and IPv4 loopback on any port', async () => {
    for (const uri of [
      'http://[::1]:51000/cb',
      'http://127.0.0.1:51000/cb',
      'http://[::1]/cb',
      'http://localhost/cb',
    ])
      expect(await errorAt('native', uri)).toBe('unsupported_response_type')
  })

  test('AUT-020: localhost on any port where the configuration lets it', async () => {
    const lenient = await startWorld({
      aat: {
        localhostAnyPort: true,
        clients: [{ clientId: 'native', redirectUris: ['http://localhost/cb'], firstParty: true }],
      },
    })
    try {
      const user = await signedIn(lenient)
      const go = (uri: string) =>
        user.get(lenient.authorizeUrl({ client_id: 'native', redirect_uri: uri, response_type: 'token' }))
      expectRedirect(await go('http://localhost:51000/cb'), 'http://localhost:51000/cb?')
      await expectPage(await go('http://localhost.evil.example:51000/cb'))
    } finally {
      await lenient.close()
    }
  })

  test('a private-use scheme, and a query of its own that stays as it is', async () => {
    expect(await errorAt('native', 'com.example.app:/cb')).toBe('unsupported_response_type')
    const query = await ask({ client_id: 'query', redirect_uri: 'https://q.example/cb?x=1' })
    expect(expectRedirect(query, 'https://q.example/cb?x=1&')).toMatchObject({ x: '1', state: 'the-state' })
  })
})
