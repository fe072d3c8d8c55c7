import type { Client } from '../stores/ports.ts'
import { refusal } from './metadata-members.ts'
import {
  accessTokenLifetimeFor,
  type RefreshIssuance,
  type RegistrationPolicy,
} from './registration-policy.ts'

const issuances: readonly RefreshIssuance[] = ['keep', 'rotate', 'rotate-and-reset']

/** What a client wishes of its tokens. */
export type TokenWishes = Pick<
  Client,
  'accessTokenLifetime' | 'accessTokenFormat' | 'refreshTokens' | 'boundToIdpSession'
>

/**
 * Token management in a registration: `access_token_lifetime` and `refresh_token_lifetime` (seconds), `access_token_format`, `refresh_token_issuance`,
 * `use_idp_session_expiry`. A wish for more than the policy allows comes to what it allows, and the answer tells so; what is
 * malformed is refused, for that client believes something about its tokens that is not so.
 * @throws OAuthError `invalid_client_metadata`
 */
export function readTokenWishes(metadata: Record<string, unknown>, policy: RegistrationPolicy): TokenWishes {
  const wishedIssuance = metadata.refresh_token_issuance
  if (wishedIssuance !== undefined && !issuances.includes(wishedIssuance as RefreshIssuance))
    throw refusal(`refresh_token_issuance must be one of ${issuances.join(', ')}`)
  const wishedFormat = metadata.access_token_format
  if (wishedFormat !== undefined && wishedFormat !== 'jwt' && wishedFormat !== 'opaque')
    throw refusal('access_token_format must be jwt or opaque')
  const accessTokenFormat = policy.accessTokenFormats.find((allowed) => allowed === wishedFormat)
  const issuance = policy.issuances.find((allowed) => allowed === wishedIssuance)
  const boundToIdpSession = readIdpSessionExpiry(metadata.use_idp_session_expiry, policy)
  const wishedAccess = readSeconds(metadata.access_token_lifetime, 'access_token_lifetime')
  const accessTokenLifetime =
    wishedAccess === undefined ? undefined : accessTokenLifetimeFor(wishedAccess, policy)
  const wishedLifetime = readSeconds(metadata.refresh_token_lifetime, 'refresh_token_lifetime')
  // Of a strategy that the policy does not have, the client is told what it gets instead.
  const inForce = policy.refreshPolicyOf({
    refreshTokens: {
      ...(issuance !== undefined && { issuance }),
      ...(wishedLifetime !== undefined && { lifetime: wishedLifetime }),
    },
  })
  const refreshTokens = {
    ...(wishedIssuance !== undefined && { issuance: inForce.issuance }),
    ...(wishedLifetime !== undefined && { lifetime: inForce.lifetime }),
  }
  return {
    ...(accessTokenLifetime !== undefined && { accessTokenLifetime }),
    ...(accessTokenFormat !== undefined && { accessTokenFormat }),
    ...(Object.keys(refreshTokens).length > 0 && { refreshTokens }),
    ...(boundToIdpSession !== undefined && { boundToIdpSession }),
  }
}

function readSeconds(value: unknown, name: string): number | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw refusal(`${name} must be a whole number of seconds, at least 1`)
  return value
}

function readIdpSessionExpiry(value: unknown, policy: RegistrationPolicy): boolean | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'boolean') throw refusal('use_idp_session_expiry must be true or false')
  return value || policy.mustUseIdpSessionExpiry
}
