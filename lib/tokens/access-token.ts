import type { KeyObject } from 'node:crypto'
import { type Confirmation, readConfirmation } from '../protocol/confirmation.ts'
import { decodeUtf8, parseJsonObject } from '../protocol/encoding.ts'
import { type SigningAlgorithm, signWith } from '../protocol/jwa.ts'
import { isScopeToken } from '../protocol/scope.ts'
import type { NumericDate } from '../protocol/time.ts'

/** RFC 9068 §2.1. */
export const ACCESS_TOKEN_TYPE = 'at+jwt'

/** Verifiers accept the full media type too, and media types know no case (RFC 9068 §4, RFC 8725 §3.11). */
export function isAccessTokenType(typ: string): boolean {
  return /^(?:application\/)?at\+jwt$/i.test(typ)
}

/** The longest access token that is issued, in characters: well under Node's 16 KiB for all headers. */
export const MAX_ISSUED_TOKEN = 4096

/** A client's own tokens (no user) have this before the client id in `sub`, so a client can never pass for a user. */
export const CLIENT_SUBJECT_PREFIX = 'client:'

/** The claims of an AAT (RFC 9068 §2.2); custom claims stand beside them. */
export interface AatClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: string
  readonly client_id: string
  readonly iat: NumericDate
  readonly exp: NumericDate
  readonly jti: string
  readonly scope: string
  /** When the user authenticated; absent where no user is involved. */
  readonly auth_time?: NumericDate
  readonly acr?: string
  readonly amr?: readonly string[]
  /** The authorization that the token descends from; absent for client credentials. */
  readonly grant_id?: string
  /** When that authorization was given: revoking all of a user or a client ends the tokens of older ones. */
  readonly grant_iat?: NumericDate
  /** The session at the identity provider that bounds the token, and that provider's user: hashes, for revocations. */
  readonly sid?: string
  readonly idp_sub?: string
  /** When the user signed in with that session: an end of all sessions of a user is one of those that began before. */
  readonly idp_iat?: NumericDate
  /** What it is bound to (RFC 9449 §6, RFC 8705 §3.1); absent: a bearer token. */
  readonly cnf?: Confirmation
}

/** Claims that a hook cannot set: the registered ones that this library generates, and those with security meaning. */
export const reservedClaims: ReadonlySet<string> = new Set([
  'iss',
  'sub',
  'aud',
  'client_id',
  'iat',
  'nbf',
  'exp',
  'jti',
  'scope',
  'auth_time',
  'acr',
  'amr',
  'grant_id',
  'grant_iat',
  'cnf',
  'act',
  'may_act',
  'sid',
  'idp_sub',
  'idp_iat',
  'azp',
  'typ',
  '__proto__',
])

export interface Signer {
  readonly kid: string
  readonly alg: SigningAlgorithm
  readonly privateKey: KeyObject
}

/** Signs claims as an AAT: header exactly `alg`, `typ`, `kid`. */
export function signAccessToken(
  claims: AatClaims & Record<string, unknown>,
  signer: Signer,
): string | Promise<string> {
  return signJwt(ACCESS_TOKEN_TYPE, claims, signer)
}

interface Header extends Pick<Signer, 'alg' | 'kid'> {
  readonly segment: string
}

/** The header's segment, by key and type: once for each is enough. */
const headers = new WeakMap<KeyObject, Map<string, Header>>()

function headerOf(typ: string, { alg, kid, privateKey }: Signer): string {
  const ofKey = headers.get(privateKey)
  const known = ofKey?.get(typ)
  if (known?.kid === kid && known.alg === alg) return known.segment
  const segment = Buffer.from(JSON.stringify({ alg, typ, kid })).toString('base64url')
  headers.set(privateKey, (ofKey ?? new Map<string, Header>()).set(typ, { alg, kid, segment }))
  return segment
}

/**
 * A compact JWS whose header is exactly `alg`, `typ`, `kid`. The type is what tells one kind of JWT from another.
 * @returns no promise where the signature is made at once
 */
