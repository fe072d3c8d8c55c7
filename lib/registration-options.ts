import { problemOfRedirectHost } from './clients/redirect-hosts.ts'
import {
  DEFAULT_POLICY,
  type RefreshIssuance,
  type RegistrationPolicy,
} from './clients/registration-policy.ts'
import type { RegistrationRules } from './clients/registrations.ts'
import {
  type Check,
  flag,
  listOf,
  object,
  oneOf,
  optional,
  optionalObject,
  recordOf,
  text,
  verified,
  whole,
} from './protocol/options.ts'
import type { ResourceCatalogue } from './protocol/resource.ts'
import { policyOf, type RefreshSettings } from './refresh-policy.ts'
import { quotasOption, type RegistrationQuotaOptions } from './registration-quota-options.ts'
import {
  checkStatementIssuers,
  type StatementIssuerOptions,
  statementIssuersOption,
} from './statement-issuer-options.ts'

/** What clients of one kind of registration may have. A client can ask for less, never for more. */
export interface RegistrationPolicyOptions {
  /** Grant types that a registration may ask for (default `authorization_code` and `refresh_token`). */
  grantTypes?: ('authorization_code' | 'refresh_token' | 'client_credentials')[] | undefined
  /** Scopes that its clients may ever get (default all of the resources'). */
  scopes?: string[] | undefined
  /**
   * Where redirect URIs may lead: hosts like `app.example.com`, all below one like `*.example.com`, private-use schemes like
   * `com.example.app:`, and `loopback` for the user's own machine (default anywhere).
   */
  redirectHosts?: string[] | undefined
  /** Seconds: the longest that access tokens live (default the resource's; it may only shorten that). */
  accessTokenLifetime?: number | undefined
  /** Formats of access tokens that a client may choose (default none: they have the resource's). */
  accessTokenFormats?: ('jwt' | 'opaque')[] | undefined
  /** Refresh tokens of its clients. */
  refreshTokens?:
    | {
        /** Strategies that a client may choose; the first is for those that do not (default just the server's). */
        issuance?: RefreshIssuance[] | undefined
        /** Seconds: the longest, and what clients have that do not choose (default the server's). */
        lifetime?: number | undefined
        /** Seconds: nothing that descends from an authorization outlives it (default the server's). */
        absoluteLifetime?: number | undefined
      }
    | undefined
  /**
   * Clients may choose by `use_idp_session_expiry: false` to outlive the session at the identity provider where the server
   * binds to it (default false: they are told `true`). To be bound where the server does not bind, any client may choose.
   */
  mayOutliveIdpSession?: boolean | undefined
  /**
   * How many clients of this policy may have a record (default any number). Who registers by the door `'anyone'` takes no place
   * before a user agrees to the client.
   */
  maxClients?: number | undefined
  /** Registrations need a software statement of one of `softwareStatements` (default `optional`). */
  softwareStatement?: 'required' | 'optional' | undefined
  /** Seconds after which a registration is over, however much it is used (default never). */
  clientLifetime?: number | undefined
  /** Seconds after which the secret of a client is none (default never; at most until the registration is over). */
  clientSecretLifetime?: number | undefined
}

/** Registration of clients that the app does not know: what they may have. */
export interface RegistrationOptions {
  /**
   * Policies by name. The one that is named `default` is for registrations that name no other, and for documents. Registered
   * clients are judged by their policy at each use; one whose policy is gone from here is unknown.
   */
  policies?: Record<string, RegistrationPolicyOptions> | undefined
  /**
   * How many clients may register, counted for all instances and for each policy by itself (429 with `Retry-After` beyond it).
   * `false`: any number.
   */
  quotas?: false | RegistrationQuotaOptions | undefined
  /** Who may vouch for software by statements (RFC 7591 §2.3), whose claims then stand above what a client says. */
  softwareStatements?: StatementIssuerOptions[] | undefined
}

const LONGEST = 2 ** 31
const seconds = (max = LONGEST) => optional(whole('seconds', 1, max))

const policyShape = object({
  grantTypes: optional(
    listOf(oneOf('authorization_code', 'refresh_token', 'client_credentials'), { min: 1 }),
    ['authorization_code', 'refresh_token'],
  ),
  scopes: optional(listOf(text({ max: 128 }))),
  redirectHosts: optional(listOf(verified<string>(problemOfRedirectHost), { min: 1, max: 1000 })),
  accessTokenLifetime: seconds(86_400),
  accessTokenFormats: optional(listOf(oneOf('jwt', 'opaque')), []),
  refreshTokens: optional(
    object({
      issuance: optional(listOf(oneOf('keep', 'rotate', 'rotate-and-reset'), { min: 1, max: 3 })),
      lifetime: seconds(),
      absoluteLifetime: seconds(),
    }),
  ),
  mayOutliveIdpSession: optional(flag, false),
  maxClients: optional(whole('clients', 1, 100_000_000)),
  softwareStatement: optional(oneOf('required', 'optional'), 'optional'),
  clientLifetime: seconds(),
  clientSecretLifetime: seconds(),
})

