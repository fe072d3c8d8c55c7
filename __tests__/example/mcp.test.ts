import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type OAuthClientProvider, UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { OAuthClientInformationMixed, OAuthTokens } from '@modelcontextprotocol/sdk/shared/auth.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { DPOP_CHALLENGE } from '../support/dpop.ts'
import { Browser } from '../support/world.ts'
import { type Shop, startShop } from './start-shop.ts'

let shop: Shop
beforeAll(async () => {
  shop = await startShop()
})
afterAll(() => shop.close())

const message = (method: string, params: object = {}, id = 1) => ({ jsonrpc: '2.0', id, method, params })
const callOf = (name: string, parameters: object = {}) =>
  message('tools/call', { name, arguments: parameters })
const ofMcp = (scope: string) => shop.tokenOf('alice', 'wonderland', scope, `${shop.base}/mcp`)

test.each(['GET', 'POST', 'DELETE'])(
  '%s without a token is a challenge with scope and metadata',
  async (method) => {
    const { status, headers } = await shop.call(
      method,
      '/mcp',
      undefined,
      method === 'POST' ? message('ping') : undefined,
    )
    expect(status).toBe(401)
    expect(headers.get('www-authenticate')).toBe(
      `Bearer scope="orders:read", resource_metadata="${shop.base}/.well-known/oauth-protected-resource/mcp", ${DPOP_CHALLENGE}`,
    )
  },
)

test('a token for the API is not one for the MCP server', async () => {
  const { status, headers } = await shop.call(
    'POST',
    '/mcp',
    await shop.tokenOf('alice', 'wonderland', 'orders:read'),
    message('ping'),
  )
  expect(status).toBe(401)
  expect(headers.get('www-authenticate')).toContain('error="invalid_token"')
})

test('the tools, and the orders of the token’s user', async () => {
  const token = await ofMcp('orders:read')
  const { body } = await shop.call('POST', '/mcp', token, message('tools/list'))
  expect(body.result.tools.map(({ name }: { name: string }) => name)).toEqual(['list_orders', 'place_order'])
  const list = await shop.call('POST', '/mcp', token, callOf('list_orders'))
  const orders = JSON.parse(list.body.result.content[0].text)
  expect(orders).toEqual(await shop.orders.of('alice'))
  expect(orders.length).toBeGreaterThan(0)
})

test('place_order without orders:write: 403 that names all that the call needs', async () => {
  const token = await ofMcp('orders:read')
  const before = (await shop.orders.all()).length
  const order = callOf('place_order', { product: 'teapot' })
  for (const body of [order, [message('ping'), order]]) {
    const { status, headers } = await shop.call('POST', '/mcp', token, body)
    expect(status).toBe(403)
    const challenge = headers.get('www-authenticate')
    expect(challenge).toContain('error="insufficient_scope"')
    expect(challenge).toContain('scope="orders:read orders:write"')
    expect(challenge).toContain(`resource_metadata="${shop.base}/.well-known/oauth-protected-resource/mcp"`)
  }
  const disguised = await fetch(`${shop.base}/mcp`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`,
      'Content-Type': 'text/plain; of=application/json',
      Accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify(order),
  })
  expect(disguised.status).toBe(403)
  expect(await shop.orders.all()).toHaveLength(before)
})

test('place_order with orders:write, and a wrong order in words', async () => {
  const token = await ofMcp('orders:read orders:write')
  const { status, body } = await shop.call(
    'POST',
    '/mcp',
    token,
    callOf('place_order', { product: 'teapot', quantity: 2 }),
  )
  expect(status).toBe(200)
  expect(JSON.parse(body.result.content[0].text)).toMatchObject({
    user: 'alice',
    product: 'teapot',
    quantity: 2,
  })
  const wrong = await shop.call('POST', '/mcp', token, callOf('place_order', { product: 'rabbit' }))
  expect(wrong.body.result).toMatchObject({ isError: true })
  expect(wrong.body.result.content[0].text).toContain('product must be one of')
})

test('a backend without a user is refused: tools are a user’s', async () => {
  const { body } = await shop.post(
    '/oauth/token',
    { grant_type: 'client_credentials', resource: `${shop.base}/mcp` },
    shop.backend,
  )
  expect((await shop.call('POST', '/mcp', body.access_token, message('ping'))).status).toBe(403)
})

test('what is not POST, and what is not JSON, is refused in words', async () => {
  const token = await ofMcp('orders:read')
  const get = await shop.call('GET', '/mcp', token)
  expect(get.status).toBe(405)
  expect(get.headers.get('allow')).toBe('POST')
  const broken = await fetch(`${shop.base}/mcp`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: '{"jsonrpc"',
  })
  expect(broken.status).toBe(400)
})

test('the MCP SDK’s client: registers, signs in, reads, and steps up to place an order', async () => {
  const redirectUri = 'http://localhost:33418/callback'
  const asked: URL[] = []
  let information: OAuthClientInformationMixed | undefined
  let tokens: OAuthTokens | undefined
  let verifier = ''
  const program: OAuthClientProvider = {
    redirectUrl: redirectUri,
    // Without refresh tokens: with one, this client answers a step-up by refreshing, which cannot give it more scope.
    clientMetadata: {
      client_name: 'An assistant',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code'],
      token_endpoint_auth_method: 'none',
    },
    clientInformation: () => information,
    saveClientInformation: (saved) => {
      information = saved
    },
    tokens: () => tokens,
    saveTokens: (saved) => {
      tokens = saved
    },
    codeVerifier: () => verifier,
    saveCodeVerifier: (saved) => {
      verifier = saved
    },
    redirectToAuthorization: (url) => void asked.push(url),
  }
  const browser = new Browser(shop.base)
  await shop.signIn(browser, 'bob', 'builder')
  const client = new Client({ name: 'An assistant', version: '1.0.0' })
  const transport = () =>
    new StreamableHTTPClientTransport(new URL(`${shop.base}/mcp`), { authProvider: program })

  /** The user agrees to what the client asks for now. */
  async function agree(through: StreamableHTTPClientTransport) {
    const page = await browser.follow(await browser.get(String(asked.at(-1))))
    const answer = await browser.submitConsent(page, { decision: 'allow' })
    const location = new URL(answer.headers.get('location') ?? '')
    expect(location.origin + location.pathname).toBe(redirectUri)
    await through.finishAuth(location.searchParams.get('code') ?? '')
  }

  const first = transport()
  await expect(client.connect(first as Transport)).rejects.toThrow(UnauthorizedError)
  expect(asked.at(-1)?.searchParams.get('scope')).toBe('orders:read')
  expect(asked.at(-1)?.searchParams.get('resource')).toBe(`${shop.base}/mcp`)
  await agree(first)

  const second = transport()
  await client.connect(second as Transport)
  expect((await client.listTools()).tools).toHaveLength(2)
  expect(JSON.stringify(await client.callTool({ name: 'list_orders' }))).toContain('hard-hat')

  const order = { name: 'place_order', arguments: { product: 'hard-hat', quantity: 4 } }
  await expect(client.callTool(order)).rejects.toThrow(UnauthorizedError)
  expect(asked).toHaveLength(2)
  expect(asked.at(-1)?.searchParams.get('scope')).toBe('orders:read orders:write')
  await agree(second)
  expect((await client.callTool(order)).isError).not.toBe(true)
  expect((await shop.orders.of('bob')).at(-1)).toMatchObject({ product: 'hard-hat', quantity: 4 })
  await client.close()
})
