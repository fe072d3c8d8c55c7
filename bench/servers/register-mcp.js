/** The MCP SDK's registration handler, with clients as JSON in Redis. */

const LIFETIME = 2_592_000
// Its types say what `req.auth` is in the whole program, so it is not imported statically.
const name = '@modelcontextprotocol/sdk/server/auth/handlers/register.js'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis }) {
  const { clientRegistrationHandler } = await import(name)
  const clientsStore = {
    getClient: async (/** @type {string} */ id) =>
      JSON.parse((await redis.get(`client:${id}`)) ?? 'null') ?? undefined,
    async registerClient(/** @type {{ client_id: string }} */ client) {
      await redis.set(`client:${client.client_id}`, JSON.stringify(client), 'EX', LIFETIME)
      return client
    },
  }
  app.use('/register', clientRegistrationHandler({ clientsStore, rateLimit: false }))
  return { path: '/register' }
}
