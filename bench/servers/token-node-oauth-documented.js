/**
 * @node-oauth/express-oauth-server as its documentation shows it, over Redis.
 *
 * - How it is mounted: "Quick Start" of its README. No function of the model generates tokens, so both kinds are random and opaque
 *   (the library's default), and access tokens are stored, not signed.
 * - Keys and hashes (`clients:…`, `users:…`, `tokens:…`) and `getClient`: `examples/redis/model.js` of node-oauth/express-oauth-server.
 * - `getUserFromClient`, `getRefreshToken`, `revokeToken`, `saveToken`, `validateScope`: the example of each in `docs/api/model.md` of
 *   node-oauth/node-oauth2-server; `examples/redis` is older than they are and has no `revokeToken`.
 *
 * Neither lets a key expire, so access tokens stay in Redis.
 */

import { randomBytes, randomUUID } from 'node:crypto'
import express from 'express'
import { ACCESS_TOKEN_LIFETIME, CLIENT, opening, REFRESH_TOKEN_LIFETIME, SCOPE } from './token-shared.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const name = '@node-oauth/express-oauth-server'

/**
 * @typedef {{ accessToken: string, accessTokenExpiresAt: Date, refreshToken?: string, refreshTokenExpiresAt?: Date, scope: string[] }} Token
 */

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis }) {
  const { default: OAuthServer } = await import(name)
  // All families are of one user: users are the app's, and not what is measured.
  const [user, machine] = [{ id: randomUUID() }, { id: randomUUID() }]
  await redis.hset(`users:${user.id}`, user)
  await redis.hset(`users:${machine.id}`, machine)
  await redis.hset(`clients:${CLIENT.id}`, {
    clientId: CLIENT.id,
    clientSecret: CLIENT.secret,
    grants: 'refresh_token client_credentials',
    userId: machine.id,
  })

  /** @param {string} id */
  async function queryClient(id) {
    const { clientId, clientSecret, grants = '', userId = '' } = await redis.hgetall(`clients:${id}`)
    return clientId === undefined
      ? undefined
      : { id: clientId, clientSecret, grants: grants.split(' '), userId }
  }
  /** @param {string} id */
  const queryUser = (id) => redis.hgetall(`users:${id}`)
  /** @param {string} text @param {Date} expiresAt @param {string[]} scope @param {string} clientId @param {string} userId */
  const saveOne = (text, expiresAt, scope, clientId, userId) =>
    redis.hset(`tokens:${text}`, {
      token: text,
      expiresAt: expiresAt.toISOString(),
      scope: scope.join(' '),
      clientId,
      userId,
    })

  const model = {
    /** @param {string} id @param {string} secret */
    async getClient(id, secret) {
      const client = await queryClient(id)
      return client?.clientSecret === secret && client
    },
    /** @param {{ userId: string }} client */
    getUserFromClient: ({ userId }) => queryUser(userId),
    /** @param {string} refreshToken */
    async getRefreshToken(refreshToken) {
      const {
        token,
        expiresAt = '',
        scope = '',
        clientId = '',
        userId = '',
      } = await redis.hgetall(`tokens:${refreshToken}`)
      if (token === undefined) return undefined
      const [client, owner] = await Promise.all([queryClient(clientId), queryUser(userId)])
      return {
        refreshToken: token,
        refreshTokenExpiresAt: new Date(expiresAt),
        scope: scope.split(' '),
        client,
        user: owner,
      }
    },
    /** @param {{ refreshToken: string }} token */
    revokeToken: async ({ refreshToken }) => (await redis.del(`tokens:${refreshToken}`)) > 0,
    /** @param {Token} token @param {{ id: string }} client @param {{ id: string }} owner */
    async saveToken(token, client, owner) {
      const { accessToken, accessTokenExpiresAt, refreshToken, refreshTokenExpiresAt, scope } = token
      await Promise.all([
        saveOne(accessToken, accessTokenExpiresAt, scope, client.id, owner.id),
        refreshToken &&
          refreshTokenExpiresAt &&
          saveOne(refreshToken, refreshTokenExpiresAt, scope, client.id, owner.id),
      ])
      return { ...token, client: { id: client.id }, user: { id: owner.id } }
    },
    /** @param {unknown} _user @param {unknown} _client @param {string[]} scope */
    validateScope: (_user, _client, scope) => scope.every((one) => [SCOPE].includes(one)) && scope,
  }
  const oauth = new OAuthServer({
    model,
    accessTokenLifetime: ACCESS_TOKEN_LIFETIME,
    refreshTokenLifetime: REFRESH_TOKEN_LIFETIME,
  })
  app.use(express.json())
  app.use(express.urlencoded({ extended: false }))
  app.post('/token', oauth.token())

  return {
    path: '/token',
    asks: opening(async () => {
      const refreshToken = randomBytes(32).toString('hex')
      const token = {
        accessToken: randomBytes(32).toString('hex'),
        accessTokenExpiresAt: inSeconds(ACCESS_TOKEN_LIFETIME),
        refreshToken,
        refreshTokenExpiresAt: inSeconds(REFRESH_TOKEN_LIFETIME),
        scope: [SCOPE],
      }
      await model.saveToken(token, CLIENT, user)
      return refreshToken
    }),
  }
}

/** @param {number} seconds */
const inSeconds = (seconds) => new Date(Date.now() + seconds * 1000)
