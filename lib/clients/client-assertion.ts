import { decodeJwt } from 'jose/jwt/decode'
import { sha256 } from '../protocol/digest.ts'
import { hasControlCharacter } from '../protocol/encoding.ts'
import type { Clock } from '../protocol/time.ts'
import type { Client, ReplayStore } from '../stores/ports.ts'
import type { ClientKeys, KeyOwner } from './client-keys.ts'
import { verifyByKeys } from './verify-by-keys.ts'

/** Algorithms that an assertion may be signed with; asymmetric only. */
export const assertionAlgorithms = ['ES256', 'ES384', 'ES512', 'RS256', 'PS256', 'EdDSA', 'Ed25519'] as const

/** The longest that an assertion may live, in seconds; also how long its `jti` is remembered at the most. */
const MAX_ASSERTION_LIFETIME = 600
const MAX_ASSERTION_LENGTH = 8192
/** How far a client's clock may differ, in seconds. */
const TOLERANCE = 30
/** How far the store's clock may be ahead of this one, in seconds: it must not forget a `jti` that is still taken here. */
const STORE_AHEAD = 30

export interface AssertionParts {
  readonly keys: ClientKeys
  readonly issuer: string
  readonly clock: Clock
  readonly replays: ReplayStore
}

/** The client that an assertion says it is from (its `sub`), before anything is verified. */
export function claimedClientId(assertion: string): string | undefined {
  if (assertion.length > MAX_ASSERTION_LENGTH) return undefined
  try {
    const { sub } = decodeJwt(assertion)
    return typeof sub === 'string' && sub !== '' && !hasControlCharacter(sub) ? sub : undefined
  } catch {
    return undefined
  }
}

/**
 * Verifies a `private_key_jwt` assertion (RFC 7523 §3, narrowed by rfc7523bis: the one audience is the issuer) and claims
 * its `jti`, so that of any number of uses one succeeds.
 * @returns `undefined` where it is good, or the private reason why not
 * @throws StoreUnavailable where the replay record could not be written, OAuthError 503 where the keys cannot be had
 */
export async function problemOfAssertion(
  assertion: string,
  client: Client & Pick<KeyOwner, 'source'>,
  { keys, issuer, clock, replays }: AssertionParts,
): Promise<string | undefined> {
  const now = clock()
  const verified = await verifyByKeys(assertion, client, keys, {
    algorithms: client.assertionAlg === undefined ? [...assertionAlgorithms] : [client.assertionAlg],
    issuer: client.id,
    subject: client.id,
    requiredClaims: ['aud', 'exp', 'jti'],
    currentDate: new Date(now * 1000),
    clockTolerance: TOLERANCE,
  })
  if (typeof verified === 'string') return verified
  const type = verified.protectedHeader.typ
  // Another kind of JWT, an access token above all, is never an assertion (RFC 8725 §3.11).
  if (type !== undefined && !['jwt', 'client-authentication+jwt'].includes(type.toLowerCase())) return 'typ'
  const { aud, exp, iat, jti } = verified.payload
  if (aud !== issuer && !(Array.isArray(aud) && aud.length === 1 && aud[0] === issuer))
    return 'aud is not the issuer'
  if (typeof exp !== 'number' || !Number.isFinite(exp) || exp - now > MAX_ASSERTION_LIFETIME + TOLERANCE)
    return 'exp is too far in the future'
  if (iat !== undefined && (typeof iat !== 'number' || iat > now + TOLERANCE)) return 'iat is in the future'
  if (typeof jti !== 'string' || jti === '' || jti.length > 512) return 'jti'
  const claim = await replays.claim(
    sha256(JSON.stringify([client.id, jti])),
    Math.ceil(exp) + TOLERANCE + STORE_AHEAD,
  )
  if (claim === 'seen') return 'jti was used before'
  // Where the store cannot take them now, the next assertion is soon enough. Strangers' are kept once they get a token: whoever
  // publishes a document can make assertions.
  if (client.origin === 'configuration') await keys.keep(client).catch(() => undefined)
  return undefined
}
