/** The MCP SDK's auth router in a bare Express app. */

import express from 'express'

// Its types say what `req.auth` is in the whole program, so it is not imported statically.
const name = '@modelcontextprotocol/sdk/server/auth/router.js'
const { mcpAuthRouter } = await import(name)

const clientsStore = { getClient: () => undefined, registerClient: (/** @type {unknown} */ client) => client }
const app = express()
app.use(
  mcpAuthRouter({
    provider: { clientsStore, revokeToken: async () => undefined },
    issuerUrl: new URL('https://shop.example'),
  }),
)
app.get('/', (_req, res) => void res.send('ok'))
app.listen(0, '127.0.0.1', () => process.send?.('listening'))