type CheckedPolicy = ReturnType<typeof policyShape>

const policies: Check<Record<string, CheckedPolicy>> = (value, path, report) => {
  const read = recordOf(policyShape, { max: 100 })(value, path, report)
  for (const name of Object.keys(read))
    if (!/^[a-z][a-z0-9-]{0,31}$/.test(name))
      report(`${path}: the name of a policy must be 1 to 32 lower-case letters, digits and hyphens`)
  return read
}

/** The `registration` option. */
export const registrationOption = optionalObject({
  policies: optional(policies, {}),
  quotas: quotasOption,
  softwareStatements: statementIssuersOption,
})

/** What a server has that policies stand on. */
interface ServerSettings {
  readonly resources: ResourceCatalogue
  readonly refreshSettings: RefreshSettings
  readonly privateUseSchemes: readonly string[]
  readonly keepsForPublicClients: boolean
  readonly outboundPorts: readonly number[]
  readonly statementAudiences: readonly string[]
}

/** The rules that the options come to; reports what does not fit together. */
export function registrationRulesOf(
  options: ReturnType<typeof registrationOption>,
  server: ServerSettings,
  report: (problem: string) => void,
): RegistrationRules {
  const resources = [...server.resources.all.values()]
  const known = new Set(resources.flatMap((resource) => [...resource.scopes.keys()]))
  const given = { [DEFAULT_POLICY]: policyShape({}, '', report), ...options.policies }
  const policies = new Map(
    Object.entries(given).map(([name, policy]) => {
      const where = `registration.policies.${name}`
      for (const scope of policy.scopes ?? [])
        if (!known.has(scope)) report(`${where}.scopes has ${JSON.stringify(scope)}, which no resource has`)
      if (policy.softwareStatement === 'required' && options.softwareStatements.length === 0)
        report(`${where} requires a software statement, but registration.softwareStatements has no issuer`)
      return [name, policyFrom(name, policy, [...known], server)]
    }),
  )
  checkStatementIssuers(options.softwareStatements, server.outboundPorts, report)
  return {
    policies,
    quotas: options.quotas,
    statementIssuers: options.softwareStatements,
    statementAudiences: server.statementAudiences,
  }
}

function policyFrom(
  name: string,
  given: CheckedPolicy,
  knownScopes: readonly string[],
  {
    resources,
    refreshSettings: settings,
    privateUseSchemes,
    keepsForPublicClients,
    outboundPorts,
  }: ServerSettings,
): RegistrationPolicy {
  const issuances = given.refreshTokens?.issuance ?? [settings.issuance]
  const lifetime = given.refreshTokens?.lifetime ?? settings.lifetime
  const absoluteLifetime = given.refreshTokens?.absoluteLifetime ?? settings.absoluteLifetime
  const mustUseIdpSessionExpiry = settings.boundToIdpSession && !given.mayOutliveIdpSession
  return {
    name,
    grantTypes: given.grantTypes,
    scopes: given.scopes ?? knownScopes,
    redirectHosts: given.redirectHosts,
    privateUseSchemes,
    accessTokenLifetime: given.accessTokenLifetime,
    longestAccessToken: Math.max(
      ...[...resources.all.values()].map((resource) => resource.accessTokenLifetime),
    ),
    accessTokenFormats: given.accessTokenFormats,
    issuances,
    mustUseIdpSessionExpiry,
    keepsForPublicClients,
    outboundPorts,
    maxClients: given.maxClients,
    requiresStatement: given.softwareStatement === 'required',
    clientLifetime: given.clientLifetime,
    clientSecretLifetime: given.clientSecretLifetime,
    longestRefreshToken: lifetime,
    refreshPolicyOf: ({ refreshTokens, boundToIdpSession }) =>
      policyOf({
        ...settings,
        issuance:
          issuances.find((issuance) => issuance === refreshTokens?.issuance) ??
          issuances[0] ??
          settings.issuance,
        lifetime: Math.min(refreshTokens?.lifetime ?? lifetime, lifetime),
        absoluteLifetime,
        boundToIdpSession:
          boundToIdpSession === undefined
            ? settings.boundToIdpSession
            : boundToIdpSession || mustUseIdpSessionExpiry,
      }),
  }
}
