import type { Request } from 'express'
import { countHeader } from '../http/headers.ts'
import { MAX_TOKEN } from '../tokens/compact-jws.ts'

/** Why there is no token to look at: none was presented, one that is none, or more than one. */
export type NoToken = 'absent' | 'malformed' | 'ambiguous'

export type Presented = { readonly token: string } | { readonly problem: NoToken }

const absent: Presented = { problem: 'absent' }
const malformed: Presented = { problem: 'malformed' }
const ambiguous: Presented = { problem: 'ambiguous' }

/**
 * The access token of a request (RFC 6750 §2.1). Only the header counts: a token in a URL or a form is not looked at.
 */
export function readBearer(req: Pick<Request, 'headers' | 'rawHeaders'>): Presented {
  const header = req.headers.authorization
  if (header === undefined) return absent
  if (countHeader(req.rawHeaders, 'authorization') > 1) return ambiguous
  const scheme = header.slice(0, 7)
  if (scheme !== 'Bearer ' && scheme.toLowerCase() !== 'bearer ')
    return /^bearer(?:$|[\s,])/i.test(header) ? malformed : absent
  // Which characters a token may have is known to who verifies it.
  return header.length <= 7 + MAX_TOKEN ? { token: header.slice(7) } : malformed
}
