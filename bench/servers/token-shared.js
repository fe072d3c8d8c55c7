/** What every server under load is configured with, so that they do the same work. */

export const CLIENT = { id: 'bench', secret: 'the-secret-of-the-benchmark' }
export const SCOPE = 'read'
export const ACCESS_TOKEN_LIFETIME = 300
export const REFRESH_TOKEN_LIFETIME = 2_592_000
export const REDIRECT_URI = 'https://app.example/cb'

const AT_ONCE = 32
let users = 0

/**
 * What the benchmark asks of a token endpoint: to begin families, each of a user of its own, for their first refresh tokens.
 * @param {(subject: string) => Promise<string>} openOne
 */
export function opening(openOne) {
  return {
    /** @param {number} count */
    async open(count) {
      /** @type {string[]} */
      const tokens = []
      while (tokens.length < count) {
        const length = Math.min(AT_ONCE, count - tokens.length)
        tokens.push(...(await Promise.all(Array.from({ length }, () => openOne(`user-${++users}`)))))
      }
      return tokens
    },
  }
}

/** Authenticates the client of every server in the same way: `client_secret_basic`. */
export const headers = {
  Authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}`,
  'Content-Type': 'application/x-www-form-urlencoded',
}

/** @param {string} token */
export const refreshing = (token) => `grant_type=refresh_token&refresh_token=${token}`
export const clientCredentials = `grant_type=client_credentials&scope=${SCOPE}`
