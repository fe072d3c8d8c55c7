/**
 * @jmondi/oauth2-server as its documentation shows it, over Redis.
 *
 * - How it is set up and mounted: `docs/getting_started/index.md` of jasonraimondi/ts-oauth2-server, with a text as the secret: its
 *   `JwtService` then signs access and refresh tokens, which are both JWTs by default, with HS256. It can use no other algorithm,
 *   as it tells jsonwebtoken none. jsonwebtoken tries to read a text as PEM each time, which takes 0.3 ms, three times a refresh;
 *   with `keyObject` the secret is one that it needs not read, which no page shows but the type allows.
 * - The repositories: `example/src/repositories/*.ts` there, method by method; where these ask Prisma to include a row's relations,
 *   one MGET fetches them. A row is a JSON text under its primary key, and a unique column that is searched by a key of its own.
 * - Scopes are columns of clients and tokens, like in the simplified schema of `docs/getting_started/database_schema.md`. That page
 *   would also hash secrets with bcrypt, which takes longer than all else here; the example compares texts, and so does this.
 *
 * Nothing there deletes rows, so used tokens stay in Redis.
 */

import { createSecretKey, randomBytes, randomUUID } from 'node:crypto'
import express from 'express'
import { ACCESS_TOKEN_LIFETIME, CLIENT, opening, REFRESH_TOKEN_LIFETIME, SCOPE } from './token-shared.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const [name, adapter] = ['@jmondi/oauth2-server', '@jmondi/oauth2-server/express']

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url, options: { keyObject = false } = {} }) {
  const { AuthorizationServer, DateInterval, generateRandomToken, JwtService } = await import(name)
  const { handleExpressError, handleExpressResponse } = await import(adapter)

  /** Rows by their primary keys; one that is not there is an error, like with `rejectOnNotFound`. @param {string[]} keys */
  async function find(...keys) {
    const texts = await redis.mget(keys)
    return texts.map((text) => {
      if (text === null) throw new Error('not found')
      return JSON.parse(text)
    })
  }
  const clientKey = (/** @type {string} */ id) => `clients:${id}`
  const scopeKey = (/** @type {string} */ of) => `scopes:${of}`
  const tokenKey = (/** @type {string} */ accessToken) => `tokens:${accessToken}`
  const byRefreshTokenKey = (/** @type {string} */ refreshToken) => `by-refresh:${refreshToken}`
  const userKey = (/** @type {string} */ id) => `users:${id}`
  const clientOf = (/** @type {any} */ row) => ({ ...row, scopes: scopesOf(row.scopes) })
  const scopesOf = (/** @type {string[]} */ names) => names.map((of) => ({ name: of }))
  const rowOf = (/** @type {any} */ { user, client, scopes, ...token }) =>
    JSON.stringify({ ...token, scopes: scopes.map((/** @type {any} */ { name: of }) => of) })

  // All families are of one user: users are the app's, and not what is measured.
  const user = { id: randomUUID(), email: 'user@example.com' }
  await redis.set(userKey(user.id), JSON.stringify(user))
  await redis.set(scopeKey(SCOPE), JSON.stringify({ name: SCOPE }))
  const client = {
    ...{ id: CLIENT.id, name: CLIENT.id, secret: CLIENT.secret, redirectUris: [], scopes: [SCOPE] },
    allowedGrants: ['client_credentials', 'refresh_token'],
  }
  await redis.set(clientKey(client.id), JSON.stringify(client))

  const clients = {
    getByIdentifier: async (/** @type {string} */ id) => clientOf((await find(clientKey(id)))[0]),
    isClientValid: async (
      /** @type {string} */ grant,
      /** @type {any} */ one,
      /** @type {string | undefined} */ secret,
    ) => one.secret === secret && one.allowedGrants.includes(grant),
  }
  const scopeStore = {
    getAllByIdentifiers: (/** @type {string[]} */ names) => find(...names.map(scopeKey)),
    finalize: async (/** @type {unknown[]} */ granted) => granted,
  }
  const tokens = {
    issueToken: async (/** @type {any} */ of, /** @type {any[]} */ scopes, /** @type {any} */ owner) => ({
      accessToken: generateRandomToken(),
      accessTokenExpiresAt: inSeconds(ACCESS_TOKEN_LIFETIME),
      refreshToken: null,
      refreshTokenExpiresAt: null,
      ...{ client: of, clientId: of.id, user: owner, userId: owner?.id ?? null, scopes },
    }),
    persist: (/** @type {any} */ token) => redis.set(tokenKey(token.accessToken), rowOf(token)),
    async issueRefreshToken(/** @type {any} */ token) {
      token.refreshToken = generateRandomToken()
      token.refreshTokenExpiresAt = inSeconds(REFRESH_TOKEN_LIFETIME)
      const { accessToken, refreshToken } = token
      await redis.mset(tokenKey(accessToken), rowOf(token), byRefreshTokenKey(refreshToken), accessToken)
      return token
    },
    async getByRefreshToken(/** @type {string} */ refreshToken) {
      const accessToken = await redis.get(byRefreshTokenKey(refreshToken))
      const [row] = await find(tokenKey(accessToken ?? ''))
      const [of, owner] = await find(clientKey(row.clientId), userKey(row.userId))
      return {
        ...row,
        accessTokenExpiresAt: new Date(row.accessTokenExpiresAt),
        refreshTokenExpiresAt: new Date(row.refreshTokenExpiresAt),
        ...{ client: clientOf(of), user: owner, scopes: scopesOf(row.scopes) },
      }
    },
    isRefreshTokenRevoked: async (/** @type {any} */ token) =>
      Date.now() > token.refreshTokenExpiresAt.getTime(),
    async revoke(/** @type {any} */ token) {
      token.accessTokenExpiresAt = token.refreshTokenExpiresAt = new Date(0)
      await redis.set(tokenKey(token.accessToken), rowOf(token))
    },
  }
  const text = randomBytes(32).toString('hex')
  const secret = keyObject ? new JwtService(createSecretKey(Buffer.from(text))) : text
  const server = new AuthorizationServer(clients, tokens, scopeStore, secret, { issuer: url })
  const lifetime = new DateInterval(`${ACCESS_TOKEN_LIFETIME}s`)
  server.enableGrantTypes(['client_credentials', lifetime], ['refresh_token', lifetime])
  app.use(express.json())
  app.use(express.urlencoded({ extended: false }))
  app.post('/token', async (req, res) => {
    try {
      handleExpressResponse(res, await server.respondToAccessTokenRequest(req))
    } catch (error) {
      handleExpressError(error, res)
    }
  })

  return {
    path: '/token',
    // What its code grant leaves behind.
    asks: opening(async () => {
      const of = clientOf(client)
      const token = await tokens.issueToken(of, of.scopes, user)
      await tokens.persist(token)
      const issued = await tokens.issueRefreshToken(token)
      const { body } = await server.enabledGrantTypes.refresh_token.makeBearerTokenResponse(
        of,
        issued,
        of.scopes,
      )
      return body.refresh_token
    }),
  }
}

/** @param {number} seconds */
const inSeconds = (seconds) => new Date(Date.now() + seconds * 1000)
