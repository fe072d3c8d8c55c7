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
import { canonicalResource } from '../protocol/resource-uri.ts'
import { isScopeToken } from '../protocol/scope.ts'
import type { AatClaims } from '../tokens/access-token.ts'
import type { TokenSource } from './token-source.ts'

/** What a route needs of an access token. */
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
  /**
   * `accept`: tokens that are bound to a key need their DPoP proof, others do not (RFC 9449). `require`: only bound ones are good
   * here. Default `require` for tokens of servers that issue nothing else (`dpop: { required: true }`), else `accept`.
   */
  dpop?: 'accept' | 'require' | undefined
  /**
   * Reads custom claims into a type of the app's, synchronously; throwing refuses the token. What it returns is kept with the
   * token for the next requests: it is for reading.
   */
  readClaims?: ((claims: Readonly<AatClaims> & Record<string, unknown>) => Claims) | undefined
}

/** The options of a guard as they were read. */
export interface GuardSettings<Claims> {
  /** Canonical. */
  readonly resource: string
  readonly scopes: readonly string[]
  readonly principal: 'user' | 'client' | undefined
  readonly acrs: readonly string[]
  readonly maxAge: number | undefined
  readonly whenRevocationStale: 'refuse' | 'accept'
  /** Whose tokens are good with a DPoP proof only. */
  readonly needsProof: (source: TokenSource) => boolean
  readonly readClaims: RequireAatOptions<Claims>['readClaims']
}

/** @throws ConfigurationError that lists everything wrong with them */
export function readGuardOptions<Claims>(
  sources: readonly TokenSource[],
  options: RequireAatOptions<Claims>,
): GuardSettings<Claims> {
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
      dpop: optional(oneOf('accept', 'require')),
      readClaims: optional(callback<NonNullable<RequireAatOptions<Claims>['readClaims']>>()),
    },
    (read, report) => {
      const identifier =
        read.resource === undefined ? sources[0]?.defaultResource : canonicalResource(read.resource)
      if (identifier === undefined)
        report(
          `resource is missing: name one here, or set defaultResource where the resources are configured: ${sources[0]?.resources.join(', ')}`,
        )
      else {
        for (const source of sources) {
          const known = source.scopesOf(identifier)
          const of = sources.length === 1 ? '' : ` of ${source.issuer}`
          if (known === undefined) report(`resource is not one of the configured resources${of}`)
          for (const scope of [read.scope ?? []].flat())
            if (known !== undefined && !known.includes(scope))
              report(
                `scope ${JSON.stringify(scope)} is none of ${identifier}${of}${suggestion(scope, known)}`,
              )
        }
      }
    },
  )
  const { scope, resource, acr, principal, maxAge, whenRevocationStale, dpop, readClaims } = settings
  return {
    resource: (resource === undefined ? sources[0]?.defaultResource : canonicalResource(resource)) as string,
    scopes: [scope ?? []].flat(),
    principal,
    acrs: [acr ?? []].flat(),
    maxAge,
    whenRevocationStale,
    needsProof: ({ senders }) => (dpop === undefined ? senders.required : dpop === 'require'),
    readClaims,
  }
}
