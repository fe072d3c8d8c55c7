import { type Sha256, sameHash, sha256 } from '../protocol/digest.ts'
import { decodeBase64url } from '../protocol/encoding.ts'
import { normalizeHttpUri } from '../protocol/http-uri.ts'
import { verifyLater } from '../protocol/jwa.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { DpopNonces } from './dpop-nonce.ts'
import { readJsonSegment, readProofKey, rememberProofKey } from './proof-key.ts'

/** Characters. One with an RSA key of 4096 bits has some 2,600. */
const MAX_PROOF = 4096
const MAX_JTI = 256
/** How far a client's clock may be off, in seconds. */
const OFF = 30
/** How far the clocks of instances and of the store may differ, in seconds: a `jti` must not be forgotten while it is taken. */
const REMEMBERED_LONGER = 60

/** What a proof must say (RFC 9449 §4.3). */
export interface ProofRules {
  readonly method: string
  /** The address as the configuration has it, normalised; several where a proxy may have taken a part of the path. */
  readonly uris: readonly string[]
  readonly now: NumericDate
  /** Seconds that a proof without nonce is good for after its `iat`. */
  readonly lifetime: number
  /** Where nonces are demanded. */
  readonly nonces: DpopNonces | undefined
  /** The access token that stands beside the proof; absent at the token endpoint. */
  readonly accessToken?: string
}

export interface VerifiedProof {
  /** Thumbprint of its key. */
  readonly jkt: string
  /** What has to be claimed, once: nobody may use the proof again. */
  readonly claim: { readonly key: Sha256; readonly until: NumericDate }
}

/** Why a proof is none: `wantsNonce` where another one with our nonce may be. */
export interface ProofProblem {
  readonly problem: string
  readonly wantsNonce?: true
}

interface ParsedProof {
  readonly headerText: string
  readonly claims: Record<string, unknown>
  readonly signingInput: Buffer
  readonly signature: Buffer
}

/**
 * Verifies a DPoP proof (RFC 9449 §4.3), all but that it was not used before. The claims come ahead of key and signature, which
 * cost most and vouch for nothing but themselves.
 * @returns the problem is for events, never for the client
 */
export async function verifyDpopProof(
  text: string,
  rules: ProofRules,
): Promise<VerifiedProof | ProofProblem> {
  const proof = parseProof(text)
  if ('problem' in proof) return proof
  const { htm, htu, iat, jti, nonce, ath, exp, nbf } = proof.claims
  if (typeof jti !== 'string' || jti === '' || jti.length > MAX_JTI) return { problem: 'jti' }
  if (htm !== rules.method) return { problem: 'htm is another method' }
  const uri = normalizeHttpUri(htu)
  if (uri === undefined || !rules.uris.includes(uri)) return { problem: 'htu is another address' }
  if (rules.accessToken !== undefined && !isHashOf(ath, rules.accessToken))
    return { problem: 'ath is not of this access token' }
  // Nothing asks for these; what is there holds (RFC 7519 §4.1.4 and §4.1.5).
  if (exp !== undefined && !(typeof exp === 'number' && rules.now < exp + OFF)) return { problem: 'exp' }
  if (nbf !== undefined && !(typeof nbf === 'number' && nbf <= rules.now + OFF)) return { problem: 'nbf' }
  if (typeof iat !== 'number' || !Number.isFinite(iat)) return { problem: 'iat' }
  // A nonce tells the server's own time, whatever the client's clock says (§4.3 number 11).
  const until =
    rules.nonces === undefined
      ? goodUntil(iat, rules)
      : typeof nonce === 'string'
        ? rules.nonces.goodUntil(nonce, rules.now)
        : undefined
  if (until === undefined)
    return rules.nonces === undefined
      ? { problem: 'iat is too long ago, or in the future' }
      : {
          problem: nonce === undefined ? 'there is no nonce' : 'nonce is not a current one',
          wantsNonce: true,
        }
  const read = readProofKey(proof.headerText)
  if ('problem' in read) return read
  const { alg, key: publicKey, jkt } = read
  if (!(await verifyLater(alg, publicKey, proof.signingInput, proof.signature)))
    return { problem: 'signature' }
  rememberProofKey(proof.headerText, read)
  const key = sha256(JSON.stringify(['dpop', jkt, jti]))
  return { jkt, claim: { key, until: Math.ceil(until) + REMEMBERED_LONGER } }
}

function goodUntil(iat: NumericDate, { now, lifetime }: ProofRules): NumericDate | undefined {
  return iat <= now + OFF && now < iat + lifetime ? iat + lifetime : undefined
}

function isHashOf(ath: unknown, accessToken: string): boolean {
  return typeof ath === 'string' && sameHash(ath as Sha256, sha256(accessToken))
}

/** Form: a compact JWS of which nothing is verified yet. */
function parseProof(text: string): ParsedProof | ProofProblem {
  const match =
    text.length <= MAX_PROOF ? /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(text) : null
  if (match === null) return { problem: 'not a compact JWS, or too long' }
  const [, headerText = '', payloadText = '', signatureText = ''] = match
  const claims = readJsonSegment(payloadText)
  const signature = decodeBase64url(signatureText)
  if (claims === undefined || signature === undefined)
    return { problem: 'not canonical base64url of JSON objects' }
  const signingInput = Buffer.from(text.slice(0, headerText.length + 1 + payloadText.length))
  return { headerText, claims, signingInput, signature }
}
