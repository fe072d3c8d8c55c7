import { decodeUtf8, hasControlCharacter, isObject } from './encoding.ts'
import { OAuthError } from './oauth-error.ts'

/** The most parameters that a query or form may have. */
const MAX_PARAMETERS = 100

/** Every value of each name, in order; empty values are left out, since they count as omitted (RFC 6749 §3.1 and §3.2). */
export type Parameters = ReadonlyMap<string, readonly string[]>

/**
 * Parses application/x-www-form-urlencoded strictly: well-formed percent-encoding of UTF-8, no control characters, a
 * bounded number of parameters. Brackets mean nothing: `a[]` is a name like any other.
 * @throws OAuthError `invalid_request`
 */
export function parseParameters(text: string): Parameters {
  const parameters = new Map<string, string[]>()
  let count = 0
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf('&', start)
    if (end < 0) end = text.length
    if (end > start) {
      if (++count > MAX_PARAMETERS)
        throw new OAuthError('invalid_request', `there are more than ${MAX_PARAMETERS} parameters`)
      const pair = text.slice(start, end)
      const equals = pair.indexOf('=')
      const name = decodeComponent(equals < 0 ? pair : pair.slice(0, equals))
      const value = equals < 0 ? '' : decodeComponent(pair.slice(equals + 1))
      addParameter(parameters, name, value)
    }
    start = end + 1
  }
  return parameters
}

/**
 * The same from what the app's own body parser left in `req.body`: texts, or arrays of texts for repeated names.
 * `a[]` and `a[b]`, which a parser may have nested under `a`, are other names than `a` and none of ours.
 * @throws OAuthError `invalid_request`
 */
export function parametersFromParsed(body: Record<string, unknown>): Parameters {
  const parameters = new Map<string, string[]>()
  const names = Object.keys(body)
  if (names.length > MAX_PARAMETERS)
    throw new OAuthError('invalid_request', `there are more than ${MAX_PARAMETERS} parameters`)
  for (const name of names) {
    const value = body[name]
    // Brackets: a name that is really repeated makes at least two texts.
    if (isObject(value) || (Array.isArray(value) && value.length < 2)) continue
    const values = Array.isArray(value) ? value : [value]
    if (values.length > MAX_PARAMETERS)
      throw new OAuthError('invalid_request', `there are more than ${MAX_PARAMETERS} parameters`)
    for (const text of values) {
      if (typeof text !== 'string') throw new OAuthError('invalid_request', 'parameters must be plain texts')
      addParameter(parameters, name, text)
    }
  }
  return parameters
}

/** Of a SAML message the base64 may come in lines (saml-bindings-2.0-os §3.5.4, RFC 2045 §6.8). */
const inLines = new Set(['SAMLRequest', 'SAMLResponse'])

function addParameter(parameters: Map<string, string[]>, name: string, given: string): void {
  const value = inLines.has(name) ? given.replace(/[\r\n]/g, '') : given
  if (hasControlCharacter(name) || hasControlCharacter(value))
    throw new OAuthError('invalid_request', 'a parameter has a control character')
  if (value === '') return
  const values = parameters.get(name)
  if (values === undefined) parameters.set(name, [value])
  else values.push(value)
}

/** Is there nothing to decode: just characters that are never encoded (RFC 3986 §2.3)? */
export const isUnreserved = (text: string): boolean => /^[A-Za-z0-9._~-]*$/.test(text)

function decodeComponent(text: string): string {
  if (isUnreserved(text)) return text
  // decodeURIComponent refuses malformed escapes and malformed UTF-8, but lets raw bytes over 0x7f through.
  if (/[^\x20-\x7e]/.test(text))
    throw new OAuthError('invalid_request', 'a parameter is not percent-encoded UTF-8')
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new OAuthError('invalid_request', 'a parameter is not percent-encoded UTF-8')
  }
}

/** The parameters of a request of which each may be there once; `resource` alone may repeat (RFC 8707 §2). */
export interface Form {
  readonly one: (name: string) => string | undefined
  readonly resources: readonly string[]
}

/** @throws OAuthError `invalid_request` for a repeated parameter (RFC 6749 §3.2) */
export function readForm(parameters: Parameters): Form {
  for (const [name, values] of parameters) {
    if (values.length > 1 && name !== 'resource')
      throw new OAuthError('invalid_request', 'a parameter is there more than once')
  }
  return { one: (name) => parameters.get(name)?.[0], resources: parameters.get('resource') ?? [] }
}

/** A body's bytes as parameters. @throws OAuthError `invalid_request` */
export function parseFormBytes(bytes: Uint8Array): Parameters {
  const text = decodeUtf8(bytes)
  if (text === undefined) throw new OAuthError('invalid_request', 'the body is not UTF-8')
  return parseParameters(text)
}
