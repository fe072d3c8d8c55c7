import type { Request } from 'express'
import { countHeader } from '../http/headers.ts'
import { MAX_TOKEN } from '../tokens/compact-jws.ts'

/** Why there is no token to look at: none was presented, one that is none, or more than one. */
export type NoToken = 'absent' | 'malformed' | 'ambiguous'

/** A token, in the scheme `DPoP` (RFC 9449 §7.1) or `Bearer`. */
export type Presented =
  | { readonly token: string; readonly isDpop: boolean }
  | { readonly problem: NoToken; readonly isDpop: boolean }

const absent: Presented = { problem: 'absent', isDpop: false }
const malformed: Presented = { problem: 'malformed', isDpop: false }
const ambiguous: Presented = { problem: 'ambiguous', isDpop: false }

/**
 * The access token of a request (RFC 6750 §2.1, RFC 9449 §7.1). Only the header counts: a token in a URL or a form is not looked at.
 */
export function readCredential(req: Pick<Request, 'headers' | 'rawHeaders'>): Presented {
  const header = req.headers.authorization
  if (header === undefined) return absent
  if (countHeader(req.rawHeaders, 'authorization') > 1) return ambiguous
  const scheme = header.slice(0, 7)
  if (scheme !== 'Bearer ' && scheme.toLowerCase() !== 'bearer ')
    return readDpop(header) ?? (/^bearer(?:$|[\s,])/i.test(header) ? malformed : absent)
  // Which characters a token may have is known to who verifies it.
  return header.length <= 7 + MAX_TOKEN ? { token: header.slice(7), isDpop: false } : malformed
}

function readDpop(header: string): Presented | undefined {
  if (!/^dpop(?:$|[\s,])/i.test(header)) return undefined
  return header[4] === ' ' && header.length <= 5 + MAX_TOKEN
    ? { token: header.slice(5), isDpop: true }
    : { problem: 'malformed', isDpop: true }
}
