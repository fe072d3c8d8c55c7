import { assertionAlgorithms } from './clients/client-assertion.ts'
import { authenticationMethods } from './clients/client-credentials.ts'
import { problemOfClientJwks } from './clients/client-jwks.ts'
import type { IssuanceHooks } from './grants/grant-type.ts'
import type { EndpointName } from './http/aat.ts'
import { type RingTimes, violatedInequalities } from './keys/schedule.ts'
import { type DerivedKeys, deriveKeys } from './protocol/derived-keys.ts'
import { sha256 } from './protocol/digest.ts'
import { algorithms, type SigningAlgorithm } from './protocol/jwa.ts'
import {
  type Check,
  callback,
  either,
  flag,
  listOf,
  object,
  oneOf,
  optional,
  readOptions,
  text,
  verified,
  whole,
} from './protocol/options.ts'
import { type Random, randomId, systemRandom } from './protocol/random.ts'
import { judgeRedirectUri } from './protocol/redirect-uri.ts'
import type { ResourceCatalogue } from './protocol/resource.ts'
import { catalogueOf, type ResourceOptions, resourcesOption } from './protocol/resource-options.ts'
import { problemOfPublishedUrl } from './protocol/resource-uri.ts'
import { type Clock, type Every, systemClock, systemEvery } from './protocol/time.ts'
import { memoryStores } from './stores/memory/memory-stores.ts'
import type { Client, ClientAuthenticationMethod, RefreshPolicy, Stores } from './stores/ports.ts'

/** How refresh tokens are issued and how long they live. */
export interface RefreshTokenOptions {
  /**
   * `keep`: the same token until it expires; `rotate`: a new token at each refresh, the expiry unchanged (default);
   * `rotate-and-reset`: a new token and a new expiry.
   */
  issuance?: 'keep' | 'rotate' | 'rotate-and-reset'
  /** Seconds (default 2,592,000 = 30 days). */
  lifetime?: number
  /** Seconds: nothing that descends from an authorization outlives it, access tokens included (default no cap). */
  absoluteLifetime?: number
}

/** A client that the app vouches for. */
export interface ClientOptions {
  clientId: string
  /** One secret, or several while they rotate, newest first; at least 16 characters each. */
  clientSecret?: string | string[]
  /** Default `client_secret_basic` with a secret, `private_key_jwt` with `jwks`, else `none`. */
  tokenEndpointAuthMethod?: ClientAuthenticationMethod
  /** Public keys, for `private_key_jwt`. */
  jwks?: { keys: Record<string, unknown>[] }
  /** The one algorithm of its assertions. */
  tokenEndpointAuthSigningAlg?: string
  name?: string
  redirectUris?: string[]
  applicationType?: 'web' | 'native'
  /** Default `authorization_code` and `refresh_token` with redirect URIs, else `client_credentials`. */
  grantTypes?: ('authorization_code' | 'refresh_token' | 'client_credentials')[]
  /** The most that it may ever get (default every scope). */
  scopes?: string[]
  /** What it gets without asking (default the resource's). */
  defaultScopes?: string[]
  /** Seconds; may only shorten the resource's. */
  accessTokenLifetime?: number
  refreshTokens?: RefreshTokenOptions
  /** No consent page: the client is a part of the app itself. */
  firstParty?: boolean
  /** Resources whose tokens it may introspect, as their server. */
  introspects?: string[]
}

export interface KeyOptions {
  /** Default `ES256`. */
  alg?: SigningAlgorithm
  /** Modulus for RS256 and PS256 (default 2048; 2048, 3072 or 4096). */
  rsaBits?: number
  /** Seconds that a key signs before its successor (default 2,592,000 = 30 days). */
  rotationInterval?: number
  /** Seconds that a key is published before it signs (default 86,400 = 24 h). */
  publishBefore?: number
  /** Seconds that the JWK Set may be cached (default 300). */
  jwksMaxAge?: number
  /** Seconds: the longest cache of a verifier to plan for (default 600). */
  verifierCache?: number
  /** Seconds by which clocks of instances and verifiers may differ, for the schedule (default 60). */
  clockTolerance?: number
}

/** Dangers that production is refused for, unless they are named in `allowInProduction`. */
export type ProductionDanger = 'memory-stores' | 'generated-secret' | 'http-issuer'

