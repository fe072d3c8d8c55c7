/**
 * The MCP SDK's `mcpAuthRouter`, as its documentation mounts it, with the leanest provider that is right: the family of the
 * hand-written endpoint. No provider that is documented can refresh: `demoInMemoryOAuthProvider.ts` of its examples throws there.
 * It grants no client credentials, and reads the client's own from the body. Like ours it keeps its rate limit, which no load
 * reaches.
 */

import { handWritten } from './hand-written.js'
import { CLIENT } from './token-shared.js'

// Its types say what `req.auth` is in the whole program, so it is not imported statically.
const name = '@modelcontextprotocol/sdk/server/auth/router.js'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, ...context }) {
  const { mcpAuthRouter } = await import(name)
  const { grant, ...mounted } = await handWritten(context)
  const client = { client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: [] }
  const authorization = `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}`
  const provider = {
    clientsStore: { getClient: (/** @type {string} */ id) => (id === CLIENT.id ? client : undefined) },
    /** @param {unknown} _client @param {string} refreshToken */
    async exchangeRefreshToken(_client, refreshToken) {
      const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
      const { status, body } = await grant(authorization, form)
      if (status !== 200) throw new Error('invalid_grant')
      return body
    },
  }
  const tokenOptions = { rateLimit: { max: 1_000_000_000 } }
  app.use(mcpAuthRouter({ provider, issuerUrl: new URL(context.url), tokenOptions }))
  return mounted
}
