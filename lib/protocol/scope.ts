import { OAuthError } from './oauth-error.ts'

/** The most scope tokens that one request may name, and the longest `scope` text. */
const MAX_SCOPES = 64
const MAX_SCOPE_TEXT = 2048

/** scope-token = 1*( %x21 / %x23-5B / %x5D-7E ) (RFC 6749 §3.3). */
export function isScopeToken(text: string): boolean {
  return /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/.test(text)
}

/**
 * Reads a `scope` parameter: tokens parted by single spaces, each once. One rule at every endpoint.
 * @throws OAuthError `invalid_scope` for another syntax, or too many tokens.
 */
export function parseScope(text: string): string[] {
  const tokens = text.length <= MAX_SCOPE_TEXT ? text.split(' ') : []
  if (tokens.length === 0 || tokens.length > MAX_SCOPES) {
    throw new OAuthError(
      'invalid_scope',
      `scope may name at most ${MAX_SCOPES} tokens in ${MAX_SCOPE_TEXT} characters`,
    )
  }
  if (!tokens.every(isScopeToken)) {
    throw new OAuthError(
      'invalid_scope',
      'scope must be tokens of printable ASCII, parted by single spaces (RFC 6749 section 3.3)',
    )
  }
  return [...new Set(tokens)]
}

/** True where every token of `wanted` is in `held`: exact strings, no hierarchy. */
export function coversScope(held: Iterable<string>, wanted: readonly string[]): boolean {
  const have = held instanceof Set ? held : new Set(held)
  return wanted.every((token) => have.has(token))
}