export interface AatOptions {
  /** The issuer identifier: an https URL without query and fragment (http on loopback). Never taken from a request. */
  issuer: string
  /** Secrets of at least 32 characters, newest first; default one that is made up at start. `undefined` entries are left out. */
  secrets?: (string | undefined)[]
  /** Default in memory. */
  stores?: Stores
  /** What tokens are for, by URL. */
  resources: Record<string, ResourceOptions>
  /** For requests that name no resource; default the only one. */
  defaultResource?: string
  clients?: ClientOptions[]
  refreshTokens?: RefreshTokenOptions & {
    /** Seconds in which a spent token's immediate successor is given again (default 10, 0 to 60). */
    grace?: number
    /** Allows `keep` for clients without a secret, against RFC 9700 §2.2.2. */
    dangerouslyKeepForPublicClients?: boolean
  }
  /** Seconds that an authorization code lives (default 60, 1 to 600). */
  codeLifetime?: number
  /** Seconds that a user has for signing in and deciding (default 600). */
  authorizationLifetime?: number
  /** Seconds for which a consent is remembered (default 7,776,000 = 90 days; 0: never). */
  consentLifetime?: number
  keys?: KeyOptions
  /** Where the endpoints are, as paths on the issuer's origin. */
  endpoints?: Partial<Record<EndpointName, string>>
  /** Custom claims for access tokens; cannot set registered ones. At most 1,000 characters of JSON. */
  claims?: NonNullable<IssuanceHooks['claims']>
  /** Asked before every token of a user; false refuses with `invalid_grant`. */
  isSubjectActive?: NonNullable<IssuanceHooks['isSubjectActive']>
  /** Who may read token, registration and revocation answers across origins: exact origins, or `'*'` (default nobody). */
  corsOrigins?: '*' | string[]
  /** Let `http://localhost` redirect URIs vary their port like 127.0.0.1 and [::1] (default false; MCP clients want true). */
  localhostAnyPort?: boolean
  /** Private-use URI schemes without a dot that clients may register, for example `['cursor']`. */
  privateUseSchemes?: string[]
  /** Seconds that verifiers here allow clocks to differ (default 5, 0 to 60). */
  clockTolerance?: number
  /** Dangers that are wanted even with `NODE_ENV=production`. */
  allowInProduction?: ProductionDanger[]
  /** Seconds since the epoch; default the machine's clock. For tests. */
  clock?: Clock
  /** Default the machine's. For tests. */
  random?: Random
  /** Timers of the background work. For tests. */
  every?: Every
}

export interface Configuration {
  readonly issuer: string
  readonly secrets: readonly [DerivedKeys, ...DerivedKeys[]]
  readonly stores: Stores
  readonly resources: ResourceCatalogue
  readonly clients: readonly Client[]
  readonly refreshPolicy: RefreshPolicy
  readonly refreshGrace: number
  readonly codeLifetime: number
  readonly authorizationLifetime: number
  readonly consentLifetime: number
  readonly alg: SigningAlgorithm
  readonly rsaBits: number
  readonly ringTimes: RingTimes
  readonly endpoints: Readonly<Record<EndpointName, string>>
  readonly hooks: IssuanceHooks
  readonly corsOrigins: '*' | readonly string[]
  readonly localhostAnyPort: boolean
  readonly privateUseSchemes: readonly string[]
  readonly clockTolerance: number
  readonly clock: Clock
  readonly random: Random
  readonly every: Every
}

const DAY = 86_400
const LONGEST = 2 ** 31
const url: Check<string> = verified(problemOfPublishedUrl)
const seconds = (min: number, max: number) => whole('seconds', min, max)
const isArray = (value: unknown) => Array.isArray(value)

const refreshTokenShape = {
  issuance: optional(oneOf('keep', 'rotate', 'rotate-and-reset')),
  lifetime: optional(seconds(1, LONGEST)),
  absoluteLifetime: optional(seconds(1, LONGEST)),
}

const endpointPath: Check<string> = text({
  max: 512,
  pattern: /^(?:\/[A-Za-z0-9\-._~]+)+$/,
  what: 'an absolute path of letters, digits and - . _ ~ without a trailing slash, like /oauth/token',
})

