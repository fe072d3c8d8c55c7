import type { NextFunction, Request, Response } from 'express'
import type { Aat } from '../http/aat.ts'
import { countHeader } from '../http/headers.ts'
import {
  callback,
  either,
  listOf,
  oneOf,
  optional,
  readOptions,
  suggestion,
  text,
  verified,
  whole,
} from '../protocol/options.ts'
import { canonicalResource, wellKnownUrl } from '../protocol/resource-uri.ts'
import { coversScope, isScopeToken } from '../protocol/scope.ts'
import type { AatClaims } from '../tokens/access-token.ts'
import { verifyAccessToken } from '../tokens/verify-access-token.ts'
import type { Auth } from './auth.ts'
import { authOf, isClientsOwn } from './auth-of.ts'
import { type Challenge, refuseForNow, sendChallenge } from './challenge.ts'
import { sourceOfLocal } from './local-issuer.ts'
import { type RemoteIssuer, sourceOfRemote } from './remote-issuer.ts'

export interface RequireAatOptions<Claims = unknown> {
  /** Scope that the route needs: all of them. */
  scope?: string | readonly string[] | undefined
  /** The resource (its configured URL) that the token must be for; default the only or default one. */
  resource?: string | undefined
  /** Only tokens of users, or only clients' own (client credentials); default both. */
  principal?: 'user' | 'client' | undefined
  /** Authentication context classes of which the user must have met one (RFC 9470). */
  acr?: string | readonly string[] | undefined
  /** The user's authentication must not be older than this many seconds (RFC 9470). */
  maxAge?: number | undefined
  /**
   * What to do while this instance is cut off from the revocation log for longer than the bound (5 s): `refuse` (default)
   * answers 503 with `Retry-After`; `accept` goes on with what was known last, and counts it in `aat.health()`.
   */
  whenRevocationStale?: 'refuse' | 'accept' | undefined
  /** Reads custom claims into a type of the app's, synchronously; throwing refuses the token. */
  readClaims?: ((claims: Readonly<AatClaims> & Record<string, unknown>) => Claims) | undefined
}

/** A middleware that leaves the types of the route's own parameters alone. */
export type AatGuard = <P>(req: Request<P>, res: Response, next: NextFunction) => void

/**
 * Guards a route with an access token: `app.get('/api/orders', requireAat(aat, { scope: 'orders:read' }), handler)`. Tokens are
 * taken from the `Authorization: Bearer` header only, verified without asking anybody, and refused at once when revoked.
 * What it found is on `req.auth`; `getAat(req)` is the typed way to it.
 *
 * Refusals: 401 without `error` where there is no token, 401 `invalid_token`, 403 `insufficient_scope`, 401
 * `insufficient_user_authentication`, each with `resource_metadata` (RFC 6750 §3, RFC 9728 §5.1, RFC 9470 §3); 503 where keys
 * cannot be had, never 401.
 * @throws ConfigurationError while the app starts, for wrong options
 */
