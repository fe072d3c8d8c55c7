/**
 * The canonical text of a resource indicator, or `undefined` where it is none: an absolute http(s) URI without
 * fragment, user information or control characters (RFC 8707 §2). A bare origin loses its trailing slash, since
 * URL libraries of clients add one.
 */
export function canonicalResource(text: string): string | undefined {
  if (text.length > 2048 || !/^https?:\/\/[\x21-\x7e]+$/.test(text) || /[#"'<>\\^`{|}]/.test(text))
    return undefined
  try {
    const url = new URL(text)
    if (url.username !== '' || url.password !== '') return undefined
    return url.pathname === '/' && url.search === '' ? text.replace(/\/$/, '') : text
  } catch {
    return undefined
  }
}

/**
 * Why a URL of the configuration cannot be published, or `undefined` where it can. Strict, because clients put
 * these URLs into shells, pages and headers: https (or http to loopback), and letters, digits and `-._~/:[]%` only.
 */
export function problemOfPublishedUrl(text: unknown): string | undefined {
  if (typeof text !== 'string') return 'must be a string'
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return 'must be an absolute URL'
  }
  if (/[?#]/.test(text)) return 'must not have a query or fragment'
  if (!/^[A-Za-z0-9\-._~/:[\]%]+$/.test(text)) return 'may hold only letters, digits and - . _ ~ / : [ ] %'
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return 'has a malformed percent-encoding'
  if (
    url.protocol !== 'https:' &&
    !(url.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname))
  ) {
    return 'must be https (http only for 127.0.0.1, [::1] and localhost)'
  }
  if (url.href !== text && url.href !== `${text}/`)
    return `must be in its canonical spelling, ${JSON.stringify(url.pathname === '/' ? url.origin : url.href)}`
  return undefined
}

/** Puts a well-known name between host and path (RFC 8414 §3.1, RFC 9728 §3.1). */
export function wellKnownUrl(identifier: string, name: string): string {
  const url = new URL(identifier)
  return `${url.origin}/.well-known/${name}${url.pathname === '/' ? '' : url.pathname}${url.search}`
}