const clientShape = object({
  clientId: verified<string>((value) =>
    typeof value === 'string' &&
    value !== '' &&
    value.length <= 255 &&
    !/\p{Cc}/u.test(value) &&
    !value.startsWith('dcr_') &&
    !/^https?:/.test(value)
      ? undefined
      : 'must be 1 to 255 characters without control characters, and not begin with dcr_ or http(s):',
  ),
  clientSecret: optional(either(isArray, listOf(secretOf(16), { min: 1, max: 5 }), secretOf(16))),
  tokenEndpointAuthMethod: optional(oneOf(...authenticationMethods)),
  jwks: optional(verified<NonNullable<Client['jwks']>>(problemOfClientJwks)),
  tokenEndpointAuthSigningAlg: optional(oneOf(...assertionAlgorithms)),
  name: optional(text({ max: 200 })),
  redirectUris: optional(listOf(text(), { max: 50 }), []),
  applicationType: optional(oneOf('web', 'native')),
  grantTypes: optional(
    listOf(oneOf('authorization_code', 'refresh_token', 'client_credentials'), { min: 1 }),
  ),
  scopes: optional(listOf(text({ max: 128 }))),
  defaultScopes: optional(listOf(text({ max: 128 }))),
  accessTokenLifetime: optional(seconds(1, DAY)),
  refreshTokens: optional(object(refreshTokenShape)),
  firstParty: optional(flag, false),
  introspects: optional(listOf(text())),
})

function secretOf(min: number): Check<string> {
  return verified((value) =>
    typeof value === 'string' && value.length >= min && value.length <= 1024
      ? undefined
      : `must be a string of at least ${min} characters`,
  )
}

const shape = {
  issuer: url,
  secrets: optional(listOf(optional(secretOf(32)), { max: 8 }), []),
  stores: optional(
    verified<Stores>((value) =>
      typeof (value as Stores | null)?.grants?.refresh === 'function'
        ? undefined
        : 'must be memoryStores() or redisStores(…)',
    ),
  ),
  resources: resourcesOption,
  defaultResource: optional(text()),
  clients: optional(listOf(clientShape, { max: 10_000 }), []),
  refreshTokens: optional(
    object({
      ...refreshTokenShape,
      grace: optional(seconds(0, 60), 10),
      dangerouslyKeepForPublicClients: optional(flag, false),
    }),
    {
      issuance: undefined,
      lifetime: undefined,
      absoluteLifetime: undefined,
      grace: 10,
      dangerouslyKeepForPublicClients: false,
    },
  ),
  codeLifetime: optional(seconds(1, 600), 60),
  authorizationLifetime: optional(seconds(30, 3600), 600),
  consentLifetime: optional(seconds(0, LONGEST), 90 * DAY),
  keys: optional(
    object({
      alg: optional(oneOf(...(Object.keys(algorithms) as SigningAlgorithm[])), 'ES256'),
      rsaBits: optional(
        verified<number>((value) =>
          [2048, 3072, 4096].includes(value as number) ? undefined : 'must be 2048, 3072 or 4096',
        ),
        2048,
      ),
      rotationInterval: optional(seconds(1, LONGEST), 30 * DAY),
      publishBefore: optional(seconds(0, LONGEST), DAY),
      jwksMaxAge: optional(seconds(0, DAY), 300),
      verifierCache: optional(seconds(0, 30 * DAY), 600),
      clockTolerance: optional(seconds(0, 3600), 60),
    }),
    {
      alg: 'ES256' as SigningAlgorithm,
      rsaBits: 2048,
      rotationInterval: 30 * DAY,
      publishBefore: DAY,
      jwksMaxAge: 300,
      verifierCache: 600,
      clockTolerance: 60,
    },
  ),
  endpoints: optional(
    object({
      authorization: optional(endpointPath),
      token: optional(endpointPath),
      revocation: optional(endpointPath),
      introspection: optional(endpointPath),
      registration: optional(endpointPath),
      jwks: optional(endpointPath),
    }),
    {
      authorization: undefined,
      token: undefined,
      revocation: undefined,
      introspection: undefined,
      registration: undefined,
      jwks: undefined,
    },
  ),
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
  allowInProduction: optional(listOf(oneOf('memory-stores', 'generated-secret', 'http-issuer')), []),
  clock: optional(callback<Clock>(), systemClock),
  random: optional(callback<Random>(), systemRandom),
  every: optional(callback<Every>(), systemEvery),
}

type Read = { [K in keyof typeof shape]: ReturnType<(typeof shape)[K]> }

