import { hash, timingSafeEqual } from 'node:crypto'

/** SHA-256 in base64url: how a secret rests in a store. A type of its own, so a secret cannot take its place. */
export type Sha256 = string & { readonly sha256: true }

/** SHA-256 of a text (as UTF-8) or of bytes. */
export function sha256(data: string | Uint8Array): Sha256 {
  return hash('sha256', data, 'base64url') as Sha256
}

/**
 * The first 128 bits of SHA-256, base64url: how refresh tokens rest in a store. What is hashed has 128 random bits, so
 * more of the hash would guard nothing more, and a store has as many of these as there are families.
 */
export type TokenHash = Sha256 & { readonly bits: 128 }

export function tokenHash(data: string | Uint8Array): TokenHash {
  // By way of a text: that is half the cost of a buffer of its own.
  return Buffer.from(hash('sha256', data, 'binary'), 'latin1').toString('base64url', 0, 16) as TokenHash
}

/**
 * SHA-256 of an access token as it was presented, one character for each byte: how what was seen of it, good or not, is found
 * again in memory. No other token and no other spelling of this one has it.
 */
export type TokenKey = string & { readonly tokenKey: true }

export function tokenKey(token: string): TokenKey {
  return hash('sha256', token, 'binary') as TokenKey
}

/**
 * Compares two hashes in constant time. The inputs are always hashes, or said to be, never the secrets themselves, so
 * lengths tell nothing.
 */
export function sameHash(a: Sha256, b: Sha256): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && timingSafeEqual(left, right)
}
