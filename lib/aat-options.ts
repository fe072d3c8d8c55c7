import { type ClientOptions, clientOption } from './client-options.ts'
import {
  type ClientMetadataDocumentOptions,
  clientMetadataDocumentsOption,
  type OutboundOptions,
  outboundOption,
} from './document-options.ts'
import { type DpopOptions, dpopOption } from './dpop-options.ts'
import { endpointPathsOption } from './endpoint-paths.ts'
import type { IssuanceHooks } from './grants/grant-type.ts'
import type { EndpointName } from './http/aat.ts'
import type { ClientCertificate } from './http/client-certificate.ts'
import { type IdpSessionOptions, idpSessionsOption } from './idp-session-options.ts'
import { type KeyOptions, keysOption } from './key-options.ts'
import {
  type Check,
  callback,
  either,
  flag,
  listOf,
  oneOf,
  optional,
  optionalObject,
  secretOf,
  text,
  verified,
  whole,
} from './protocol/options.ts'
import { type Random, systemRandom } from './protocol/random.ts'
import { type ResourceOptions, resourcesOption } from './protocol/resource-options.ts'
import { problemOfPublishedUrl } from './protocol/resource-uri.ts'
import { type Clock, type Every, systemClock, systemEvery, systemMonotonic } from './protocol/time.ts'
import { type RefreshTokenOptions, refreshTokenShape } from './refresh-policy.ts'
import { type RegistrationOptions, registrationOption } from './registration-options.ts'
import type { Stores } from './stores/ports.ts'
import { type VerifiedTokensOptions, verifiedTokensOption } from './tokens/token-cache.ts'

/** Dangers that production is refused for, unless they are named in `allowInProduction`. */
export type ProductionDanger = 'memory-stores' | 'generated-secret' | 'http-issuer'

/** The options of `createAat`: everything is checked when it is called. Durations are in seconds. */
export interface AatOptions {
  /** The issuer identifier: an https URL without query and fragment (http on loopback). Never taken from a request. */
  issuer: string
  /**
   * Secrets of at least 32 characters, newest first; default one that is made up at start. `undefined` entries are left out; where there is
   * nothing else, that is a `configuration.warning`.
   */
  secrets?: (string | undefined)[]
  /** Default in memory. */
  stores?: Stores | undefined
  /** What tokens are for, by URL. */
  resources: Record<string, ResourceOptions>
  /** For requests that name no resource; default the only one. */
  defaultResource?: string | undefined
  /** Clients that the app vouches for (default none). */
  clients?: ClientOptions[] | undefined
  /** Of all clients that have nothing else of their own. */
  refreshTokens?: RefreshTokenOptions & {
    /** Seconds in which a spent token's immediate successor is given again (default 10, 0 to 60). */
    grace?: number
    /** Allows `keep` for clients without a secret, against RFC 9700 §2.2.2. */
    dangerouslyKeepForPublicClients?: boolean
  }
  /** What clients may have that the configuration does not know. */
  registration?: RegistrationOptions | undefined
  /** Sessions at the identity provider where users sign in. */
  idpSessions?: IdpSessionOptions | undefined
  /** Access tokens that are bound to a key of the client's (RFC 9449). */
  dpop?: DpopOptions | undefined
  /** The certificate of the client's TLS connection, for tokens that are bound to it (RFC 8705); synchronous. */
  clientCertificate?: ClientCertificate | undefined
  /** Clients whose client_id is the https URL of their metadata (default false). */
  clientMetadataDocuments?: boolean | ClientMetadataDocumentOptions | undefined
  /** How documents of clients are fetched. */
  outbound?: OutboundOptions | undefined
  /** Seconds that an authorization code lives (default 60, 1 to 600). */
  codeLifetime?: number | undefined
  /** Seconds that a user has for signing in and deciding (default 600, 30 to 3,600). */
  authorizationLifetime?: number | undefined
  /** Seconds for which a consent is remembered (default 7,776,000 = 90 days; 0: never). */
  consentLifetime?: number | undefined
  /** Signing keys, and the times by which they rotate. */
  keys?: KeyOptions | undefined
  /** Where the endpoints are, as paths on the issuer's origin (default `/oauth/token` and so on, behind the issuer's path). */
  endpoints?: Partial<Record<EndpointName, string>> | undefined
  /** Custom claims for access tokens; cannot set registered ones. At most 1,000 bytes of JSON. */
  claims?: NonNullable<IssuanceHooks['claims']> | undefined
  /** Asked before every token of a user; false refuses with `invalid_grant`. */
  isSubjectActive?: NonNullable<IssuanceHooks['isSubjectActive']> | undefined
  /** Who may read token, registration, revocation and introspection answers across origins: exact origins, or `'*'` (default nobody). */
  corsOrigins?: '*' | string[] | undefined
  /** Let `http://localhost` redirect URIs vary their port like 127.0.0.1 and [::1] (default false; MCP clients want true). */
  localhostAnyPort?: boolean | undefined
  /** Private-use URI schemes without a dot that clients may register, for example `['cursor']`. */
  privateUseSchemes?: string[] | undefined
  /** Seconds that guards and introspection here allow clocks to differ (default 5, 0 to 60); client assertions are allowed 30. */
  clockTolerance?: number | undefined
  /** How many verified access tokens this process remembers, so that the next request with one is not verified again. */
  verifiedTokens?: VerifiedTokensOptions | undefined
  /**
   * Seconds that an instance may be cut off from the revocation log before guards answer 503 (default 5, 2 to 300): the
   * longest that a revoked token is accepted anywhere.
   */
  revocationStaleAfter?: number | undefined
  /** Dangers that are wanted even with `NODE_ENV=production`. */
  allowInProduction?: ProductionDanger[] | undefined
  /** Seconds since the epoch; default the machine's clock. For tests. */
  clock?: Clock | undefined
  /** Default the machine's. For tests. */
  random?: Random | undefined
  /** Seconds that only go forward; default the process's. For tests. */
  monotonic?: Clock | undefined
  /** Timers of the background work. For tests. */
  every?: Every | undefined
}