/** Checks the whole configuration at once. @throws ConfigurationError that lists everything wrong with it */
export function readConfiguration(given: unknown): Configuration {
  let configuration: Configuration | undefined
  readOptions('createAat', given, shape, (options, report) => {
    configuration = assemble(options as Read, report)
  })
  return configuration as Configuration
}

function assemble(options: Read, report: (problem: string) => void): Configuration {
  const { issuer, clock, random, refreshTokens, keys } = options
  const { origin, pathname } = new URL(issuer)
  if (issuer.endsWith('/')) report('issuer must not end with a slash')
  if (options.defaultResource !== undefined && !Object.hasOwn(options.resources, options.defaultResource))
    report('defaultResource is not one of resources')
  checkProduction(options, report)

  const resources = catalogueOf(options.resources, options.defaultResource)
  const refreshPolicy: RefreshPolicy = policyOf(refreshTokens, { issuance: 'rotate', lifetime: 30 * DAY })
  const clients = options.clients.map((client, index) =>
    clientOf(client, `clients[${index}]`, options, resources, refreshPolicy, report),
  )
  if (new Set(clients.map(({ id }) => id)).size !== clients.length)
    report('clients must not have the same clientId twice')

  const { alg, rsaBits, ...times } = keys
  const ringTimes: RingTimes = {
    ...times,
    propagation: 5,
    longestToken: Math.max(...[...resources.all.values()].map((resource) => resource.accessTokenLifetime)),
  }
  violatedInequalities(ringTimes).forEach(report)

  const secrets = options.secrets.filter((secret) => secret !== undefined)
  const [newest = randomId(random, 32), ...older] = secrets
  const base = pathname === '/' ? '' : pathname
  const at = (path: string) => origin + path
  const { endpoints } = options
  return {
    issuer,
    secrets: [deriveKeys(newest), ...older.map(deriveKeys)],
    stores: options.stores ?? memoryStores({ clock }),
    resources,
    clients,
    refreshPolicy,
    refreshGrace: refreshTokens.grace,
    codeLifetime: options.codeLifetime,
    authorizationLifetime: options.authorizationLifetime,
    consentLifetime: options.consentLifetime,
    alg,
    rsaBits,
    ringTimes,
    endpoints: {
      authorization: at(endpoints.authorization ?? `${base}/oauth/authorize`),
      token: at(endpoints.token ?? `${base}/oauth/token`),
      revocation: at(endpoints.revocation ?? `${base}/oauth/revoke`),
      introspection: at(endpoints.introspection ?? `${base}/oauth/introspect`),
      registration: at(endpoints.registration ?? `${base}/oauth/register`),
      jwks: at(endpoints.jwks ?? `${base}/.well-known/jwks.json`),
    },
    hooks: { claims: options.claims, isSubjectActive: options.isSubjectActive },
    corsOrigins: options.corsOrigins,
    localhostAnyPort: options.localhostAnyPort,
    privateUseSchemes: options.privateUseSchemes,
    clockTolerance: options.clockTolerance,
    clock,
    random,
    every: options.every,
  }
}

function checkProduction(options: Read, report: (problem: string) => void): void {
  if (process.env.NODE_ENV !== 'production') return
  const dangers: [ProductionDanger, boolean, string][] = [
    [
      'memory-stores',
      options.stores === undefined || options.stores.kind === 'memory',
      'stores are in memory: tokens and keys are lost at each restart and not shared; use redisStores(…)',
    ],
    [
      'generated-secret',
      !options.secrets.some((secret) => secret !== undefined),
      'secrets is empty: refresh tokens and keys would not survive a restart; set a random secret of at least 32 characters',
    ],
    [
      'http-issuer',
      options.issuer.startsWith('http:'),
      'issuer is http: tokens would cross the network in the clear; use https',
    ],
  ]
  for (const [danger, present, what] of dangers) {
    if (present && !options.allowInProduction.includes(danger))
      report(`${what} (or allow it by name: allowInProduction: ['${danger}'])`)
  }
}

function policyOf(
  given: RefreshTokenOptions | { [K in keyof RefreshTokenOptions]: RefreshTokenOptions[K] | undefined },
  fallback: RefreshPolicy,
): RefreshPolicy {
  const absoluteLifetime = given.absoluteLifetime ?? fallback.absoluteLifetime
  return {
    issuance: given.issuance ?? fallback.issuance,
    lifetime: given.lifetime ?? fallback.lifetime,
    ...(absoluteLifetime !== undefined && { absoluteLifetime }),
  }
}

