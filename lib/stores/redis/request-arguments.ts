import type { NumericDate } from '../../protocol/time.ts'
import type { Obtainable, RefreshPolicy, RefreshRequest } from '../ports.ts'
import { HASH_BYTES, hashBytes, toMilliseconds, writeHash } from './family-record.ts'
import { linesOf } from './lines.ts'

/** What a request asks for, as scripts read it: " " before each scope token, or nothing. */
export function scopeArgument(scope: readonly string[] | undefined): string {
  return (scope ?? []).map((token) => ` ${oneWord(token)}`).join('')
}

export function resourceArgument(resource: string | undefined): string {
  return oneWord(resource ?? '')
}

/** Lists are separated by spaces, so a text with one would pass for several. No grant has it; no grant has a line break either. */
function oneWord(text: string): string {
  return text.includes(' ') ? '\n' : text
}

const linesByMap = new WeakMap<Obtainable, string>()

/** What can be had: the same map for every request of most clients. */
export function obtainableArgument(obtainable: Obtainable): string {
  let lines = linesByMap.get(obtainable)
  if (lines === undefined) {
    lines = linesOf(obtainable)
    linesByMap.set(obtainable, lines)
  }
  return lines
}

/** Of a nonce, as records have it. */
const NONCE_BYTES = 8

/**
 * Hashes of the presented token, its lineage and its successor, and as much of the nonce as tells one request of a family from
 * another.
 */
export function hashesArgument({ tokenHash, lineage, next, nonce }: RefreshRequest): Buffer {
  const bytes = Buffer.allocUnsafe(3 * HASH_BYTES + NONCE_BYTES)
  writeHash(bytes, 0, tokenHash)
  writeHash(bytes, HASH_BYTES, lineage)
  writeHash(bytes, 2 * HASH_BYTES, next.hash)
  if (bytes.write(nonce, 3 * HASH_BYTES, NONCE_BYTES, 'base64url') < NONCE_BYTES)
    throw new TypeError('a nonce has at least 64 random bits, base64url')
  return bytes
}

/** The key that a refresh proved, as a record keeps it; or nothing, or that its proof is bad. */
export function boundToArgument(boundTo: RefreshRequest['boundTo']): Buffer | string {
  return boundTo === undefined || boundTo === 'unproven' ? (boundTo ?? '') : hashBytes(boundTo)
}

/** Whether and how a session at the identity provider bounds a grant, for how long a family is kept, and the end known by now. */
export function sessionArguments(
  { idpSession }: RefreshPolicy,
  end: NumericDate | undefined,
): { bounds: string; keptFor: string | number; end: string | number } {
  if (idpSession === undefined) return { bounds: '', keptFor: '', end: '' }
  return {
    bounds: idpSession.whenEndUnknown === 'use-lifetime' ? 'any' : 'known',
    keptFor: toMilliseconds(idpSession.keptFor),
    end: end === undefined ? '' : toMilliseconds(end),
  }
}
