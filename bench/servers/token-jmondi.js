/**
 * @jmondi/oauth2-server with its Express adapter, opaque refresh tokens (by default they are JWTs, a signature more), the same
 * ES256 access tokens as the hand-written endpoint, and one key for each live refresh token.
 */

import { randomBytes } from 'node:crypto'
import express from 'express'
import { accessTokens } from './access-tokens.js'
import { ACCESS_TOKEN_LIFETIME, CLIENT, opening, REFRESH_TOKEN_LIFETIME, SCOPE } from './token-shared.js'

// Installed for the benchmark only, so neither imported statically nor typed.
const [name, adapter] = ['@jmondi/oauth2-server', '@jmondi/oauth2-server/express']

/** @param {import('../harness/server.js').Context} context @returns {Promise<import('../harness/server.js').Mounted>} */
export async function mount({ app, redis, url }) {
  const { AuthorizationServer, DateInterval } = await import(name)
  const { handleExpressError, handleExpressResponse, requestFromExpress } = await import(adapter)
  const accessToken = accessTokens(url, `${url}/api`)
  const scopes = [{ name: SCOPE }]
  const client = {
    ...{ id: CLIENT.id, name: CLIENT.id, secret: CLIENT.secret, redirectUris: [], scopes },
    allowedGrants: ['client_credentials', 'refresh_token'],
  }
  /** @param {string} token */
  const keyOf = (token) => `refresh:${token}`
  const save = (/** @type {string} */ token, /** @type {string} */ subject) => {
    const record = { subject, expiresAt: Date.now() + REFRESH_TOKEN_LIFETIME * 1000 }
    return redis.set(keyOf(token), JSON.stringify(record), 'EX', REFRESH_TOKEN_LIFETIME)
  }

  const clients = {
    getByIdentifier: async (/** @type {string} */ id) => (id === CLIENT.id ? client : undefined),
    isClientValid: async (
      /** @type {string} */ _grant,
      /** @type {any} */ one,
      /** @type {string} */ secret,
    ) => secret === one.secret,
  }
  const tokens = {
    issueToken: async (/** @type {any} */ of, /** @type {any} */ granted, /** @type {any} */ user) => ({
      ...{ accessToken: randomBytes(16).toString('base64url'), accessTokenExpiresAt: new Date() },
      ...{ client: of, scopes: granted, user },
    }),
    // Access tokens are JWTs, which need no storing.
    persist: async () => undefined,
    async issueRefreshToken(/** @type {any} */ token) {
      token.refreshToken = randomBytes(32).toString('base64url')
      token.refreshTokenExpiresAt = new Date(Date.now() + REFRESH_TOKEN_LIFETIME * 1000)
      await save(token.refreshToken, token.user.id)
      return token
    },
    async getByRefreshToken(/** @type {string} */ refreshToken) {
      const text = await redis.get(keyOf(refreshToken))
      if (text === null) throw new Error('unknown refresh token')
      const { subject, expiresAt } = JSON.parse(text)
      return {
        ...{ accessToken: '', accessTokenExpiresAt: new Date(), refreshToken, client, scopes },
        ...{ refreshTokenExpiresAt: new Date(expiresAt), user: { id: subject } },
      }
    },
    isRefreshTokenRevoked: async () => false,
    // DEL claims a presented token, so of two requests with the same one only the first can rotate it.
    async revoke(/** @type {any} */ { refreshToken }) {
      if ((await redis.del(keyOf(refreshToken))) !== 1) throw new Error('used meanwhile')
    },
  }
  const scopeStore = {
    getAllByIdentifiers: async () => scopes,
    finalize: async (/** @type {unknown[]} */ granted) => granted,
  }
  const jwt = {
    sign: async (/** @type {any} */ { sub, scope }) => accessToken(sub ?? `client:${CLIENT.id}`, scope),
    verify: () => Promise.reject(new Error('nothing is verified')),
    decode: () => null,
  }
  const server = new AuthorizationServer(clients, tokens, scopeStore, jwt, {
    issuer: url,
    useOpaqueRefreshTokens: true,
  })
  const lifetime = new DateInterval(`${ACCESS_TOKEN_LIFETIME}s`)
  server.enableGrantTypes(['client_credentials', lifetime], ['refresh_token', lifetime])
  app.post('/token', express.urlencoded({ extended: false }), async (req, res) => {
    try {
      handleExpressResponse(res, await server.respondToAccessTokenRequest(requestFromExpress(req)))
    } catch (error) {
      handleExpressError(error, res)
    }
  })

  return {
    path: '/token',
    asks: opening(async (subject) => {
      const refreshToken = randomBytes(32).toString('base64url')
      await save(refreshToken, subject)
      return refreshToken
    }),
  }
}
