/** Longer ones are no address of ours. */
const MAX_URI = 4096

/**
 * An http(s) URI without query and fragment, normalised (RFC 3986 §6.2.2 and §6.2.3), to be compared with others: case of scheme,
 * host and percent-encodings, default port, dot segments, unreserved characters that were encoded.
 * @returns `undefined` for anything else, user information too
 */
export function normalizeHttpUri(text: unknown): string | undefined {
  if (typeof text !== 'string' || text.length > MAX_URI) return undefined
  // What a URL parser would mend is no URI: white space, a backslash for a slash, one slash too few.
  if (!/^https?:\/\/[^/?#\s\\]/i.test(text) || /[^\x21-\x7e]|["<>\\^`{|}]/.test(text)) return undefined
  if (/%(?![0-9A-Fa-f]{2})/.test(text) || !URL.canParse(text)) return undefined
  const { origin, pathname, username, password } = new URL(text)
  if (username !== '' || password !== '') return undefined
  return origin + pathname.replace(/%[0-9A-Fa-f]{2}/g, normalizeEscape)
}

function normalizeEscape(triplet: string): string {
  const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16))
  return /[A-Za-z0-9\-._~]/.test(character) ? character : triplet.toUpperCase()
}
