import { X509Certificate } from 'node:crypto'
import type { Request } from 'express'
import { isThumbprint } from '../protocol/confirmation.ts'
import { sha256 } from '../protocol/digest.ts'
import { decodeBase64 } from '../protocol/encoding.ts'
import { silence } from '../protocol/hooks.ts'
import { OAuthError } from '../protocol/oauth-error.ts'

/**
 * Tells the certificate that the client proved to have in the TLS handshake (RFC 8705 §3), here or at a proxy: as an
 * `X509Certificate`, as DER, or as text: PEM, percent-encoded PEM (nginx's `$ssl_client_escaped_cert`), `Client-Cert` of RFC 9440, or
 * its SHA-256 (base64url, or hexadecimal with or without colons). `undefined` or an empty text where there is none.
 */
export type ClientCertificate = (req: Request) => X509Certificate | Uint8Array | string | undefined | null

/** The `x5t#S256` of a request's certificate. */
export type ReadCertificate = (req: Request) => string | undefined

/** PEM of the longest chain that is worth reading, in characters. */
const MAX_TEXT = 16_384

/**
 * Reads what the app's hook says.
 * @returns a function that throws OAuthError for what is no certificate, TypeError for what a hook must not return
 */
export function certificateReader(hook: ClientCertificate): ReadCertificate {
  return (req) => {
    const given = hook(req)
    if (given === undefined || given === null || given === '') return undefined
    if (typeof given !== 'string' && !(given instanceof X509Certificate) && !ArrayBuffer.isView(given)) {
      silence(given)
      throw new TypeError('clientCertificate must return an X509Certificate, bytes or a text, and no promise')
    }
    const thumbprint = typeof given === 'string' ? ofText(given) : ofBytes(given)
    if (thumbprint === undefined)
      throw new OAuthError('invalid_request', 'the client certificate cannot be read')
    return thumbprint
  }
}

function ofText(text: string): string | undefined {
  if (text.length > MAX_TEXT) return undefined
  if (isThumbprint(text)) return text
  const hex = text.replaceAll(':', '')
  if (/^[0-9a-f]{64}$/i.test(hex)) return Buffer.from(hex, 'hex').toString('base64url')
  const base64 = /^:([A-Za-z0-9+/]+={0,2}):$/.exec(text)?.[1]
  if (base64 !== undefined) return ofBytes(decodeBase64(base64) ?? Buffer.alloc(0))
  if (!/^-----BEGIN(?: |%20)/.test(text)) return undefined
  try {
    return ofBytes(Buffer.from(text.startsWith('-----BEGIN ') ? text : decodeURIComponent(text)))
  } catch {
    return undefined
  }
}

function ofBytes(certificate: X509Certificate | Uint8Array): string | undefined {
  try {
    const { raw } = certificate instanceof X509Certificate ? certificate : new X509Certificate(certificate)
    return sha256(raw)
  } catch {
    return undefined
  }
}
