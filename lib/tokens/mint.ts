import type { Confirmation } from '../protocol/confirmation.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { ConfigurationError } from '../protocol/options.ts'
import { type Random, randomId } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Writable } from '../protocol/writable.ts'
import {
  type AatClaims,
  ACCESS_TOKEN_TYPE,
  MAX_ISSUED_TOKEN,
  reservedClaims,
  type Signer,
  signAccessToken,
} from './access-token.ts'
import type { OpaqueAccessTokens } from './opaque-access-token.ts'

/** What an access token is to say, before the server's own claims are added. */
export interface AccessTokenOrder {
  readonly clientId: string
  readonly subject: string
  readonly audience: string
  readonly scope: readonly string[]
  /** Seconds. */
  readonly lifetime: number
  /** A JWT says its claims itself; an opaque token stands for claims in the store. */
  readonly format: 'jwt' | 'opaque'
  /** Nothing issued lives to this moment. */
  readonly bound?: NumericDate | undefined
  readonly authTime?: NumericDate
  readonly acr?: string | undefined
  readonly amr?: readonly string[] | undefined
  readonly grantId?: string
  readonly grantedAt?: NumericDate
  /** The session at the identity provider that bounds it, as `idp-session.ts` names it. */
  readonly session?: string | undefined
  readonly idpSubject?: string | undefined
  readonly sessionBegan?: NumericDate | undefined
  /** What it is bound to; absent: a bearer token. */
  readonly confirmation?: Confirmation | undefined
  readonly customClaims?: Record<string, unknown> | undefined
}

export interface MintedAccessToken {
  readonly token: string
  readonly claims: AatClaims
  readonly expiresIn: number
}

/** No promise where the signature is made at once. @throws OAuthError where the grant is about to end */
export type Mint = (order: AccessTokenOrder, signer: Signer) => MintedAccessToken | Promise<MintedAccessToken>

interface MintedTokens {
  /** Told of each JWT, so that its signature need not be checked here. */
  readonly noteMinted: (token: string, kid: string) => void
  readonly opaque: Pick<OpaqueAccessTokens, 'issue'>
}

/** The one place where access tokens are made. */
export function createMint(
  issuer: string,
  clock: () => NumericDate,
  random: Random,
  { noteMinted, opaque }: MintedTokens,
): Mint {
  return function mint(order, signer) {
    const now = clock()
    const iat = Math.floor(now)
    const expiresIn =
      order.bound === undefined ? order.lifetime : Math.floor(Math.min(order.lifetime, order.bound - now))
    if (expiresIn < 1) throw new OAuthError('invalid_grant', 'the grant is about to end')
    // Member by member: spreading what is not there costs more than all of them.
    const claims: Writable<AatClaims> = {
      iss: issuer,
      sub: order.subject,
      aud: order.audience,
      client_id: order.clientId,
      iat,
      exp: iat + expiresIn,
      jti: randomId(random),
      scope: order.scope.join(' '),
    }
    if (order.authTime !== undefined) claims.auth_time = Math.floor(order.authTime)
    if (order.acr !== undefined) claims.acr = order.acr
    if (order.amr !== undefined) claims.amr = order.amr
    if (order.grantId !== undefined) claims.grant_id = order.grantId
    if (order.grantedAt !== undefined) claims.grant_iat = toMillisecond(order.grantedAt)
    if (order.session !== undefined) claims.sid = order.session
    if (order.idpSubject !== undefined) {
      claims.idp_sub = order.idpSubject
      claims.idp_iat = toMillisecond(order.sessionBegan ?? now)
    }
    if (order.confirmation !== undefined) claims.cnf = order.confirmation
    const all = order.customClaims === undefined ? claims : { ...order.customClaims, ...claims }
    if (order.format === 'opaque') return opaque.issue(all).then((token) => ({ token, claims, expiresIn }))
    const finish = (token: string): MintedAccessToken => {
      if (token.length > MAX_ISSUED_TOKEN) {
        throw new Error(
          `an access token of ${token.length} characters is over ${MAX_ISSUED_TOKEN}: fewer scopes or smaller custom claims are needed`,
        )
      }
      noteMinted(token, signer.kid)
      return { token, claims, expiresIn }
    }
    const signed = signAccessToken(all, signer)
    return typeof signed === 'string' ? finish(signed) : signed.then(finish)
  }
}

/** As exact as a revocation that may have come in the same second, without the noise of a division. */
function toMillisecond(time: NumericDate): NumericDate {
  return Math.round(time * 1000) / 1000
}

/** The most that custom claims may be, in bytes of JSON. */
const MAX_CUSTOM_CLAIMS = 1000

/** How long an access token can become, in characters, with the longest user id, `acr` and `amr` that are let in. */
export function longestTokenLength(
  {
    issuer,
    audience,
    scope,
    clientId,
    hasCustomClaims,
  }: { issuer: string; audience: string; scope: string; clientId: string; hasCustomClaims: boolean },
  signatureBytes: number,
): number {
  const claims = JSON.stringify({
    iss: issuer,
    sub: 'x'.repeat(255),
    aud: audience,
    client_id: clientId,
    iat: 10_000_000_000,
    exp: 10_000_000_000,
    jti: 'x'.repeat(22),
    scope,
    auth_time: 10_000_000_000,
    acr: 'x'.repeat(128),
    amr: ['x'.repeat(252)],
    grant_id: 'x'.repeat(22),
    grant_iat: 10_000_000_000.123,
    sid: 'x'.repeat(22),
    idp_sub: 'x'.repeat(22),
    idp_iat: 10_000_000_000.123,
    cnf: { jkt: 'x'.repeat(43), 'x5t#S256': 'x'.repeat(43) },
  })
  const header = JSON.stringify({ alg: 'ES256', typ: ACCESS_TOKEN_TYPE, kid: 'x'.repeat(43) })
  const base64 = (bytes: number) => Math.ceil((bytes * 4) / 3)
  const payload = Buffer.byteLength(claims) + (hasCustomClaims ? MAX_CUSTOM_CLAIMS : 0)
  return base64(header.length) + base64(payload) + base64(signatureBytes) + 2
}

const mistake = (problem: string) => new ConfigurationError('the claims hook', [problem])

/** Checks what the app's claims hook returned, before anything is committed. @throws Error, our side's fault. */
export function checkCustomClaims(claims: unknown): Record<string, unknown> {
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims))
    throw mistake('must return an object')
  const taken = Object.keys(claims).filter((name) => reservedClaims.has(name))
  if (taken.length > 0) throw mistake(`must not set ${taken.join(', ')}`)
  const size = Buffer.byteLength(JSON.stringify(claims))
  if (size > MAX_CUSTOM_CLAIMS)
    throw mistake(`must return at most ${MAX_CUSTOM_CLAIMS} bytes of JSON, not ${size}`)
  return claims as Record<string, unknown>
}
