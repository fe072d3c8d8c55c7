/**
 * @node-oauth/express-oauth-server with the leanest model that is right: one key for each live refresh token, its one
 * client in memory, and the same ES256 JWTs as the hand-written endpoint (its default is a random opaque token), which
 * need no storing. DEL claims a presented token, so of two requests with the same one only the first can rotate it.
 */

import { randomBytes } from 'node:crypto'
import express from 'express'
import { accessTokens } from './access-tokens.js'
import { ACCESS_TOKEN_LIFETIME, CLIENT, opening, REFRESH_TOKEN_LIFETIME, SCOPE } from './token-shared.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const name = '@node-oauth/express-oauth-server'

/**
 * @typedef {{ id: string }} User
 * @typedef {{ refreshToken?: string, refreshTokenExpiresAt?: Date, scope?: string[] }} Token
 */

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url }) {
  const resource = `${url}/api`
  const { default: OAuthServer } = await import(name)
  const accessToken = accessTokens(url, resource)
  const client = { id: CLIENT.id, grants: ['refresh_token', 'client_credentials'] }
  /** @param {string} token */
  const keyOf = (token) => `refresh:${token}`

  const model = {
    /** @param {string} id @param {string} secret */
    getClient: async (id, secret) => id === CLIENT.id && secret === CLIENT.secret && client,
    getUserFromClient: async () => ({ id: `client:${CLIENT.id}` }),
    /** @param {unknown} _client @param {User} user @param {string[]} scope */
    generateAccessToken: async (_client, user, scope) => accessToken(user.id, scope.join(' ')),
    /** @param {unknown} _user @param {unknown} _client @param {string[]} scope */
    validateScope: async (_user, _client, scope) => scope.every((token) => token === SCOPE) && scope,

    /** @param {string} refreshToken */
    async getRefreshToken(refreshToken) {
      const text = await redis.get(keyOf(refreshToken))
      if (text === null) return null
      const { expiresAt, scope, userId } = JSON.parse(text)
      return { refreshToken, refreshTokenExpiresAt: new Date(expiresAt), scope, client, user: { id: userId } }
    },
    /** @param {{ refreshToken: string }} token */
    revokeToken: async ({ refreshToken }) => (await redis.del(keyOf(refreshToken))) === 1,
    /** @param {Token} token @param {unknown} _client @param {User} user */
    async saveToken(token, _client, user) {
      const { refreshToken, refreshTokenExpiresAt, scope } = token
      if (refreshToken) {
        const record = { clientId: CLIENT.id, userId: user.id, scope, expiresAt: refreshTokenExpiresAt }
        await redis.set(keyOf(refreshToken), JSON.stringify(record), 'EX', REFRESH_TOKEN_LIFETIME)
      }
      return { ...token, client, user }
    },
  }
  const oauth = new OAuthServer({
    model,
    accessTokenLifetime: ACCESS_TOKEN_LIFETIME,
    refreshTokenLifetime: REFRESH_TOKEN_LIFETIME,
    alwaysIssueNewRefreshToken: true,
  })
  app.post('/token', express.urlencoded({ extended: false }), oauth.token())

  return {
    path: '/token',
    asks: opening(async (subject) => {
      const refreshToken = randomBytes(32).toString('hex')
      const refreshTokenExpiresAt = new Date(Date.now() + REFRESH_TOKEN_LIFETIME * 1000)
      await model.saveToken({ refreshToken, refreshTokenExpiresAt, scope: [SCOPE] }, client, { id: subject })
      return refreshToken
    }),
  }
}
