import { aatOptionsShape, type CheckedOptions } from './aat-options.ts'
import { clientOf } from './client-options.ts'
import type { RegistrationRules } from './clients/registrations.ts'
import { dpopRules } from './dpop-options.ts'
import { endpointUrlsOf } from './endpoint-paths.ts'
import type { IssuanceHooks } from './grants/grant-type.ts'
import type { DpopRules, EndpointName } from './http/aat.ts'
import { certificateReader, type ReadCertificate } from './http/client-certificate.ts'
import { type RingTimes, violatedInequalities } from './keys/schedule.ts'
import { checkProduction } from './production-dangers.ts'
import { type DerivedKeys, deriveKeys } from './protocol/derived-keys.ts'
import { type Sha256, sha256 } from './protocol/digest.ts'
import { type SigningAlgorithm, signatureLength } from './protocol/jwa.ts'
import { readOptions } from './protocol/options.ts'
import { type Random, randomId } from './protocol/random.ts'
import type { ResourceCatalogue } from './protocol/resource.ts'
import { catalogueOf } from './protocol/resource-options.ts'
import type { Clock, Every } from './protocol/time.ts'
import { type RefreshSettings, refreshPolicies, settingsOf } from './refresh-policy.ts'
import { registrationRulesOf } from './registration-options.ts'
import { memoryStores } from './stores/memory/memory-stores.ts'
import type { Client, RefreshPolicyOf, Stores } from './stores/ports.ts'
import { readTokenSize } from './token-size.ts'
import type { CacheLimits } from './tokens/token-cache.ts'

export interface Configuration {
  readonly issuer: string
  readonly secrets: readonly [DerivedKeys, ...DerivedKeys[]]
  readonly stores: Stores
  readonly resources: ResourceCatalogue
  readonly clients: readonly Client[]
  /** The policy in force for a client. */
  readonly refreshPolicyOf: RefreshPolicyOf
  /** What clients have that registered without a choice of their own. */
  readonly refreshSettings: RefreshSettings
  readonly registration: RegistrationRules
  readonly idpSessions: CheckedOptions['idpSessions']
  readonly dpop: DpopRules
  readonly readCertificate: ReadCertificate | undefined
  readonly clientMetadataDocuments: CheckedOptions['clientMetadataDocuments']
  readonly outbound: CheckedOptions['outbound']
  readonly refreshGrace: number
  readonly codeLifetime: number
  readonly authorizationLifetime: number
  readonly consentLifetime: number
  /** Characters of ids that clients choose: what access tokens have room for. */
  readonly longestClientId: number
  readonly alg: SigningAlgorithm
  readonly rsaBits: number
  readonly ringTimes: RingTimes
  readonly endpoints: Readonly<Record<EndpointName, string>>
  readonly hooks: IssuanceHooks
  readonly corsOrigins: '*' | readonly string[]
  readonly localhostAnyPort: boolean
  readonly privateUseSchemes: readonly string[]
  readonly clockTolerance: number
  readonly verifiedTokens: CacheLimits
  readonly clock: Clock
  readonly random: Random
  readonly every: Every
  readonly monotonic: Clock
  /** Seconds: the longest that a refresh token of any client lives unless it is used. */
  readonly longestRefresh: number
  /** Seconds. */
  readonly revocationStaleAfter: number
  /** What deserves a look and is no error. */
  readonly warnings: readonly string[]
  /** A hash of what instances on the same stores have to agree on. */
  readonly fingerprint: Sha256
}

/** Checks the whole configuration at once. @throws ConfigurationError that lists everything wrong with it */
export function readConfiguration(given: unknown): Configuration {
  let configuration: Configuration | undefined
  readOptions('createAat', given, aatOptionsShape, (options, report) => {
    configuration = assemble(options as CheckedOptions, report)
  })
  return configuration as Configuration
}

