import { createHash, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { forge } from './forge.ts'
import type { ManualClock } from './world.ts'

/** A client's DPoP key, and proofs signed with it. */
export async function dpopKey(
  clock: ManualClock,
  { alg = 'ES256', pair = generateKeyPairSync('ec', { namedCurve: 'P-256' }) }: DpopKeyOptions = {},
) {
  const jwk = pair.publicKey.export({ format: 'jwk' })
  return {
    ...pair,
    jwk,
    jkt: await calculateJwkThumbprint(jwk as JWK),
    /** A good proof; `undefined` in `claims` or `header` leaves a member out. */
    proof(
      htm: string,
      htu: string,
      claims: Record<string, unknown> = {},
      header: Record<string, unknown> = {},
    ): string {
      return forge(
        { typ: 'dpop+jwt', alg, jwk, ...header },
        { jti: randomUUID(), htm, htu, iat: Math.floor(clock()), ...claims },
        String(header.alg ?? alg),
        pair.privateKey,
      )
    },
  }
}
export type DpopKey = Awaited<ReturnType<typeof dpopKey>>

interface DpopKeyOptions {
  alg?: string
  pair?: { publicKey: KeyObject; privateKey: KeyObject }
}

/** The `ath` of an access token (RFC 9449 §4.2). */
export function athOf(accessToken: string): string {
  return createHash('sha256').update(accessToken).digest('base64url')
}

/** JWS algorithms of proofs, as metadata names them. */
export const PROOF_ALGORITHMS = ['ES256', 'ES384', 'ES512', 'RS256', 'PS256', 'EdDSA', 'Ed25519']

/** What every 401 of a guard offers beside Bearer. */
export const DPOP_CHALLENGE = `DPoP algs="${PROOF_ALGORITHMS.join(' ')}"`
