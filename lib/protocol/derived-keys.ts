import { createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'
import { hmac, hmacText } from './hmac.ts'

/**
 * What one configured secret becomes: a key for each purpose (HKDF-SHA256, RFC 5869). What one of them makes of several
 * kinds the labels of `mac` keep apart. `id` names the secret in records without telling anything of it.
 */
export interface DerivedKeys {
  readonly id: string
  /** Tags codes and opaque access tokens: a forgery costs one HMAC and no store call. */
  readonly tag: KeyObject
  /** Tags a refresh token and derives it from its predecessor, the first from its code. */
  readonly succession: KeyObject
  /** Wraps the data keys that seal the private halves of the key ring. */
  readonly sealing: KeyObject
  /** Proves that a record of the key ring is ours. */
  readonly proof: KeyObject
  /** Ties a consent form to its request and its user. */
  readonly form: KeyObject
  /** Tags the nonces of DPoP proofs. */
  readonly nonce: KeyObject
  /** Seals ids that describe their clients, and derives what such a client is given. */
  readonly registration: KeyObject
}

export function deriveKeys(secret: string): DerivedKeys {
  // Not as a small Buffer: the memory of those is shared with the app's.
  const bytes = new TextEncoder().encode(secret)
  const derive = (purpose: string, size = 32) =>
    Buffer.from(hkdfSync('sha256', bytes, '', `express-aat/1/${purpose}`, size))
  return {
    id: derive('id', 6).toString('base64url'),
    tag: createSecretKey(derive('tag')),
    succession: createSecretKey(derive('succession')),
    sealing: createSecretKey(derive('sealing')),
    proof: createSecretKey(derive('proof')),
    form: createSecretKey(derive('form')),
    nonce: createSecretKey(derive('nonce')),
    registration: createSecretKey(derive('registration')),
  }
}

/**
 * HMAC-SHA256 over a label and parts. No label of a key begins another of the same key, and under one label only the
 * last part's length varies, so they need no separators.
 */
export function mac(key: KeyObject, label: string, ...parts: (Uint8Array | string)[]): Buffer {
  return hmac(key, [label, ...parts])
}

/** The same in base64url. */
export function macText(key: KeyObject, label: string, ...parts: (Uint8Array | string)[]): string {
  return hmacText(key, [label, ...parts])
}

/** Constant-time comparison of a tag; a tag of another length is no tag. */
export function sameTag(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
