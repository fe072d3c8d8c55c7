import { jsonSize } from './protocol/encoding.ts'
import type { ResourceCatalogue } from './protocol/resource.ts'
import { type Client, MAX_CLIENT_ID } from './stores/ports.ts'
import { MAX_ISSUED_TOKEN } from './tokens/access-token.ts'
import { longestTokenLength } from './tokens/mint.ts'

/** Characters of a client's id for which every configuration has room: a URL, or the id of a client with a record. */
const LEAST_CLIENT_ID = 128

export interface TokenSizeOptions {
  readonly issuer: string
  readonly resources: ResourceCatalogue
  readonly clients: readonly Client[]
  readonly hasCustomClaims: boolean
  readonly signatureBytes: number
}

/**
 * Reports resources whose longest access token would not fit.
 * @returns characters that the id of a client which chooses it (its description, its URL) may have: what the scopes leave
 */
export function readTokenSize(
  { issuer, resources, clients, hasCustomClaims, signatureBytes }: TokenSizeOptions,
  report: (problem: string) => void,
): number {
  const longestClientId = ['x'.repeat(LEAST_CLIENT_ID), ...clients.map(({ id }) => id)].reduce((a, b) =>
    jsonSize(b) > jsonSize(a) ? b : a,
  )
  let room = MAX_CLIENT_ID
  for (const { identifier, audience, scopes } of resources.all.values()) {
    const lengthFor = (clientId: string) =>
      longestTokenLength(
        { issuer, audience, scope: [...scopes.keys()].join(' '), clientId, hasCustomClaims },
        signatureBytes,
      )
    const length = lengthFor(longestClientId)
    if (length > MAX_ISSUED_TOKEN)
      report(
        `resources[${JSON.stringify(identifier)}]: an access token with all of its scopes could have ${length} characters, over ${MAX_ISSUED_TOKEN}; use fewer or shorter scopes, or a smaller key`,
      )
    // Three bytes of an id take four characters of a token; one is lost to rounding.
    room = Math.min(room, Math.floor(((MAX_ISSUED_TOKEN - lengthFor('')) * 3) / 4) - 1)
  }
  return Math.max(room, LEAST_CLIENT_ID)
}
