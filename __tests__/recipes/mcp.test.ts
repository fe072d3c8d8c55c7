import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { type Express, json, type RequestHandler } from 'express'
import { basic, CONFIDENTIAL, startWorld, type World } from '../support/world.ts'
import { mountMcp } from './mcp.ts'
import { expectInReadme } from './recipe-app.ts'

let world: World
let placed: number
let before: ((app: Express) => void) | undefined

/** The SDK's, without state; where nobody has parsed a body, it does. */
const transport: RequestHandler = async (req, res) => {
  const server = new McpServer({ name: 'shop', version: '1.0.0' })
  server.registerTool('list_orders', { description: 'Lists' }, () => ({ content: [] }))
  server.registerTool('place_order', { description: 'Places' }, () => {
    placed += 1
    return { content: [] }
  })
  const sdk = new StreamableHTTPServerTransport({ enableJsonResponse: true })
  res.on('close', () => {
    void sdk.close()
    void server.close()
  })
  await server.connect(sdk as Transport)
  await sdk.handleRequest(req, res, req.body)
}

async function start(): Promise<World> {
  return startWorld({
    routes: false,
    aat: (base) => ({
      resources: { [`${base}/mcp`]: { scopes: ['orders:read', 'orders:write'] } },
      clients: [{ clientId: CONFIDENTIAL.id, clientSecret: CONFIDENTIAL.secret }],
    }),
    ...(before && { before }),
    after: (app, aat) => mountMcp(app, aat, transport),
  })
}
beforeEach(() => {
  placed = 0
  before = undefined
})
afterEach(() => world.close())

async function tokenFor(scope: string): Promise<string> {
  const answer = await fetch(`${world.base}/oauth/token`, {
    method: 'POST',
    headers: basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
    body: new URLSearchParams({ grant_type: 'client_credentials', scope }),
  })
  return ((await answer.json()) as { access_token: string }).access_token
}

const callOf = (name: string, id = 1) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name } })

function send(token: string, message: unknown, contentType = 'application/json'): Promise<Response> {
  return fetch(`${world.base}/mcp`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${token}`,
      'Content-Type': contentType,
      Accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify(message),
  })
}

test('the MCP server: the recipe of the README', async () => {
  expectInReadme('mcp.ts')
  world = await start()
  const reader = await tokenFor('orders:read')
  const list = callOf('list_orders', 2)
  expect((await send(reader, list)).status).toBe(200)
  expect((await send(reader, [list])).status).toBe(200)
  const writer = await tokenFor('orders:read orders:write')
  expect((await send(writer, [list, callOf('place_order')])).status).toBe(200)
  expect(placed).toBe(1)
})

test.each([
  ['without a parser of the app', undefined],
  ['where the app parses JSON', (app: Express) => void app.use(json())],
])(
  '%s nobody calls the tool that needs more: alone, in a batch, under another name of JSON',
  async (_name, parser) => {
    before = parser
    world = await start()
    const reader = await tokenFor('orders:read')
    const call = callOf('place_order')
    for (const message of [call, [call], [callOf('list_orders', 2), call]])
      for (const contentType of [
        'application/json',
        'application/json;',
        'text/plain; of=application/json',
      ]) {
        const { status, headers } = await send(reader, message, contentType)
        expect([status, headers.get('www-authenticate')]).toEqual([
          403,
          expect.stringContaining('scope="orders:read orders:write"'),
        ])
      }
    expect(placed).toBe(0)
  },
)
