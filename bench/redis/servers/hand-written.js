/**
 * The reachable limit: what one writes by hand on Express for these two grants and nothing else. One script on one
 * hash, one signature, one `res.json`. It has no grace, no reuse detection, no revocation and no metadata.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import express from 'express'
import { accessTokens } from '../jwt.js'
import { ACCESS_TOKEN_LIFETIME, CLIENT, REFRESH_TOKEN_LIFETIME, SCOPE } from '../shared.js'

const ROTATE = `
local stored = redis.call('HMGET', KEYS[1], 'hash', 'subject', 'scope')
if stored[1] ~= ARGV[1] then return false end
redis.call('HSET', KEYS[1], 'hash', ARGV[2])
return stored`

/** @param {import('../shared.js').Context} context @returns {Promise<import('../shared.js').Mounted>} */
export async function mount({ app, redis, url, resource }) {
  const accessToken = accessTokens(url, resource)
  const secretHash = sha256(CLIENT.secret)
  const rotate = /** @type {string} */ (await redis.script('LOAD', ROTATE))

  app.post('/token', express.urlencoded({ extended: false }), async (req, res) => {
    res.set('Cache-Control', 'no-store')
    if (!isClient(req.headers.authorization)) return void res.status(401).json({ error: 'invalid_client' })
    const grantType = req.body.grant_type
    if (grantType === 'client_credentials')
      return void res.json(answer(accessToken(`client:${CLIENT.id}`, SCOPE), SCOPE))
    if (grantType !== 'refresh_token') return void res.status(400).json({ error: 'unsupported_grant_type' })

    const presented = `${req.body.refresh_token}`
    const id = presented.slice(0, presented.indexOf('.'))
    const next = newToken(id)
    const stored = /** @type {string[] | null} */ (
      await redis.evalsha(rotate, 1, `family:${id}`, hash(presented), hash(next))
    )
    if (!stored) return void res.status(400).json({ error: 'invalid_grant' })
    const [, subject = '', scope = ''] = stored
    res.json({ ...answer(accessToken(subject, scope), scope), refresh_token: next })
  })

  /** @param {string | undefined} authorization */
  function isClient(authorization = '') {
    const [id, secret = ''] = atob(authorization.slice('Basic '.length)).split(':')
    return timingSafeEqual(sha256(secret), secretHash) && id === CLIENT.id
  }

  return {
    path: '/token',
    async open(subject) {
      const id = randomBytes(16).toString('base64url')
      const token = newToken(id)
      const key = `family:${id}`
      await redis
        .multi()
        .hset(key, { hash: hash(token), subject, scope: SCOPE })
        .expire(key, REFRESH_TOKEN_LIFETIME)
        .exec()
      return token
    },
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
