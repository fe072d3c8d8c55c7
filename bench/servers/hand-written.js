/**
 * What one writes by hand for these two grants and nothing else. One script on one hash, one signature. It has no grace, no
 * reuse detection, no revocation and no metadata.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { accessTokens } from './access-tokens.js'
import { ACCESS_TOKEN_LIFETIME, CLIENT, opening, REFRESH_TOKEN_LIFETIME, SCOPE } from './token-shared.js'

const ROTATE = `
local stored = redis.call('HMGET', KEYS[1], 'hash', 'subject', 'scope')
if stored[1] ~= ARGV[1] then return false end
redis.call('HSET', KEYS[1], 'hash', ARGV[2])
return stored`

/**
 * @param {Pick<import('../harness/server.js').Context, 'redis' | 'url'>} context
 * @returns {Promise<{ path: string, asks: ReturnType<typeof opening>, grant: Grant }>}
 * @typedef {(authorization: string | undefined, form: Record<string, unknown>) => Promise<{ status: number, body: object }>} Grant
 */
export async function handWritten({ redis, url }) {
  const accessToken = accessTokens(url, `${url}/api`)
  const secretHash = sha256(CLIENT.secret)
  const rotate = /** @type {string} */ (await redis.script('LOAD', ROTATE))

  /** @type {Grant} */
  async function grant(authorization, form) {
    if (!isClient(authorization)) return { status: 401, body: { error: 'invalid_client' } }
    if (form.grant_type === 'client_credentials')
      return { status: 200, body: answer(accessToken(`client:${CLIENT.id}`, SCOPE), SCOPE) }
    if (form.grant_type !== 'refresh_token') return { status: 400, body: { error: 'unsupported_grant_type' } }

    const presented = `${form.refresh_token}`
    const id = presented.slice(0, presented.indexOf('.'))
    const next = newToken(id)
    const stored = /** @type {string[] | null} */ (
      await redis.evalsha(rotate, 1, `family:${id}`, hash(presented), hash(next))
    )
    if (!stored) return { status: 400, body: { error: 'invalid_grant' } }
    const [, subject = '', scope = ''] = stored
    return { status: 200, body: { ...answer(accessToken(subject, scope), scope), refresh_token: next } }
  }

  /** @param {string | undefined} authorization */
  function isClient(authorization = '') {
    const [id, secret = ''] = atob(authorization.slice('Basic '.length)).split(':')
    return timingSafeEqual(sha256(secret), secretHash) && id === CLIENT.id
  }

  return {
    path: '/token',
    grant,
    asks: opening(async (subject) => {
      const id = randomBytes(16).toString('base64url')
      const token = newToken(id)
      const key = `family:${id}`
      await redis
        .multi()
        .hset(key, { hash: hash(token), subject, scope: SCOPE })
        .expire(key, REFRESH_TOKEN_LIFETIME)
        .exec()
      return token
    }),
  }
}

/** @param {string} accessToken @param {string} scope */
function answer(accessToken, scope) {
  return { access_token: accessToken, token_type: 'Bearer', expires_in: ACCESS_TOKEN_LIFETIME, scope }
}

/** @param {string} id */
const newToken = (id) => `${id}.${randomBytes(32).toString('base64url')}`
/** @param {string} text */
const sha256 = (text) => createHash('sha256').update(text).digest()
/** @param {string} text */
const hash = (text) => sha256(text).toString('base64url')
