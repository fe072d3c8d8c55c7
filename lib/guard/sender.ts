import type { Request } from 'express'
import type { ReadCertificate } from '../http/client-certificate.ts'
import { countHeader } from '../http/headers.ts'
import { normalizeHttpUri } from '../protocol/http-uri.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { ReplayStore } from '../stores/ports.ts'
import type { DpopNonces } from '../tokens/dpop-nonce.ts'
import { type ProofProblem, type VerifiedProof, verifyDpopProof } from '../tokens/dpop-proof.ts'
import type { Verified } from '../tokens/verified.ts'

/** What a source knows of those who present its tokens. */
export interface SenderRules {
  /** Nothing but tokens that are bound to a key is issued. */
  readonly required: boolean
  readonly replays: ReplayStore
  /** Where nonces are demanded. */
  readonly nonces: DpopNonces | undefined
  /** Seconds. */
  readonly proofLifetime: number
  /** Absent where nobody tells certificates: tokens that are bound to one are good nowhere. */
  readonly readCertificate: ReadCertificate | undefined
  readonly onRefusedProof: (reason: string, clientId: string) => void
}

type Asked = Pick<Request, 'headers' | 'rawHeaders' | 'method' | 'originalUrl'>

/** Why a request is not from whom its token is bound to. */
export type SenderProblem = 'otherKey' | 'badProof' | 'noNonce'

/** May a token be presented in this scheme, over this connection? A bound one is no bearer token (RFC 9449 §7.1, RFC 8705 §3). */
export function isRightlyPresented(
  { claims: { cnf } }: Verified,
  isDpop: boolean,
  { readCertificate }: SenderRules,
  req: Request,
): boolean {
  if ((cnf?.jkt !== undefined) !== isDpop) return false
  const x5t = cnf?.['x5t#S256']
  if (x5t === undefined) return true
  try {
    return readCertificate?.(req) === x5t
  } catch (error) {
    if (error instanceof OAuthError) return false
    throw error
  }
}

/**
 * The addresses of a request as its client may have written them (RFC 9449 §4.3): on the origin of the configured resource, with
 * the path that arrived, behind as much of the resource's path as a proxy may have taken away. `Host` has no say.
 */
export function addressesUnder(resource: string): (originalUrl: string) => string[] {
  const { origin, pathname } = new URL(resource)
  const segments = pathname.split('/').filter((segment) => segment !== '')
  const prefixes = [
    origin,
    ...segments.map((_, index) => `${origin}/${segments.slice(0, index + 1).join('/')}`),
  ]
  return (originalUrl) => {
    const path = originalUrl.startsWith('/') ? originalUrl : originalUrl.replace(/^https?:\/\/[^/?#]*/i, '')
    return prefixes.flatMap((prefix) => normalizeHttpUri(prefix + path) ?? [])
  }
}

/** Checks the proof of a request with a bound token (RFC 9449 §4.3 and §7), and uses it up: the last step that can refuse. */
export async function problemOfSender(
  { token, claims }: Verified,
  req: Asked,
  uris: readonly string[],
  now: number,
  rules: SenderRules,
): Promise<SenderProblem | undefined> {
  const proof = await readProof(token, req, uris, now, rules)
  if ('problem' in proof) {
    if (proof.wantsNonce) return 'noNonce'
    rules.onRefusedProof(proof.problem, claims.client_id)
    return 'badProof'
  }
  if (proof.jkt !== claims.cnf?.jkt) {
    rules.onRefusedProof('another key than the token is bound to', claims.client_id)
    return 'otherKey'
  }
  if ((await rules.replays.claim(proof.claim.key, proof.claim.until)) === 'fresh') return undefined
  rules.onRefusedProof('used before', claims.client_id)
  return 'badProof'
}

async function readProof(
  accessToken: string,
  { headers, rawHeaders, method }: Asked,
  uris: readonly string[],
  now: number,
  { nonces, proofLifetime: lifetime }: SenderRules,
): Promise<VerifiedProof | ProofProblem> {
  const { dpop } = headers
  if (typeof dpop !== 'string' || countHeader(rawHeaders, 'dpop') > 1)
    return { problem: dpop === undefined ? 'there is none' : 'there is more than one' }
  return verifyDpopProof(dpop, { method, uris, now, lifetime, nonces, accessToken })
}
