/** An issuer that the guards of all servers trust: metadata, a JWK Set with one ES256 key, and access tokens by RFC 9068. */

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'

const LIFETIME = 3600
export const SCOPE = 'read'

/**
 * @typedef {{
 *   issuer: string,
 *   audience: string,
 *   publicKey: string,
 *   mint: (changes?: { kid?: string, forged?: boolean, lifetime?: number }) => string,
 *   close: () => void,
 * }} Issuer `publicKey` is PEM; `mint` makes a token that no other is equal to, with a wrong signature where it is `forged`
 * @returns {Promise<Issuer>}
 */
export async function startIssuer() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' })
  const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
  const key = { key: privateKey, dsaEncoding: /** @type {const} */ ('ieee-p1363') }

  const server = createServer((req, res) => {
    const document = req.url?.startsWith('/jwks')
      ? { keys: [{ crv, kty, x, y, kid, use: 'sig', alg: 'ES256' }] }
      : {
          issuer,
          jwks_uri: `${issuer}/jwks`,
          response_types_supported: ['code'],
          authorization_endpoint: `${issuer}/a`,
        }
    res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(document))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  const issuer = `http://127.0.0.1:${port}`
  const audience = `${issuer}/api`

  return {
    issuer,
    audience,
    publicKey: `${publicKey.export({ format: 'pem', type: 'spki' })}`,
    mint({ kid: other = kid, forged = false, lifetime = LIFETIME } = {}) {
      const iat = Math.floor(Date.now() / 1000)
      const jti = randomBytes(16).toString('base64url')
      const subject = { sub: `user-${jti.slice(0, 8)}`, client_id: 'bench', scope: SCOPE }
      const claims = { iss: issuer, aud: audience, ...subject, iat, exp: iat + lifetime, jti }
      const input = `${segment({ alg: 'ES256', typ: 'at+jwt', kid: other })}.${segment(claims)}`
      const signature = forged ? randomBytes(64) : sign('sha256', Buffer.from(input), key)
      return `${input}.${signature.toString('base64url')}`
    },
    close: () => void server.close(),
  }
}

/** @param {object} content */
function segment(content) {
  return Buffer.from(JSON.stringify(content)).toString('base64url')
}
