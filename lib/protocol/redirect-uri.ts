/** The longest redirect URI that is registered or compared. */
export const MAX_REDIRECT_URI = 2048

/** Parameters that an authorization response carries: a redirect URI that has one of its own could forge it. */
const responseParameters = new Set([
  'code',
  'state',
  'iss',
  'error',
  'error_description',
  'error_uri',
  'response',
  'access_token',
  'id_token',
  'token_type',
  'expires_in',
  'scope',
])

/** Schemes that a browser runs, reads or handles by itself: never a redirect URI, whatever a store says. */
const forbiddenSchemes = new Set([
  'javascript',
  'data',
  'vbscript',
  'blob',
  'file',
  'filesystem',
  'about',
  'view-source',
  'ws',
  'wss',
  'ftp',
  'mailto',
  'tel',
  'sms',
  'chrome',
  'chrome-extension',
  'moz-extension',
  'intent',
  'jar',
  'resource',
  'ms-its',
  'mhtml',
  'feed',
  'urn',
])

const loopback = /^http:\/\/(127\.0\.0\.1|\[::1\]|localhost)(?::(\d{1,5}))?(\/.*)?$/

export type RedirectUriKind = 'https' | 'loopback' | 'private-use'

export interface RedirectUriRules {
  /** Private-use schemes without a dot that are allowed all the same, for example `cursor`. */
  privateUseSchemes?: readonly string[]
}

/**
 * Judges a redirect URI as it stands, character by character: it is compared as text later, so a text that URL
 * parsers read in another way (RFC 9700 §4.1.1) is refused instead of normalised.
 * @returns its kind, or in words what is wrong with it.
 */
export function judgeRedirectUri(
  uri: string,
  rules: RedirectUriRules = {},
): { kind: RedirectUriKind } | { problem: string } {
  if (uri.length > MAX_REDIRECT_URI) return { problem: `is longer than ${MAX_REDIRECT_URI} characters` }
  if (!/^[\x21-\x7e]+$/.test(uri) || /["'<>\\^`{|}*]/.test(uri)) {
    return { problem: 'has a space, wildcard, backslash, quote, control or non-ASCII character' }
  }
  if (uri.includes('#')) return { problem: 'has a fragment (RFC 6749 section 3.1.2)' }
  if (/%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%5c|%7f/i.test(uri))
    return { problem: 'has a malformed or control percent-encoding' }
  const scheme = /^([a-z][a-z0-9+.-]*):/.exec(uri)?.[1]
  if (scheme === undefined) return { problem: 'is not an absolute URI with a lower-case scheme' }
  let url: URL
  try {
    url = new URL(uri)
  } catch {
    return { problem: 'is not a URI' }
  }
  if (url.search !== '')
    for (const name of url.searchParams.keys()) {
      if (responseParameters.has(name.toLowerCase()))
        return { problem: `has the reserved query parameter ${name}` }
    }
  if (url.username !== '' || url.password !== '') return { problem: 'has user information' }
  if (scheme === 'https' || scheme === 'http') {
    if (url.href !== uri && url.href !== `${uri}/` && !url.href.startsWith(`${uri.split('?')[0]}/?`)) {
      return {
        problem: 'is not in its canonical spelling (lower-case host, no default port, no dot segments)',
      }
    }
    // URL parsers let `;` and `,` through, which would end a source of the page's Content-Security-Policy.
    if (!/^(?:[a-z0-9._-]+|\[[0-9a-f:]+\])$/.test(url.hostname))
      return { problem: 'has a host with a character that no host name has' }
    if (scheme === 'https') return { kind: 'https' }
    const port = loopback.exec(uri)
    if (port !== null) return { kind: 'loopback' }
    return { problem: 'is http to a host that is not loopback; use https' }
  }
  if (forbiddenSchemes.has(scheme)) return { problem: `has the scheme ${scheme}, which is never allowed` }
  if (!scheme.includes('.') && !(rules.privateUseSchemes ?? []).includes(scheme)) {
    return {
      problem: 'has a private-use scheme without a dot (RFC 8252 section 7.1: use a reversed domain name)',
    }
  }
  return { kind: 'private-use' }
}

/**
 * Does a requested redirect URI match a registered one? Exactly, character by character; only a loopback URI
 * may differ, in its port (RFC 8252 §7.3).
 * @param localhostAnyPort let `http://localhost` vary its port too (RFC 8252 §8.3 advises against the name)
 */
export function matchesRedirectUri(
  registered: string,
  requested: string,
  localhostAnyPort: boolean,
): boolean {
  if (registered === requested) return true
  const known = loopback.exec(registered)
  const asked = loopback.exec(requested)
  if (known === null || asked === null) return false
  const port = Number(asked[2] ?? 80)
  return (
    known[1] === asked[1] &&
    (known[1] !== 'localhost' || localhostAnyPort) &&
    port > 0 &&
    port < 65536 &&
    (asked[2] === undefined || String(port) === asked[2]) &&
    (known[3] ?? '') === (asked[3] ?? '')
  )
}

/** The host that a person should see before being sent there: `app.example.com`, `this device`, or the scheme. */
export function redirectHost(uri: string): string {
  const url = new URL(uri)
  if (loopback.test(uri)) return 'this device'
  return url.protocol === 'https:' ? url.host : `the app for ${url.protocol}`
}

export function isLoopbackUri(uri: string): boolean {
  return loopback.test(uri)
}

/** Adds response parameters to a redirect URI without touching a byte of what is there (RFC 6749 §4.1.2). */
export function withParameters(uri: string, parameters: Record<string, string | undefined>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.append(name, value)
  const joint = !uri.includes('?') ? '?' : uri.endsWith('&') || uri.indexOf('?') === uri.length - 1 ? '' : '&'
  return `${uri}${joint}${query}`
}
