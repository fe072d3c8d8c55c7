/** The cheapest ES256 access token that Node makes: header once, one synchronous `crypto.sign`. */

import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { ACCESS_TOKEN_LIFETIME, CLIENT } from './token-shared.js'

/** @param {string} issuer @param {string} audience */
export function accessTokens(issuer, audience) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = { key: privateKey, dsaEncoding: /** @type {const} */ ('ieee-p1363') }
  const header = segment({ alg: 'ES256', typ: 'at+jwt', kid: randomBytes(32).toString('base64url') })

  /** @param {string} subject @param {string} scope */
  return (subject, scope) => {
    const iat = Math.floor(Date.now() / 1000)
    const claims = {
      iss: issuer,
      aud: audience,
      sub: subject,
      client_id: CLIENT.id,
      scope,
      iat,
      exp: iat + ACCESS_TOKEN_LIFETIME,
      jti: randomBytes(16).toString('base64url'),
    }
    const input = `${header}.${segment(claims)}`
    return `${input}.${sign('sha256', Buffer.from(input), key).toString('base64url')}`
  }
}

/** @param {object} content */
function segment(content) {
  return Buffer.from(JSON.stringify(content)).toString('base64url')
}
