/** What every server under load is configured with, so that they do the same work. */

export const CLIENT = { id: 'bench', secret: 'the-secret-of-the-benchmark' }
export const SCOPE = 'read'
export const ACCESS_TOKEN_LIFETIME = 300
export const REFRESH_TOKEN_LIFETIME = 2_592_000
export const REDIRECT_URI = 'https://app.example/cb'

/**
 * What a server under load gives to `server.js`.
 * @typedef {{
 *   path: string,
 *   open: (subject: string) => Promise<string>,
 * }} Mounted `path` of its token endpoint; `open` begins a family of a user and gives its first refresh token
 * @typedef {{ app: import('express').Express, redis: import('ioredis').Redis, url: string, resource: string }} Context
 */

/** Authenticates the client of every server in the same way: `client_secret_basic`. */
export const headers = {
  Authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}`,
  'Content-Type': 'application/x-www-form-urlencoded',
}

/** @param {string} token */
export const refreshing = (token) => `grant_type=refresh_token&refresh_token=${token}`
export const clientCredentials = `grant_type=client_credentials&scope=${SCOPE}`
