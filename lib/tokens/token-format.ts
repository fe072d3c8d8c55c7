import { decodeBase64url } from '../protocol/encoding.ts'

/**
 * How codes, refresh tokens, opaque and initial access tokens and nonces look on the wire: a prefix that secret scanners
 * can find (a nonce has none), and so many bytes.
 */
export function tokenFormat(prefix: string, size: number) {
  const pattern = new RegExp(`^${prefix}[A-Za-z0-9_-]{${Math.ceil((size * 4) / 3)}}$`)
  return {
    write: (bytes: Buffer) => prefix + bytes.toString('base64url'),
    /** The bytes of a token in its one canonical spelling, or `undefined`. */
    read(text: string): Buffer | undefined {
      if (!pattern.test(text)) return undefined
      return decodeBase64url(text.slice(prefix.length))
    },
  }
}

/** A grant id is 16 bytes. */
export const GRANT_ID_BYTES = 16
/** HMAC-SHA256 truncated to 128 bits: a forger's chance is 2^-128 a try, and each try costs one HMAC and no store call. */
export const TAG_BYTES = 16
