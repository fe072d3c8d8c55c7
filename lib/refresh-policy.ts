import { flag, oneOf, optional, whole } from './protocol/options.ts'
import type { RefreshPolicy, RefreshPolicyOf } from './stores/ports.ts'

/** How refresh tokens are issued and how long they live. */
export interface RefreshTokenOptions {
  /**
   * `keep`: the same token until it expires; `rotate`: a new token at each refresh, the expiry unchanged (default);
   * `rotate-and-reset`: a new token and a new expiry.
   */
  issuance?: 'keep' | 'rotate' | 'rotate-and-reset' | undefined
  /** Seconds (default 2,592,000 = 30 days). */
  lifetime?: number | undefined
  /** Seconds: nothing that descends from an authorization outlives it, access tokens included (default no cap). */
  absoluteLifetime?: number | undefined
  /**
   * Tokens of a user's authorization live exactly as long as the session at the identity provider where the user signed in
   * (`resolveUser` tells of it); `lifetime` is not considered then (default false).
   */
  boundToIdpSession?: boolean | undefined
  /**
   * Where nobody says when that session ends: no refresh token at all (default), or one that lives by `lifetime`.
   */
  whenIdpSessionEndUnknown?: 'no-refresh-token' | 'use-lifetime' | undefined
}

export const refreshTokenShape = {
  issuance: optional(oneOf('keep', 'rotate', 'rotate-and-reset')),
  lifetime: optional(whole('seconds', 1, 2 ** 31)),
  absoluteLifetime: optional(whole('seconds', 1, 2 ** 31)),
  boundToIdpSession: optional(flag),
  whenIdpSessionEndUnknown: optional(oneOf('no-refresh-token', 'use-lifetime')),
}

type Given = { [K in keyof RefreshTokenOptions]: RefreshTokenOptions[K] | undefined }

/** Everything decided. */
export interface RefreshSettings {
  readonly issuance: RefreshPolicy['issuance']
  readonly lifetime: number
  readonly absoluteLifetime: number | undefined
  readonly boundToIdpSession: boolean
  readonly whenIdpSessionEndUnknown: 'no-refresh-token' | 'use-lifetime'
  /** Seconds: the longest that a session at an identity provider is believed in. */
  readonly longestIdpSession: number
}

/** What is given, else what stands above it. */
export function settingsOf(given: Given, above: RefreshSettings): RefreshSettings {
  return {
    issuance: given.issuance ?? above.issuance,
    lifetime: given.lifetime ?? above.lifetime,
    absoluteLifetime: given.absoluteLifetime ?? above.absoluteLifetime,
    boundToIdpSession: given.boundToIdpSession ?? above.boundToIdpSession,
    whenIdpSessionEndUnknown: given.whenIdpSessionEndUnknown ?? above.whenIdpSessionEndUnknown,
    longestIdpSession: above.longestIdpSession,
  }
}

export function policyOf(settings: RefreshSettings): RefreshPolicy {
  const { issuance, lifetime, absoluteLifetime } = settings
  return {
    issuance,
    lifetime,
    ...(absoluteLifetime !== undefined && { absoluteLifetime }),
    ...(settings.boundToIdpSession && {
      idpSession: {
        whenEndUnknown: settings.whenIdpSessionEndUnknown,
        keptFor: settings.longestIdpSession,
      },
    }),
  }
}

/** The policy in force for a client: its own, by the configuration or by its registration; else the server's. */
export function refreshPolicies(settings: RefreshSettings): RefreshPolicyOf {
  const server = policyOf(settings)
  return ({ refreshPolicy }) => refreshPolicy ?? server
}
