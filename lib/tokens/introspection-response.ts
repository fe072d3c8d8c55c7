import { decodeUtf8, isObject, parseJsonObject } from '../protocol/encoding.ts'
import { verifyLater } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'
import { type Signer, signJwt } from './access-token.ts'
import { parseCompactJws, type VerificationKey } from './compact-jws.ts'

/** RFC 9701 §4: what a caller asks for by `Accept`. */
export const INTROSPECTION_JWT = 'application/token-introspection+jwt'

const TYPE = 'token-introspection+jwt'
/** Seconds that an answer may be on its way, clocks that differ included: it is for the question that was just asked. */
const LIFE = 60

interface Exchange {
  readonly issuer: string
  /** The client id of the caller. */
  readonly audience: string
  readonly now: NumericDate
}

/**
 * An introspection response as a JWT (RFC 9701 §5), for one caller. Its type, and that its claims are one level down, keep it
 * from ever passing for an access token.
 */
export function signIntrospection(
  { issuer, audience, now }: Exchange,
  introspection: object,
  signer: Signer,
): string | Promise<string> {
  return signJwt(
    TYPE,
    { iss: issuer, aud: audience, iat: Math.floor(now), token_introspection: introspection },
    signer,
  )
}

/**
 * What such a JWT says, where it is one of this issuer for this caller, of now (RFC 9701 §5, RFC 8725): no access token, and no
 * answer to somebody else.
 */
export async function readIntrospection(
  text: string,
  { issuer, audience, now }: Exchange,
  keyFor: (kid: string) => Promise<VerificationKey | undefined>,
): Promise<Record<string, unknown> | undefined> {
  const jws = parseCompactJws(text)
  if ('problem' in jws || jws.header.typ.toLowerCase().replace(/^application\//, '') !== TYPE)
    return undefined
  const key = await keyFor(jws.header.kid)
  if (key === undefined || key.alg !== jws.header.alg) return undefined
  if (!(await verifyLater(key.alg, key.publicKey, jws.signingInput, jws.signature))) return undefined
  const { iss, aud, iat, token_introspection } = parseJsonObject(decodeUtf8(jws.payload) ?? '') ?? {}
  const isForUs = aud === audience || (Array.isArray(aud) && aud.length === 1 && aud[0] === audience)
  if (iss !== issuer || !isForUs || typeof iat !== 'number' || !(Math.abs(now - iat) <= LIFE))
    return undefined
  return isObject(token_introspection) ? token_introspection : undefined
}
