import { afterAll, beforeAll, expect, test } from '@jest/globals'
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
      `Bearer scope="orders:read", resource_metadata="${shop.base}/.well-known/oauth-protected-resource/mcp"`,
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
  expect(orders).toEqual(shop.orders.of('alice'))
  expect(orders.length).toBeGreaterThan(0)
})

test('place_order without orders:write: 403 that names all that the call needs', async () => {
  const token = await ofMcp('orders:read')
  const before = shop.orders.all().length
  const order = callOf('place_order', { product: 'teapot' })
  for (const body of [order, [message('ping'), order]]) {
    const { status, headers } = await shop.call('POST', '/mcp', token, body)
    expect(status).toBe(403)
    const challenge = headers.get('www-authenticate')
    expect(challenge).toContain('error="insufficient_scope"')
    expect(challenge).toContain('scope="orders:read orders:write"')
    expect(challenge).toContain(`resource_metadata="${shop.base}/.well-known/oauth-protected-resource/mcp"`)
  }
  expect(shop.orders.all()).toHaveLength(before)
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
