import { type TokenHash, tokenHash } from './digest.ts'
import { isObject } from './encoding.ts'

/**
 * What an access token is bound to (`cnf`, RFC 7800 §3.1): who presents it must prove to have that. With both members, both
 * must be proven.
 */
export interface Confirmation {
  /** Thumbprint of the key of DPoP proofs (RFC 9449 §6.1). */
  readonly jkt?: string
  /** SHA-256 of the client's certificate (RFC 8705 §3.1). */
  readonly 'x5t#S256'?: string
}

/** The thumbprint of a key or certificate: SHA-256, base64url. */
export function isThumbprint(value: unknown): boolean {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(value)
}

/** A `cnf` claim of which every member is understood, or `undefined`: what cannot be checked must not be taken for met. */
export function readConfirmation(value: unknown): Confirmation | undefined {
  if (!isObject(value)) return undefined
  const names = Object.keys(value)
  const isUnderstood = names.every((name) => ['jkt', 'x5t#S256'].includes(name) && isThumbprint(value[name]))
  return names.length > 0 && isUnderstood ? (value as Confirmation) : undefined
}

/** What a refresh token of a public client is bound to, as it rests in a store. */
export function boundToOf({ jkt, 'x5t#S256': x5t }: Confirmation): TokenHash {
  return tokenHash(JSON.stringify([jkt ?? '', x5t ?? '']))
}
