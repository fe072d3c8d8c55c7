import type { KeyObject } from 'node:crypto'
import { decodeBase64url, decodeUtf8, parseJsonObject } from '../protocol/encoding.ts'
import { algorithms, type SigningAlgorithm } from '../protocol/jwa.ts'

/**
 * The longest access token that is looked at, in characters. Tokens that this library issues stay under
 * `MAX_ISSUED_TOKEN`; the margin is for other issuers' RFC 9068 tokens.
 */
export const MAX_TOKEN = 8192

export interface JwsHeader {
  readonly alg: SigningAlgorithm
  readonly typ: string
  readonly kid: string
}

export interface ParsedJws {
  readonly header: JwsHeader
  readonly signingInput: Buffer
  readonly payload: Buffer
  readonly signature: Buffer
}

/** The header's segment, by which headers are remembered; empty where there is none. */
export function headerSegmentOf(token: string): string {
  return token.slice(0, Math.max(0, token.indexOf('.')))
}

/**
 * Reads a compact JWS (RFC 7515 §7.1) strictly: three canonical base64url segments.
 * @param header where it was read before
 * @returns the parts, or why not (for events, never for the client).
 */
export function parseCompactJws(
  token: string,
  header = readJwsHeader(headerSegmentOf(token)),
): ParsedJws | { readonly problem: string } {
  if (token.length > MAX_TOKEN) return { problem: 'too long' }
  if (header === undefined) return { problem: 'the header is not exactly alg, typ and kid' }
  const first = token.indexOf('.')
  const second = token.indexOf('.', first + 1)
  const payload = decodeBase64url(token.slice(first + 1, second))
  const signature = decodeBase64url(token.slice(second + 1))
  // A third dot is no character of base64url.
  if (second < 0 || !payload?.length || !signature?.length) return { problem: 'not canonical base64url' }
  return { header, payload, signature, signingInput: Buffer.from(token.slice(0, second), 'latin1') }
}

/**
 * Reads the header of a compact JWS strictly: exactly `alg`, `typ`, `kid` in compact JSON. So there is no `none`, `crit`, `b64`,
 * `jku`, `jwk`, `x5u` or `x5c` to handle, no duplicate member and no second spelling.
 */
export function readJwsHeader(segment: string): JwsHeader | undefined {
  const bytes = segment.length <= 512 ? decodeBase64url(segment) : undefined
  const text = bytes && decodeUtf8(bytes)
  const header = text === undefined ? undefined : parseJsonObject(text)
  // One serialisation only: duplicates, white space, escapes and a byte order mark all make another text.
  if (header === undefined || JSON.stringify(header) !== text || Object.keys(header).length !== 3)
    return undefined
  const { alg, typ, kid } = header
  if (
    typeof alg !== 'string' ||
    !Object.hasOwn(algorithms, alg) ||
    typeof typ !== 'string' ||
    typeof kid !== 'string' ||
    kid === ''
  )
    return undefined
  return { alg: alg as SigningAlgorithm, typ, kid }
}

/** A key that may verify, with the one algorithm that it is used with. */
export interface VerificationKey {
  readonly alg: SigningAlgorithm
  readonly publicKey: KeyObject
}
