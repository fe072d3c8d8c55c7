import type { Aat } from '../http/aat.ts'
import { parseJsonObject } from '../protocol/encoding.ts'
import { ConfigurationError } from '../protocol/options.ts'
import { MAX_TOKEN } from '../tokens/compact-jws.ts'
import { isOpaqueForm } from '../tokens/opaque-access-token.ts'
import { sourceOfLocal } from './local-issuer.ts'
import { type RemoteIssuer, sourceOfRemote } from './remote-issuer.ts'
import type { TokenSource } from './token-source.ts'

/** @throws ConfigurationError or TypeError where one of them is no issuer, or where there are two of one name */
export function sourcesOf(issuers: Aat | RemoteIssuer | readonly (Aat | RemoteIssuer)[]): TokenSource[] {
  const list = Array.isArray(issuers) ? issuers : [issuers]
  const sources = list.map((issuer) => sourceOfRemote(issuer) ?? sourceOfLocal(issuer as Aat))
  if (sources.length === 0) throw new ConfigurationError('requireAat', ['there must be an issuer'])
  if (new Set(sources.map(({ issuer }) => issuer)).size !== sources.length)
    throw new ConfigurationError('requireAat', ['the issuers must have different names'])
  return sources
}

/**
 * Of several issuers, the one that a token says it is from; of an opaque token, the one that
 * knows it as its own, else the first that may ask: nobody is shown the token of another who is here. That nobody has verified yet: it only chooses who is asked, who
 * then looks whether it is true.
 */
export function pickSource(sources: readonly TokenSource[]): (token: string) => TokenSource | undefined {
  const [only] = sources
  if (sources.length === 1) return () => only
  const byIssuer = new Map(sources.map((source) => [source.issuer, source]))
  return (token) => {
    if (isOpaqueForm(token)) return sourceOfOpaque(sources, token)
    const [, payload] = token.length <= MAX_TOKEN ? token.split('.', 2) : []
    const claims = parseJsonObject(Buffer.from(payload ?? '', 'base64url').toString())
    return typeof claims?.iss === 'string' ? byIssuer.get(claims.iss) : undefined
  }
}

function sourceOfOpaque(sources: readonly TokenSource[], token: string): TokenSource | undefined {
  let mayAsk: TokenSource | undefined
  for (const source of sources) {
    const isIts = source.knowsOpaque(token)
    if (isIts === true) return source
    if (isIts === undefined) mayAsk ??= source
  }
  return mayAsk
}
