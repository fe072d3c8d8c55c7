/** The longest URL that a stranger may have fetched. */
const MAX_OUTBOUND_URL = 2048

/** Names of places inside of a network, which no resolver should answer from outside (RFC 6761, RFC 8375, RFC 7686). */
const insideNames =
  /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|home\.arpa|onion|alt|test|invalid)$/

const label = '[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?'
/** Labels and dots; the last label has a letter in front, so it is no IPv4 address in decimal, octal or hexadecimal. */
const hostName = new RegExp(`^(?:${label}\\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

export interface OutboundUrl {
  readonly host: string
  readonly port: number
  /** The path with its query, as it goes over the wire. */
  readonly path: string
}

/**
 * Reads a URL that a stranger wants fetched, as strictly as can be: https to a public name, in the one spelling that all
 * URL parsers read alike. No address in digits in any spelling, user information, fragment or dot segment.
 * @param ports allowed beside 443
 * @returns its parts, or in words what is wrong, to stand behind the name of the member
 */
export function readOutboundUrl(
  text: unknown,
  ports: readonly number[] = [],
): OutboundUrl | { readonly problem: string } {
  if (typeof text !== 'string' || text.length > MAX_OUTBOUND_URL)
    return { problem: `must be an https URL of at most ${MAX_OUTBOUND_URL} characters` }
  const [, host = '', portText, path = '/'] =
    /^https:\/\/([^/?#@:]+)(?::(\d{1,5}))?(\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*)?$/.exec(text) ?? []
  if (host === '')
    return { problem: 'must be an https URL without user information, fragment and unusual characters' }
  if (host.length > 253 || !hostName.test(host))
    return { problem: 'must have a host name in lower case, not an address and without a dot at its end' }
  if (insideNames.test(host)) return { problem: 'must have a public host name' }
  // Dot segments, also as %2e, a default port and whatever else a parser would change.
  if (!URL.canParse(text) || ![text, `${text}/`].includes(new URL(text).href))
    return { problem: 'must be in its canonical spelling, without dot segments and default port' }
  if (/%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%5c|%7f/i.test(path))
    return { problem: 'has a malformed or control percent-encoding' }
  const port = portText === undefined ? 443 : Number(portText)
  if (port !== 443 && !ports.includes(port)) return { problem: 'must be at port 443' }
  return { host, port, path }
}
