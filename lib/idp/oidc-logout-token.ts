import type { JWTPayload, ProtectedHeaderParameters } from 'jose'
import { decodeProtectedHeader } from 'jose/decode/protected_header'
import * as errors from 'jose/errors'
import { createRemoteJWKSet, customFetch } from 'jose/jwks/remote'
import { jwtVerify } from 'jose/jwt/verify'
import { isIdpName } from '../authorization/idp-sessions.ts'
import { isObject } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { OidcSettings } from './oidc-options.ts'
import { type OidcProvider, providerAway, type ServerMetadata } from './oidc-provider.ts'

/** What a verified logout token says. */
export interface Logout {
  readonly issuer: string
  /** The session, or nothing where all sessions of the user are meant (§2.6). */
  readonly sid: string | undefined
  readonly subject: string | undefined
  readonly jti: string
  readonly issuedAt: NumericDate
  /** From then on the token is refused by its age: so long its `jti` has to be known. */
  readonly goodUntil: NumericDate
}

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
/** Characters. */
const MAX_TOKEN = 16_384
/** Seconds: §4 of the specification advises two minutes; a provider that tries again may send the same token. */
const MAX_AGE = 3600
/** Milliseconds between fetches of the JWK Set for a key that is not in it. */
const COOLDOWN = 5000
/** Milliseconds that the JWK Set is believed. */
const KEYS_LIFE = 600_000
/** Never `none`, and no MAC: everybody who knows the client secret could make one (RFC 8725 §3.1). */
const asymmetric = 'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' ')
/** §2.4: explicit typing is recommended, and not done by all; what says that it is something else is something else. */
const types = [undefined, 'jwt', 'logout+jwt', 'application/logout+jwt']

const invalid = (what: string) => new OAuthError('invalid_request', `the logout token is not valid: ${what}`)

/** Verifies logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.6). */
export function createLogoutTokens(provider: OidcProvider, settings: OidcSettings, clock: Clock) {
  const { issuer, clientId, clockTolerance, httpTimeout } = settings
  let keys: { readonly uri: string; readonly set: ReturnType<typeof createRemoteJWKSet> } | undefined
  /** How often the JWK Set arrived. */
  let arrivals = 0

  function keysOf({ jwks_uri: uri }: ServerMetadata) {
    if (typeof uri !== 'string' || !(uri.startsWith('https:') || issuer.startsWith('http:')))
      throw providerAway(new Error('the metadata of the provider have no jwks_uri with https'))
    if (keys?.uri !== uri) {
      const set = createRemoteJWKSet(new URL(uri), {
        timeoutDuration: httpTimeout + 1000,
        cooldownDuration: COOLDOWN,
        cacheMaxAge: KEYS_LIFE,
        [customFetch]: async (url, init) => {
          const response = await provider.ask(url, init)
          arrivals++
          return response
        },
      })
      keys = { uri, set }
    }
    return keys.set
  }

  async function verify(token: string): Promise<JWTPayload> {
    const server = await provider.metadata()
    const published = server.id_token_signing_alg_values_supported ?? ['RS256']
    const arrived = arrivals
    try {
      const { payload } = await jwtVerify(token, keysOf(server), {
        algorithms: asymmetric.filter((alg) => published.includes(alg)),
        issuer,
        audience: clientId,
        requiredClaims: ['exp', 'jti', 'events'],
        maxTokenAge: MAX_AGE,
        clockTolerance,
        currentDate: new Date(clock() * 1000),
      })
      return payload
    } catch (error) {
      throw toRefusal(error, arrivals > arrived)
    }
  }

  /** @throws OAuthError 400 for a token that is not as it must be, 503 where the provider's keys cannot be had */
  return async function readLogoutToken(token: string): Promise<Logout> {
    checkHeader(token)
    const claims = await verify(token)
    const { sid, sub, jti, iat = 0, exp = 0, events } = claims
    if (!isIdpName(jti)) throw invalid('jti')
    if (!isObject(events) || !Object.hasOwn(events, EVENT) || !isObject(events[EVENT]))
      throw invalid('events')
    // §2.4: an ID token must not pass for a logout token.
    if ('nonce' in claims) throw invalid('nonce')
    if (sid !== undefined && !isIdpName(sid)) throw invalid('sid')
    if (sub !== undefined && !isIdpName(sub)) throw invalid('sub')
    if (sid === undefined && sub === undefined) throw invalid('neither sid nor sub')
    const goodUntil = Math.min(exp, iat + MAX_AGE) + clockTolerance
    return { issuer, sid, subject: sub, jti, issuedAt: iat, goodUntil }
  }
}

function checkHeader(token: string): void {
  // Five parts are an encrypted one (RFC 7516 §3.1), which a provider sends to clients that have asked for it only.
  if (token.length > MAX_TOKEN || token.split('.').length !== 3) throw invalid('not a signed JWT')
  let header: ProtectedHeaderParameters
  try {
    header = decodeProtectedHeader(token)
  } catch {
    throw invalid('not a signed JWT')
  }
  const { typ, crit } = header
  if (!types.includes(typeof typ === 'string' ? typ.toLowerCase() : typ)) throw invalid('typ')
  if (crit !== undefined) throw invalid('crit')
}

/** @param isAnswered the JWK Set was fetched for this token, so what is not in it does not exist */
function toRefusal(error: unknown, isAnswered: boolean): OAuthError {
  if (error instanceof OAuthError) return error
  if (error instanceof errors.JWKSNoMatchingKey && !isAnswered) return providerAway(error)
  if (error instanceof errors.JWTClaimValidationFailed || error instanceof errors.JWTExpired)
    return invalid(error.claim)
  if (error instanceof errors.JOSEError && /^ERR_(?:JW[ST]_|JOSE_|JWKS_(?:NO|MULTIPLE))/.test(error.code))
    if (error.code !== 'ERR_JOSE_GENERIC')
      // ERR_JOSE_GENERIC: an answer that is not 200, or no JSON.
      return invalid(wordsOf(error.code))
  return providerAway(error)
}

function wordsOf(code: string): string {
  if (code === 'ERR_JOSE_ALG_NOT_ALLOWED') return 'alg'
  if (code.startsWith('ERR_JWKS')) return 'kid'
  return code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED' ? 'signature' : 'not a signed JWT'
}
