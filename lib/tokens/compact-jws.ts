import type { KeyObject } from 'node:crypto'
import { decodeBase64url, decodeUtf8, parseJsonObject } from '../protocol/encoding.ts'
import { algorithms, type SigningAlgorithm, verifyWith } from '../protocol/jwa.ts'

/**
 * The longest access token that is looked at, in characters. Tokens that this library issues stay under
 * `MAX_ISSUED_TOKEN`; the margin is for other issuers' RFC 9068 tokens.
 */
export const MAX_TOKEN = 8192

export interface ParsedJws {
  readonly header: { readonly alg: SigningAlgorithm; readonly typ: string; readonly kid: string }
  readonly signingInput: Buffer
  readonly payload: Buffer
  readonly signature: Buffer
}

/**
 * Reads a compact JWS (RFC 7515 §7.1) strictly: three canonical base64url segments and a header that is exactly
 * `alg`, `typ`, `kid` in compact JSON. So there is no `none`, `crit`, `b64`, `jku`, `jwk`, `x5u` or `x5c` to handle, no
 * duplicate member and no second spelling. The payload is not parsed before its signature is verified.
 * @returns the parts, or why not (for events, never for the client).
 */
export function parseCompactJws(token: string): ParsedJws | { readonly problem: string } {
  if (token.length > MAX_TOKEN) return { problem: 'too long' }
  const match = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(token)
  if (match === null) return { problem: 'not a compact JWS' }
  const [, headerText = '', payloadText = '', signatureText = ''] = match
  const header = readHeader(headerText)
  if (header === undefined) return { problem: 'header is not exactly alg, typ and kid' }
  const payload = decodeBase64url(payloadText)
  const signature = decodeBase64url(signatureText)
  if (payload === undefined || signature === undefined) return { problem: 'not canonical base64url' }
  return {
    header,
    payload,
    signature,
    signingInput: Buffer.from(token.slice(0, headerText.length + 1 + payloadText.length)),
  }
}

function readHeader(segment: string): ParsedJws['header'] | undefined {
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

/** Verifies with the key's own algorithm; a header that names another one is refused before any cryptography. */
export async function verifyJws(jws: ParsedJws, key: VerificationKey): Promise<boolean> {
  return jws.header.alg === key.alg && verifyWith(key.alg, key.publicKey, jws.signingInput, jws.signature)
}
