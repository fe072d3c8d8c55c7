import { sameHash, tokenHash } from '../protocol/digest.ts'
import { StoreUnavailable } from '../protocol/oauth-error.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Client, ClientSecret } from '../stores/ports.ts'
import type { SelfDescribingIds } from './self-describing-id.ts'

/** Seconds for which a registration access token that was rotated still gives the same successor: its reply may be lost. */
const GRACE = 300

/** The registration access token of a client that this is, if it is good now (RFC 7592 §2). In constant time. */
export function findRegistrationToken(
  { registrationTokens = [] }: Client,
  presented: string,
  now: NumericDate,
): ClientSecret | undefined {
  const hash = tokenHash(presented)
  return registrationTokens
    .filter((token) => sameHash(token.hash, hash))
    .find(({ expiresAt = Infinity }) => now < expiresAt)
}

/**
 * Rotates on use: the successor is derived from the token that was presented, so a request that is repeated, or is made many
 * times at once, gets the same one, and nobody has stored it.
 */
export function createRegistrationTokens(ids: Pick<SelfDescribingIds, 'successors'>) {
  return function rotateRegistrationToken(
    client: Client,
    presented: string,
    used: ClientSecret,
    now: NumericDate,
  ): { client: Client; token: string } {
    const [newest = used] = client.registrationTokens ?? []
    const successors = ids.successors(client.id, presented)
    if (used !== newest) {
      const given = successors.find((token) => sameHash(tokenHash(token), newest.hash))
      if (given === undefined)
        throw new StoreUnavailable('the registration access token was derived with a secret that is not here')
      return { client, token: given }
    }
    const [token] = successors
    const registrationTokens = [{ hash: tokenHash(token) }, { hash: used.hash, expiresAt: now + GRACE }]
    return { client: { ...client, registrationTokens }, token }
  }
}

export type RotateRegistrationToken = ReturnType<typeof createRegistrationTokens>
