import type { Request, Response } from 'express'
import type { Sender } from '../grants/grant-type.ts'
import type { AatParts } from '../http/aat.ts'
import { countHeader } from '../http/headers.ts'
import type { Confirmation } from '../protocol/confirmation.ts'
import { normalizeHttpUri } from '../protocol/http-uri.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Client } from '../stores/ports.ts'
import { type ProofProblem, type VerifiedProof, verifyDpopProof } from '../tokens/dpop-proof.ts'

/** Who proves nothing, and need not. */
const anybody: Sender = { confirm: () => undefined, use: () => undefined }

/** Who sends a request to the token endpoint, by its DPoP proof (RFC 9449 §5) and certificate (RFC 8705 §3). */
export function createSenders(parts: AatParts) {
  const { dpop, stores, clock, emit, endpoints, readCertificate } = parts
  const uris = [normalizeHttpUri(endpoints.token) as string]

  function refusalOf(client: Client, { problem, wantsNonce }: ProofProblem): OAuthError {
    if (wantsNonce)
      return new OAuthError('use_dpop_nonce', 'the DPoP proof needs the nonce of DPoP-Nonce', {
        cause: problem,
      })
    emit('dpop_proof.refused', { at: 'token', clientId: client.id, reason: problem })
    return new OAuthError('invalid_dpop_proof', 'the DPoP proof is not good (RFC 9449 section 4.3)', {
      cause: problem,
    })
  }

  async function readProof(req: Request): Promise<VerifiedProof | ProofProblem> {
    if (countHeader(req.rawHeaders, 'dpop') > 1) return { problem: 'there is more than one' }
    const { method, headers } = req
    const { nonces, proofLifetime: lifetime } = dpop
    return verifyDpopProof(String(headers.dpop), { method, uris, now: clock(), lifetime, nonces })
  }

  function certificateOf(req: Request, client: Client): Confirmation {
    if (client.tlsClientCertificateBoundAccessTokens !== true) return {}
    const thumbprint = readCertificate?.(req)
    if (thumbprint === undefined)
      throw new OAuthError('invalid_request', 'a client certificate is needed (RFC 8705 section 3)')
    return { 'x5t#S256': thumbprint }
  }

  return function senderOf(req: Request, res: Response, client: Client): Sender {
    const isThere = req.headers.dpop !== undefined
    const isNeeded = dpop.required || client.dpopBoundAccessTokens === true
    let claim: VerifiedProof['claim'] | undefined
    if (dpop.nonces !== undefined && (isThere || isNeeded))
      res.setHeader('DPoP-Nonce', dpop.nonces.current(clock()))
    if (!isThere && !isNeeded && client.tlsClientCertificateBoundAccessTokens !== true) return anybody
    return {
      async confirm() {
        const certificate = certificateOf(req, client)
        if (!isThere && !isNeeded) return certificate
        if (!isThere)
          throw new OAuthError('invalid_dpop_proof', 'a DPoP proof is needed (RFC 9449 section 5)')
        const proof = await readProof(req)
        if ('problem' in proof) throw refusalOf(client, proof)
        claim = proof.claim
        return { jkt: proof.jkt, ...certificate }
      },
      async use() {
        if (claim !== undefined && (await stores.replays.claim(claim.key, claim.until)) === 'seen')
          throw refusalOf(client, { problem: 'used before' })
      },
    }
  }
}
