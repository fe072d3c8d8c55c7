import type { KeyObject } from 'node:crypto'
import { decodeBase64url, decodeUtf8, parseJsonObject } from '../protocol/encoding.ts'
import { algorithms, fitsAlgorithm, type SigningAlgorithm } from '../protocol/jwa.ts'
import { readPublicJwk, thumbprintOf } from '../protocol/public-jwk.ts'

/** JWS algorithms of proofs (RFC 9449 §5.1); `Ed25519` is EdDSA by its new name (RFC 9864). */
export const proofAlgorithms = [...(Object.keys(algorithms) as SigningAlgorithm[]), 'Ed25519'] as const

/** The key that a proof is signed with, as its header has it. */
export interface ProofKey {
  readonly alg: SigningAlgorithm
  readonly key: KeyObject
  /** Its thumbprint (RFC 7638). */
  readonly jkt: string
}

/** Half of the keys that are remembered. */
const MAX_YOUNG = 500
let [young, old] = [new Map<string, ProofKey>(), new Map<string, ProofKey>()]

/**
 * Keeps the key of a good proof: all proofs of a client have the same header, and reading a key takes longer than a verification
 * with one that was used before. Of two halves the older goes, so keys in use stay.
 */
export function rememberProofKey(headerText: string, { alg, key, jkt }: ProofKey): void {
  if (young.has(headerText)) return
  if (young.size >= MAX_YOUNG) [young, old] = [new Map(), young]
  young.set(headerText, { alg, key, jkt })
}

/**
 * Reads the header of a proof (RFC 9449 §4.2): `typ`, `alg` and a public `jwk` that fits, and no extension that must be understood.
 * @param headerText base64url
 */
export function readProofKey(headerText: string): ProofKey | { readonly problem: string } {
  return young.get(headerText) ?? old.get(headerText) ?? readHeader(headerText)
}

function readHeader(headerText: string): ProofKey | { readonly problem: string } {
  const header = readJsonSegment(headerText)
  if (header === undefined) return { problem: 'not canonical base64url of a JSON object' }
  if (typeof header.typ !== 'string' || header.typ.toLowerCase() !== 'dpop+jwt') return { problem: 'typ' }
  if ('crit' in header || 'b64' in header) return { problem: 'an extension' }
  const { alg: name, jwk } = header
  if (!(proofAlgorithms as readonly unknown[]).includes(name)) return { problem: 'alg' }
  const alg = name === 'Ed25519' ? 'EdDSA' : (name as SigningAlgorithm)
  const read = readPublicJwk(jwk)
  if ('problem' in read) return { problem: `jwk ${read.problem}` }
  if (!fitsAlgorithm(alg, read.key)) return { problem: 'jwk is of another algorithm' }
  const jkt = thumbprintOf(read.key, jwk as Record<string, unknown>)
  if (jkt === undefined) return { problem: 'jwk is not in its one spelling' }
  return { alg, key: read.key, jkt }
}

/** A JSON object in canonical base64url. */
export function readJsonSegment(segment: string): Record<string, unknown> | undefined {
  const bytes = decodeBase64url(segment)
  const text = bytes && decodeUtf8(bytes)
  return text === undefined ? undefined : parseJsonObject(text)
}
