/**
 * The MCP SDK's `mcpAuthRouter`, as its documentation mounts it but without the rate limit, as all are here, and with clients as
 * JSON in Redis.
 */

const LIFETIME = 2_592_000
// Its types say what `req.auth` is in the whole program, so it is not imported statically.
const name = '@modelcontextprotocol/sdk/server/auth/router.js'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url }) {
  const { mcpAuthRouter } = await import(name)
  const clientsStore = {
    getClient: async (/** @type {string} */ id) =>
      JSON.parse((await redis.get(`client:${id}`)) ?? 'null') ?? undefined,
    async registerClient(/** @type {{ client_id: string }} */ client) {
      await redis.set(`client:${client.client_id}`, JSON.stringify(client), 'EX', LIFETIME)
      return client
    },
  }
  const clientRegistrationOptions = { rateLimit: false }
  app.use(mcpAuthRouter({ provider: { clientsStore }, issuerUrl: new URL(url), clientRegistrationOptions }))
  return { path: '/register' }
}
