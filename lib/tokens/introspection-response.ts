import type { NumericDate } from '../protocol/time.ts'
import { type Signer, signJwt } from './access-token.ts'

/** RFC 9701 §4: what a caller asks for by `Accept`. */
export const INTROSPECTION_JWT = 'application/token-introspection+jwt'

/**
 * An introspection response as a JWT (RFC 9701 §5), for one caller. Its type, and that its claims are one level down, keep it
 * from ever passing for an access token.
 */
export function signIntrospection(
  answer: {
    readonly issuer: string
    /** The client id of the caller. */
    readonly audience: string
    readonly now: NumericDate
    readonly introspection: object
  },
  signer: Signer,
): Promise<string> {
  return signJwt(
    'token-introspection+jwt',
    {
      iss: answer.issuer,
      aud: answer.audience,
      iat: Math.floor(answer.now),
      token_introspection: answer.introspection,
    },
    signer,
  )
}
