import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Site, type SiteBrowser, startSite } from './site.ts'
import {
  answerUrl,
  begin,
  idToken,
  type StubProvider,
  signInWith,
  startStubProvider,
} from './stub-provider.ts'

let stub: StubProvider
let site: Site
let browser: SiteBrowser
beforeEach(async () => {
  stub = await startStubProvider()
  site = await startSite({ issuer: stub.issuer, signIn: { httpTimeout: 600 } })
  browser = site.browser()
})
afterEach(async () => {
  await site.close()
  await stub.close()
})

const troubles: [string, (res: import('node:http').ServerResponse) => void][] = [
  ['500', (res) => void res.writeHead(500).end('{}')],
  ['429', (res) => void res.writeHead(429).end('{}')],
  ['cut off', (res) => void res.destroy()],
  ['slow', () => undefined],
  ['slow in the middle', (res) => void res.write('{"a":')],
  ['endless', (res) => void res.end('x'.repeat(300_000))],
]

describe.each(troubles)('the provider is away (%s)', (_, trouble) => {
  test('at the start: 503, and later it works', async () => {
    stub.instead = (_path, res) => {
      trouble(res)
      return true
    }
    const response = await browser.get(site.url)
    expect([response.status, response.headers.has('retry-after')]).toEqual([503, true])
    expect(site.faults()).toHaveLength(1)
    stub.instead = undefined
    expect((await signInWith(site, stub, browser)).status).toBe(303)
  })

  test('at the callback: 503, and the page may be loaded again', async () => {
    const sent = await begin(site, browser)
    stub.claims = idToken(site, stub, sent)
    stub.instead = (path, res) => {
      if (path === '/token') trouble(res)
      return path === '/token'
    }
    const response = await browser.get(answerUrl(site, stub, sent))
    expect([response.status, response.headers.has('retry-after')]).toEqual([503, true])
    expect(await response.text()).toContain('does not answer as it should')
    stub.instead = undefined
    expect((await browser.get(answerUrl(site, stub, sent))).status).toBe(303)
  })
})

test('the provider’s keys are away at the callback: 503', async () => {
  stub.instead = (path, res) => {
    if (path === '/jwks') res.writeHead(503).end()
    return path === '/jwks'
  }
  expect((await signInWith(site, stub, browser)).status).toBe(503)
  expect(await site.who(browser)).toBeNull()
})

describe('metadata that are garbage', () => {
  test.each<[string, unknown]>([
    ['a page', '<!doctype html><p>maintenance'],
    ['null', null],
    ['no issuer', {}],
  ])('%s: 503', async (_, metadata) => {
    stub.metadata = metadata as Record<string, unknown>
    expect((await browser.get(site.url)).status).toBe(503)
    expect(site.faults()).toHaveLength(1)
  })

  test('another issuer: nobody is sent there', async () => {
    stub.metadata.issuer = 'https://evil.example'
    const response = await browser.get(site.url)
    expect([response.status, response.headers.get('location')]).toEqual([503, null])
  })

  test('the issuer with a slash more: the operator is told what to configure', async () => {
    stub.metadata.issuer = `${stub.issuer}/`
    expect((await browser.get(site.url)).status).toBe(500)
    expect(site.faults()[0]?.error.message).toContain(
      `is not what the provider calls itself, which is "${stub.issuer}/"`,
    )
  })

  test('are asked for once by many', async () => {
    await Promise.all(Array.from({ length: 5 }, () => site.browser().get(site.url)))
    expect(stub.requests.filter(({ path }) => path.startsWith('/.well-known'))).toHaveLength(1)
  })
})

describe('the provider says no', () => {
  test.each([
    ['access_denied', 403, 'access_denied'],
    ['login_required', 400, 'login_required'],
    ['interaction_required', 400, 'interaction_required'],
    ['account_selection_required', 400, 'interaction_required'],
    ['server_error', 503, 'temporarily_unavailable'],
    ['temporarily_unavailable', 503, 'temporarily_unavailable'],
    ['invalid_scope', 502, 'server_error'],
    ['unauthorized_client', 502, 'server_error'],
    ['<script>', 502, 'server_error'],
    ['constructor', 502, 'server_error'],
  ])('%s: %d', async (error, status, code) => {
    const sent = await begin(site, browser)
    const more = { error, error_description: '<b>nasty</b>' }
    const response = await browser.get(answerUrl(site, stub, sent, more))
    const text = await response.text()
    expect(response.status).toBe(status)
    expect(text).toContain(`<code>${code}</code>`)
    expect(text).not.toContain('nasty')
    expect(text).not.toContain('<script>')
    expect(site.faults()).toHaveLength(status >= 500 ? 1 : 0)
  })

  test.each([
    ['invalid_grant', 400, 400, 'invalid_request'],
    ['invalid_client', 401, 502, 'server_error'],
    ['invalid_request', 400, 502, 'server_error'],
  ])('of the code: %s', async (error, said, status, code) => {
    const sent = await begin(site, browser)
    stub.token = async () => ({ status: said, body: { error } })
    const response = await browser.get(answerUrl(site, stub, sent))
    expect([response.status, (await response.text()).includes(`<code>${code}</code>`)]).toEqual([
      status,
      true,
    ])
    if (status === 502) expect(site.faults()[0]?.error.message).toContain(error)
  })
})

test('a provider that takes client_secret_post only gets that', async () => {
  stub.metadata.token_endpoint_auth_methods_supported = ['client_secret_post']
  await signInWith(site, stub, browser)
  const { body, authorization } = stub.requests.find(({ path }) => path === '/token') ?? {}
  expect(authorization).toBeUndefined()
  expect(new URLSearchParams(body).has('client_secret')).toBe(true)
})