function assemble(options: CheckedOptions, report: (problem: string) => void): Configuration {
  const { issuer, clock, random, refreshTokens, keys } = options
  const endpoints = endpointUrlsOf(issuer, options.endpoints)
  if (issuer.endsWith('/')) report('issuer must not end with a slash')
  if (options.defaultResource !== undefined && !Object.hasOwn(options.resources, options.defaultResource))
    report('defaultResource is not one of resources')
  checkProduction(options, report)

  const resources = catalogueOf(options.resources, options.defaultResource)
  const refreshSettings = settingsOf(refreshTokens, {
    issuance: 'rotate',
    lifetime: 30 * 86_400,
    absoluteLifetime: undefined,
    boundToIdpSession: false,
    whenIdpSessionEndUnknown: 'no-refresh-token',
    longestIdpSession: options.idpSessions.longest,
  })
  const clients = options.clients.map((client, index) =>
    clientOf(client, `clients[${index}]`, options, resources, refreshSettings, report),
  )
  if (new Set(clients.map(({ id }) => id)).size !== clients.length)
    report('clients must not have the same clientId twice')

  const registration = registrationRulesOf(
    options.registration,
    {
      resources,
      refreshSettings,
      privateUseSchemes: options.privateUseSchemes,
      keepsForPublicClients: refreshTokens.dangerouslyKeepForPublicClients,
      outboundPorts: options.outbound.ports,
      statementAudiences: [issuer, endpoints.registration],
    },
    report,
  )
  const documentPolicy = options.clientMetadataDocuments?.policy
  if (documentPolicy !== undefined && !registration.policies.has(documentPolicy))
    report('clientMetadataDocuments.policy is not one of registration.policies')

  const { alg, rsaBits, ...times } = keys
  const ringTimes: RingTimes = {
    ...times,
    propagation: 5,
    longestToken: Math.max(...[...resources.all.values()].map((resource) => resource.accessTokenLifetime)),
  }
  violatedInequalities(ringTimes).forEach(report)
  const longestClientId = readTokenSize(
    {
      issuer,
      resources,
      clients,
      hasCustomClaims: options.claims !== undefined,
      signatureBytes: signatureLength(alg, rsaBits),
    },
    report,
  )

  const secrets = options.secrets.filter((secret) => secret !== undefined)
  const isUnset = options.secrets.length > 0 && secrets.length === 0
  const [newest = randomId(random, 32), ...older] = secrets
  const derived: Configuration['secrets'] = [deriveKeys(newest), ...older.map(deriveKeys)]
  const stores = options.stores ?? memoryStores({ clock })
  return {
    issuer,
    secrets: derived,
    stores,
    resources,
    clients,
    refreshPolicyOf: refreshPolicies(refreshSettings),
    refreshSettings,
    registration,
    idpSessions: options.idpSessions,
    dpop: dpopRules(options.dpop, derived, stores, clock),
    readCertificate: options.clientCertificate && certificateReader(options.clientCertificate),
    clientMetadataDocuments: options.clientMetadataDocuments,
    outbound: options.outbound,
    refreshGrace: refreshTokens.grace,
    codeLifetime: options.codeLifetime,
    authorizationLifetime: options.authorizationLifetime,
    consentLifetime: options.consentLifetime,
    longestClientId,
    alg,
    rsaBits,
    ringTimes,
    endpoints,
    hooks: { claims: options.claims, isSubjectActive: options.isSubjectActive },
    corsOrigins: options.corsOrigins,
    localhostAnyPort: options.localhostAnyPort,
    privateUseSchemes: options.privateUseSchemes,
    clockTolerance: options.clockTolerance,
    verifiedTokens: options.verifiedTokens,
    clock,
    random,
    every: options.every,
    monotonic: options.monotonic,
    longestRefresh: Math.max(
      refreshSettings.lifetime,
      ...clients.map((client) => client.refreshPolicy?.lifetime ?? 0),
      ...[...registration.policies.values()].map((policy) => policy.longestRefreshToken),
    ),
    revocationStaleAfter: options.revocationStaleAfter,
    warnings:
      isUnset && !options.allowInProduction.includes('generated-secret')
        ? [
            'secrets holds only undefined (an environment variable that is not set?), so a secret was made up: with the next start refresh tokens and keys are lost, and other instances cannot read them. Set a random secret of at least 32 characters, or leave secrets out',
          ]
        : [],
    fingerprint: fingerprintOf(options),
  }
}

/**
 * Instances with other lifetimes, strategies or scopes than their neighbours would answer the same client in turns this way and
 * that. What differs from one to the next on purpose (secrets in a rotation, hooks, limits) is not in it.
 */
function fingerprintOf(options: CheckedOptions): Sha256 {
  const {
    issuer,
    resources,
    defaultResource,
    clients,
    refreshTokens,
    codeLifetime,
    keys,
    clockTolerance,
    dpop,
  } = options
  const { longest } = options.idpSessions
  const shown = clients.map(({ clientSecret: _secret, ...client }) => client)
  return sha256(
    JSON.stringify([
      issuer,
      resources,
      defaultResource,
      shown,
      refreshTokens,
      codeLifetime,
      keys,
      clockTolerance,
      longest,
      options.registration.policies,
      options.clientMetadataDocuments && [
        options.clientMetadataDocuments.hosts,
        options.clientMetadataDocuments.policy,
      ],
      dpop,
    ]),
  )
}
