import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { json, Router } from 'express'
import { getAat, requireAat } from 'express-aat'
import { z } from 'zod'
import { products, WrongOrder } from './orders.js'

/**
 * The shop as an MCP server. To come in takes `orders:read`; a call of `place_order` takes `orders:write` too, and is refused
 * by HTTP (403, `insufficient_scope`), so that the client asks its user for more and tries again.
 * @param {import('express-aat').Aat} aat
 * @param {import('./orders.js').Orders} orders
 */
export function mcp(aat, orders) {
  const resource = `${aat.issuer}/mcp`
  const mayRead = requireAat(aat, { resource, scope: 'orders:read', principal: 'user' })
  // A challenge names everything that the call needs: clients ask for just this.
  const mayWrite = requireAat(aat, { resource, scope: ['orders:read', 'orders:write'], principal: 'user' })

  const router = Router()
  router.use(mayRead)
  // Whatever its Content-Type, so that no message is handled that was not looked at.
  router.post('/', json({ limit: '100kb', type: () => true }), (req, res, next) =>
    placesOrder(req.body) ? mayWrite(req, res, next) : next(),
  )
  router.post('/', async (req, res) => {
    // Stateless: a server and a transport for each request.
    const server = toolsFor(getAat(req).subject, orders)
    const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true })
    res.on('close', () => {
      transport.close()
      server.close()
    })
    await server.connect(
      /** @type {import('@modelcontextprotocol/sdk/shared/transport.js').Transport} */ (transport),
    )
    await transport.handleRequest(req, res, req.body)
  })
  router.use((_req, res) => {
    res
      .status(405)
      .set('Allow', 'POST')
      .json({ jsonrpc: '2.0', error: { code: -32000, message: 'This server answers POST only.' }, id: null })
  })
  return router
}

/**
 * One message or a batch: does it call the tool that changes something?
 * @param {any} body
 */
function placesOrder(body) {
  return [body]
    .flat()
    .some((message) => message?.method === 'tools/call' && message.params?.name === 'place_order')
}

/**
 * @param {string} user whose tools they are
 * @param {import('./orders.js').Orders} orders
 */
function toolsFor(user, orders) {
  const server = new McpServer({ name: 'teapot-and-co', version: '1.0.0' })

  server.registerTool(
    'list_orders',
    { title: 'List orders', description: 'Lists your orders.', annotations: { readOnlyHint: true } },
    async () => text(await orders.of(user)),
  )
  server.registerTool(
    'place_order',
    {
      title: 'Place an order',
      description: 'Orders a product.',
      inputSchema: {
        product: z.string().describe(`One of ${products.map(({ id }) => id).join(', ')}`),
        quantity: z.number().int().min(1).max(10).default(1),
      },
    },
    async (wanted) => {
      try {
        return text(await orders.place(user, wanted))
      } catch (error) {
        if (!(error instanceof WrongOrder)) throw error
        return { isError: true, ...text(error.message) }
      }
    },
  )
  return server
}

/**
 * @param {unknown} value
 * @returns {{ content: { type: 'text', text: string }[] }}
 */
function text(value) {
  return {
    content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value, null, 2) }],
  }
}
