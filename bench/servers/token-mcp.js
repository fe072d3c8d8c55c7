/**
 * The MCP SDK's `mcpAuthRouter`, as its documentation mounts it, with the leanest provider that is right: the family of the
 * hand-written endpoint; or, with `keys`, one key for each live refresh token, as in the leanest models of others: it is read,
 * claimed by its deletion, and the next one is written. No provider that is documented can refresh: `demoInMemoryOAuthProvider.ts` of its examples throws there.
 * It grants no client credentials, and reads the client's own from the body. Like ours it keeps its rate limit, which no load
 * reaches.
 */

import { randomBytes } from 'node:crypto'
import { accessTokens } from './access-tokens.js'
import { handWritten } from './hand-written.js'
import { ACCESS_TOKEN_LIFETIME, CLIENT, opening, REFRESH_TOKEN_LIFETIME, SCOPE } from './token-shared.js'

// Its types say what `req.auth` is in the whole program, so it is not imported statically.
const name = '@modelcontextprotocol/sdk/server/auth/router.js'

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, options: { keys = false }, ...context }) {
  const { mcpAuthRouter } = await import(name)
  const { exchangeRefreshToken, ...mounted } = keys ? byKeys(context) : await byOneScript(context)
  const client = { client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: [] }
  const provider = {
    clientsStore: { getClient: (/** @type {string} */ id) => (id === CLIENT.id ? client : undefined) },
    exchangeRefreshToken: (/** @type {unknown} */ _client, /** @type {string} */ token) =>
      exchangeRefreshToken(token),
  }
  const tokenOptions = { rateLimit: { max: 1_000_000_000 } }
  app.use(mcpAuthRouter({ provider, issuerUrl: new URL(context.url), tokenOptions }))
  return mounted
}

/** @param {Pick<import('../harness/server.js').Context, 'redis' | 'url'>} context */
async function byOneScript(context) {
  const { grant, ...mounted } = await handWritten(context)
  const authorization = `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}`
  return {
    ...mounted,
    /** @param {string} token */
    async exchangeRefreshToken(token) {
      const { status, body } = await grant(authorization, {
        grant_type: 'refresh_token',
        refresh_token: token,
      })
      if (status !== 200) throw new Error('invalid_grant')
      return body
    },
  }
}

/** @param {Pick<import('../harness/server.js').Context, 'redis' | 'url'>} context */
function byKeys({ redis, url }) {
  const accessToken = accessTokens(url, `${url}/api`)
  /** @param {string} token */
  const keyOf = (token) => `refresh:${token}`

  /** @param {string} subject */
  async function open(subject) {
    const token = randomBytes(32).toString('base64url')
    const record = JSON.stringify({ clientId: CLIENT.id, subject, scope: SCOPE })
    await redis.set(keyOf(token), record, 'EX', REFRESH_TOKEN_LIFETIME)
    return token
  }

  return {
    path: '/token',
    asks: opening(open),
    /** @param {string} token */
    async exchangeRefreshToken(token) {
      const text = await redis.get(keyOf(token))
      // Of two with the same one only the first can have it.
      if (text === null || (await redis.del(keyOf(token))) !== 1) throw new Error('invalid_grant')
      const { subject, scope } = JSON.parse(text)
      return {
        access_token: accessToken(subject, scope),
        token_type: 'Bearer',
        expires_in: ACCESS_TOKEN_LIFETIME,
        scope,
        refresh_token: await open(subject),
      }
    },
  }
}
