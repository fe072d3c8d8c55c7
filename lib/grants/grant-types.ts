import { authorizationCodeGrant } from './authorization-code-grant.ts'
import { clientCredentialsGrant } from './client-credentials-grant.ts'
import type { GrantType, GrantTypeOptions } from './grant-type.ts'
import { refreshTokenGrant } from './refresh-token-grant.ts'

/** All rooms, by `grant_type`, in the order in which metadata lists them. */
export function grantTypesOf(options: GrantTypeOptions): ReadonlyMap<string, GrantType> {
  return new Map([
    ['authorization_code', authorizationCodeGrant(options)],
    ['refresh_token', refreshTokenGrant(options)],
    ['client_credentials', clientCredentialsGrant(options)],
  ])
}
