import type { Resource } from '../protocol/resource.ts'
import type { Client } from '../stores/ports.ts'
import type { AccessTokenOrder } from '../tokens/mint.ts'

/** How long and in which form an access token of this client for this resource is issued. */
export function accessTokenTerms(
  client: Pick<Client, 'accessTokenLifetime' | 'accessTokenFormat'>,
  resource: Resource,
): Pick<AccessTokenOrder, 'audience' | 'lifetime' | 'format'> {
  return {
    audience: resource.audience,
    lifetime: Math.min(
      client.accessTokenLifetime ?? resource.accessTokenLifetime,
      resource.accessTokenLifetime,
    ),
    format: client.accessTokenFormat ?? resource.accessTokenFormat,
  }
}