const DAY = 86_400
const LONGEST = 2 ** 31
const url: Check<string> = verified(problemOfPublishedUrl)
const seconds = (min: number, max: number) => whole('seconds', min, max)

/** A verb of each port, by which stores are known. */
const verbs = {
  grants: 'refresh',
  clients: 'read',
  requests: 'take',
  consents: 'remember',
  replays: 'claim',
  revocations: 'append',
  ring: 'compareAndSet',
  counters: 'count',
  initialAccessTokens: 'take',
  places: 'take',
  accessTokens: 'use',
  documents: 'save',
} satisfies Record<Exclude<keyof Stores, 'kind' | 'check' | 'announce' | 'close'>, string>

/** What is checked of each option, and the defaults. */
export const aatOptionsShape = {
  issuer: url,
  secrets: optional(listOf(optional(secretOf(32)), { max: 8 }), []),
  stores: optional(
    verified<Stores>((value) =>
      Object.entries(verbs).every(
        ([port, verb]) =>
          typeof (value as Record<string, Record<string, unknown> | undefined> | null)?.[port]?.[verb] ===
          'function',
      )
        ? undefined
        : 'must have the ports of Stores, as memoryStores() does',
    ),
  ),
  resources: resourcesOption,
  defaultResource: optional(text()),
  clients: optional(listOf(clientOption, { max: 10_000 }), []),
  refreshTokens: optionalObject({
    ...refreshTokenShape,
    grace: optional(seconds(0, 60), 10),
    dangerouslyKeepForPublicClients: optional(flag, false),
  }),
  registration: registrationOption,
  idpSessions: idpSessionsOption,
  dpop: dpopOption,
  clientCertificate: optional(callback<ClientCertificate>()),
  clientMetadataDocuments: clientMetadataDocumentsOption,
  outbound: outboundOption,
  codeLifetime: optional(seconds(1, 600), 60),
  authorizationLifetime: optional(seconds(30, 3600), 600),
  consentLifetime: optional(seconds(0, LONGEST), 90 * DAY),
  keys: keysOption,
  endpoints: endpointPathsOption,
  claims: optional(callback<NonNullable<IssuanceHooks['claims']>>()),
  isSubjectActive: optional(callback<NonNullable<IssuanceHooks['isSubjectActive']>>()),
  corsOrigins: optional(
    either((value) => typeof value === 'string', oneOf('*'), listOf(verified<string>(problemOfOrigin))),
    [],
  ),
  localhostAnyPort: optional(flag, false),
  privateUseSchemes: optional(
    listOf(
      text({
        max: 64,
        pattern: /^[a-z][a-z0-9+.-]*$/,
        what: 'a lower-case URI scheme without colon, like cursor',
      }),
    ),
    [],
  ),
  clockTolerance: optional(seconds(0, 60), 5),
  verifiedTokens: verifiedTokensOption,
  revocationStaleAfter: optional(seconds(2, 300), 5),
  allowInProduction: optional(listOf(oneOf('memory-stores', 'generated-secret', 'http-issuer')), []),
  clock: optional(callback<Clock>(), systemClock),
  random: optional(callback<Random>(), systemRandom),
  every: optional(callback<Every>(), systemEvery),
  monotonic: optional(callback<Clock>(), systemMonotonic),
}

/** The options once they are checked, with their defaults. */
export type CheckedOptions = { [K in keyof typeof aatOptionsShape]: ReturnType<(typeof aatOptionsShape)[K]> }

function problemOfOrigin(value: unknown): string | undefined {
  if (typeof value !== 'string' || !URL.canParse(value) || new URL(value).origin !== value)
    return 'must be an origin like https://app.example.com, without a path or slash'
  return undefined
}