export function requireAat<Claims = unknown>(
  issuer: Aat | RemoteIssuer,
  options: RequireAatOptions<Claims> = {},
): AatGuard {
  const source = sourceOfRemote(issuer) ?? sourceOfLocal(issuer as Aat)
  const scopeText = verified<string>((value) =>
    typeof value === 'string' && isScopeToken(value)
      ? undefined
      : 'must be one scope token; name several in an array',
  )
  const isArray = (value: unknown) => Array.isArray(value)
  const settings = readOptions(
    'requireAat',
    options,
    {
      scope: optional(either(isArray, listOf(scopeText), scopeText)),
      resource: optional(
        verified<string>((value) =>
          typeof value === 'string' && canonicalResource(value) !== undefined
            ? undefined
            : 'must be the URL of a resource',
        ),
      ),
      principal: optional(oneOf('user', 'client')),
      acr: optional(
        either(
          isArray,
          listOf(
            text({
              max: 255,
              pattern: /^[\x21\x23-\x5b\x5d-\x7e]+$/,
              what: 'an authentication context class',
            }),
            { min: 1 },
          ),
          text({ max: 255, pattern: /^[\x21\x23-\x5b\x5d-\x7e]+$/, what: 'an authentication context class' }),
        ),
      ),
      maxAge: optional(whole('seconds', 0, 31_536_000)),
      whenRevocationStale: optional(oneOf('refuse', 'accept'), 'refuse'),
      readClaims: optional(callback<NonNullable<RequireAatOptions<Claims>['readClaims']>>()),
    },
    (read, report) => {
      const identifier =
        read.resource === undefined ? source.defaultResource : canonicalResource(read.resource)
      if (identifier === undefined)
        report('resource is missing: there are several resources and no default one')
      else {
        const known = source.scopesOf(identifier)
        if (known === undefined) report('resource is not one of the configured resources')
        for (const scope of [read.scope ?? []].flat())
          if (known !== undefined && !known.includes(scope))
            report(`scope ${JSON.stringify(scope)} is none of ${identifier}${suggestion(scope, known)}`)
      }
    },
  )
  const resource = (
    settings.resource === undefined ? source.defaultResource : canonicalResource(settings.resource)
  ) as string
  const audiences = [source.audienceOf(resource) as string]
  const scopes = [settings.scope ?? []].flat()
  const scope = scopes.join(' ')
  const acrs = [settings.acr ?? []].flat()
  const metadataUrl = wellKnownUrl(resource, 'oauth-protected-resource')
  const { maxAge, principal } = settings

  const noToken: Challenge = { status: 401, scope }
  const invalidToken: Challenge = {
    status: 401,
    error: 'invalid_token',
    description: 'the access token is malformed, expired, revoked, or not for this resource',
    scope,
  }
  const insufficientScope: Challenge = {
    status: 403,
    error: 'insufficient_scope',
    description: 'the access token does not have the scope that this needs',
    scope,
  }
  const wrongPrincipal: Challenge = {
    status: 403,
    error: 'insufficient_scope',
    description: `this needs an access token of a ${principal}`,
    scope,
  }
  const stepUp: Challenge = {
    status: 401,
    error: 'insufficient_user_authentication',
    description: 'this needs another or a more recent sign-in',
    scope,
    acrValues: acrs.join(' '),
    maxAge,
  }
  const twoTokens: Challenge = {
    status: 400,
    error: 'invalid_request',
    description: 'there is more than one Authorization header',
  }

  /** The presented token, or what to answer. Only the header counts: a token in a URL or a form is not looked at. */
  function readBearer(req: Pick<Request, 'headers' | 'rawHeaders'>): string | Challenge {
    const header = req.headers.authorization
    if (header === undefined) return noToken
    if (countHeader(req.rawHeaders, 'authorization') > 1) return twoTokens
    const match = /^bearer ([A-Za-z0-9\-._~+/]+=*)$/i.exec(header)
    if (match?.[1] !== undefined) return match[1]
    return /^bearer(?:$|[\s,])/i.test(header) ? invalidToken : noToken
  }

  /** What to hand on, or what to answer. */
  async function verify(token: string): Promise<{ auth: Auth<Claims> } | Challenge> {
    const verified = await verifyAccessToken(token, source.keyFor, () => ({
      issuer: source.issuer,
      audiences,
      now: source.clock(),
      tolerance: source.clockTolerance,
      maxLifetime: source.maxLifetime,
    }))
    // A sender-constrained token is no bearer token (RFC 9449 §7.1, RFC 8705 §3).
    if (verified === undefined || verified.claims.cnf !== undefined) return invalidToken
    await source.knowsRevocations(settings.whenRevocationStale)
    if (source.isRevoked(verified.claims, verified.kid)) return invalidToken
    const { claims } = verified
    const auth = authOf(token, claims, resource, settings.readClaims)
    return auth === undefined ? invalidToken : (shortcomingOf(claims) ?? { auth })
  }

  /** What is not enough about a good token. Judged by what was signed, whatever the app's `readClaims` makes of it. */
  function shortcomingOf(claims: AatClaims): Challenge | undefined {
    if (principal !== undefined && (principal === 'client') !== isClientsOwn(claims)) return wrongPrincipal
    if (!coversScope(claims.scope.split(' '), scopes)) return insufficientScope
    const { acr, auth_time: authTime } = claims
    if (acrs.length > 0 && !acrs.includes(acr ?? '')) return stepUp
    if (
      maxAge !== undefined &&
      (authTime === undefined || !isRecent(source.clock() - authTime, maxAge, source.clockTolerance))
    )
      return stepUp
    return undefined
  }

  return function aatGuard(req, res, next) {
    const token = readBearer(req)
    if (typeof token !== 'string') return sendChallenge(res, token, metadataUrl)
    verify(token)
      .then(
        (result) => {
          // Something before the guard gave up waiting (a time-out, say): there is nobody to answer.
          if (res.headersSent) return
          if (!('auth' in result)) return sendChallenge(res, result, metadataUrl)
          ;(req as { auth?: unknown }).auth = result.auth
          next()
        },
        (error: unknown) => {
          const reference = source.onFault(error)
          if (!res.headersSent) refuseForNow(res, reference)
        },
      )
      .catch(next)
  }
}

/** A sign-in that lies further in the future than clocks may (milliseconds for seconds, say) is not a recent one. */
function isRecent(age: number, maxAge: number, tolerance: number): boolean {
  return age <= maxAge + tolerance && age >= -60 - tolerance
}