function clientOf(
  given: ReturnType<typeof clientShape>,
  where: string,
  options: Read,
  resources: ResourceCatalogue,
  serverPolicy: RefreshPolicy,
  report: (problem: string) => void,
): Client {
  const secretHashes = [given.clientSecret ?? []].flat().map((secret) => sha256(secret))
  const method =
    given.tokenEndpointAuthMethod ??
    (secretHashes.length > 0 ? 'client_secret_basic' : given.jwks !== undefined ? 'private_key_jwt' : 'none')
  const grantTypes =
    given.grantTypes ??
    (given.redirectUris.length > 0 ? ['authorization_code', 'refresh_token'] : ['client_credentials'])
  const refreshPolicy = policyOf(given.refreshTokens ?? {}, serverPolicy)

  if (method.startsWith('client_secret') && secretHashes.length === 0)
    report(`${where}.clientSecret is missing for ${method}`)
  if (!method.startsWith('client_secret') && secretHashes.length > 0)
    report(`${where}.clientSecret is not used by ${method}`)
  if (method === 'private_key_jwt' && given.jwks === undefined)
    report(`${where}.jwks is missing for private_key_jwt`)
  if (method === 'none' && grantTypes.includes('client_credentials'))
    report(`${where}: client_credentials needs a client that authenticates: add clientSecret or jwks`)
  if (grantTypes.includes('authorization_code') && given.redirectUris.length === 0)
    report(`${where}.redirectUris is missing for authorization_code`)
  if (
    method === 'none' &&
    grantTypes.includes('refresh_token') &&
    refreshPolicy.issuance === 'keep' &&
    !options.refreshTokens.dangerouslyKeepForPublicClients
  ) {
    report(
      `${where}: refresh tokens that are kept are refused for a client without a secret, since a stolen one would never be noticed (RFC 9700 section 2.2.2); use issuance 'rotate', or refreshTokens.dangerouslyKeepForPublicClients`,
    )
  }
  const knownScopes = new Set([...resources.all.values()].flatMap((resource) => [...resource.scopes.keys()]))
  for (const scope of [...(given.scopes ?? []), ...(given.defaultScopes ?? [])])
    if (!knownScopes.has(scope))
      report(`${where} names the scope ${JSON.stringify(scope)}, which no resource has`)
  for (const resource of given.introspects ?? [])
    if (!resources.all.has(resource))
      report(`${where}.introspects names ${JSON.stringify(resource)}, which is not one of resources`)
  const kinds = given.redirectUris.map((uri, index) => {
    const judged = judgeRedirectUri(uri, options)
    if ('problem' in judged) report(`${where}.redirectUris[${index}] ${judged.problem}`)
    return 'kind' in judged ? judged.kind : 'https'
  })
  const applicationType = given.applicationType ?? (kinds.some((kind) => kind !== 'https') ? 'native' : 'web')
  if (applicationType === 'web' && kinds.some((kind) => kind !== 'https'))
    report(`${where}.redirectUris must be https where applicationType is web`)

  return {
    id: given.clientId,
    origin: 'configuration',
    applicationType,
    redirectUris: given.redirectUris,
    grantTypes,
    authenticationMethod: method,
    secretHashes,
    createdAt: 0,
    refreshPolicy,
    firstParty: given.firstParty,
    ...(given.name !== undefined && { name: given.name }),
    ...(given.jwks !== undefined && { jwks: given.jwks }),
    ...(given.tokenEndpointAuthSigningAlg !== undefined && {
      assertionAlg: given.tokenEndpointAuthSigningAlg,
    }),
    ...(given.scopes !== undefined && { allowedScope: given.scopes }),
    ...(given.defaultScopes !== undefined && { defaultScope: given.defaultScopes }),
    ...(given.accessTokenLifetime !== undefined && { accessTokenLifetime: given.accessTokenLifetime }),
    ...(given.introspects !== undefined && { introspects: given.introspects }),
  }
}

function problemOfOrigin(value: unknown): string | undefined {
  if (typeof value !== 'string' || !URL.canParse(value) || new URL(value).origin !== value)
    return 'must be an origin like https://app.example.com, without a path or slash'
  return undefined
}