export function signJwt(typ: string, claims: object, signer: Signer): string | Promise<string> {
  const input = `${headerOf(typ, signer)}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`
  const signed = signWith(signer.alg, signer.privateKey, Buffer.from(input, 'latin1'))
  const withSignature = (signature: Buffer) => `${input}.${signature.toString('base64url')}`
  return Buffer.isBuffer(signed) ? withSignature(signed) : signed.then(withSignature)
}

export interface ClaimRules {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly now: NumericDate
  /** Seconds by which clocks may differ. */
  readonly tolerance: number
  /** The longest `exp - iat` that is believed, in seconds. */
  readonly maxLifetime: number
}

/**
 * Reads a verified payload by RFC 9068 §4 and RFC 8725: every required claim, of the right JSON type, and believable.
 * @returns the claims, or why not (for events, never for the client).
 */
export function readClaims(
  payload: Uint8Array,
  rules: ClaimRules,
): { readonly claims: AatClaims & Record<string, unknown> } | { readonly problem: string } {
  const text = decodeUtf8(payload)
  const claims = text === undefined ? undefined : parseJsonObject(text)
  if (claims === undefined) return { problem: 'payload is not a JSON object in UTF-8' }
  const {
    iss,
    sub,
    aud,
    client_id,
    iat,
    exp,
    nbf,
    jti,
    scope,
    auth_time,
    acr,
    amr,
    grant_id,
    grant_iat,
    sid,
    idp_sub,
    idp_iat,
    cnf,
  } = claims
  if (iss !== rules.issuer) return { problem: 'iss' }
  const named: unknown = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud
  const audience = rules.audiences.find((each) => each === named)
  if (audience === undefined) return { problem: 'aud' }
  if (!isName(sub) || !isName(client_id) || !isName(jti)) return { problem: 'sub, client_id or jti' }
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) return { problem: 'iat or exp' }
  const [issuedAt, expiresAt] = [iat as number, exp as number]
  if (expiresAt <= issuedAt || expiresAt - issuedAt > rules.maxLifetime) return { problem: 'lifetime' }
  if (rules.now >= expiresAt + rules.tolerance) return { problem: 'expired' }
  if (issuedAt > rules.now + rules.tolerance) return { problem: 'issued in the future' }
  if (nbf !== undefined && (typeof nbf !== 'number' || nbf > rules.now + rules.tolerance))
    return { problem: 'nbf' }
  if (
    scope !== undefined &&
    (typeof scope !== 'string' || (scope !== '' && !scope.split(' ').every(isScopeToken)))
  )
    return { problem: 'scope' }
  if (auth_time !== undefined && !Number.isFinite(auth_time)) return { problem: 'auth_time' }
  if (acr !== undefined && typeof acr !== 'string') return { problem: 'acr' }
  if (amr !== undefined && !(Array.isArray(amr) && amr.every((method) => typeof method === 'string')))
    return { problem: 'amr' }
  if (grant_id !== undefined && !isName(grant_id)) return { problem: 'grant_id' }
  if (grant_iat !== undefined && !Number.isFinite(grant_iat)) return { problem: 'grant_iat' }
  if ((sid !== undefined && !isName(sid)) || (idp_sub !== undefined && !isName(idp_sub)))
    return { problem: 'sid or idp_sub' }
  if (idp_iat !== undefined && !Number.isFinite(idp_iat)) return { problem: 'idp_iat' }
  if (cnf !== undefined && readConfirmation(cnf) === undefined) return { problem: 'cnf' }
  // The rules' own strings: of tokens by the thousand each would hold another copy. In place: V8 gives every frozen copy of an
  // object a hidden class of its own, and then each token is a new shape to all who read its claims.
  claims.iss = rules.issuer
  claims.aud = audience
  claims.scope = scope ?? ''
  return { claims: claims as AatClaims & Record<string, unknown> }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0
}
