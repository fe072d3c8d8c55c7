import { type KeyObject, sign, verify } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { decodeBase64, decodeUtf8 } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'

/** Bytes of a logout message, inflated. */
const MAX_MESSAGE = 64 * 1024

const rsaSha256 = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256'
/** What a message may be signed with: SHA-1 is none of them. */
const digests: Readonly<Record<string, string>> = {
  [rsaSha256]: 'sha256',
  'http://www.w3.org/2001/04/xmldsig-more#rsa-sha384': 'sha384',
  'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512': 'sha512',
}

export type MessageKind = 'SAMLRequest' | 'SAMLResponse'

/**
 * The address that carries a message to the provider (saml-bindings-2.0-os §3.4.4.1). What is signed is what is sent, byte for
 * byte; `querystring` and `URLSearchParams` spell some characters of a RelayState in two ways.
 * @param key signs it; without one it is sent unsigned
 */
export function redirectUrl(
  endpoint: string,
  kind: MessageKind,
  xml: string,
  relayState: string | undefined,
  key: KeyObject | undefined,
): string {
  const parameters = [`${kind}=${encode(deflateRawSync(xml).toString('base64'))}`]
  if (relayState !== undefined) parameters.push(`RelayState=${encode(relayState)}`)
  if (key !== undefined) {
    parameters.push(`SigAlg=${encode(rsaSha256)}`)
    const signature = sign('sha256', Buffer.from(parameters.join('&')), key).toString('base64')
    parameters.push(`Signature=${encode(signature)}`)
  }
  return `${endpoint}${endpoint.includes('?') ? '&' : '?'}${parameters.join('&')}`
}

export interface RedirectMessage {
  readonly kind: MessageKind
  readonly xml: string
  readonly relayState: string | undefined
}

/**
 * Reads a message from a query, once its signature is proven to be the provider's (saml-bindings-2.0-os §3.4.4.1): over the
 * parameters as they were sent, in the order of the specification, all that is read and nothing else.
 * @param query without its question mark, as it came
 * @throws OAuthError 400
 */
export function readRedirect(query: string, keys: readonly KeyObject[]): RedirectMessage {
  const raw = new Map<string, string>()
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=')
    const key = equals < 0 ? pair : pair.slice(0, equals)
    // A second one, or one in another spelling, could be read in place of the one that is signed.
    if (raw.has(key) || /^(?:saml\w*|relaystate|sigalg|signature)$/i.test(decode(key)) !== names.has(key))
      throw refuse('the query has a parameter of SAML twice, or in another spelling')
    raw.set(key, equals < 0 ? '' : pair.slice(equals + 1))
  }
  const kinds = (['SAMLRequest', 'SAMLResponse'] as const).filter((kind) => raw.has(kind))
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1)
    throw refuse('the query must have either a SAMLRequest or a SAMLResponse')
  if ((raw.get('SAMLEncoding') ?? deflate) !== deflate) throw refuse('SAMLEncoding must be DEFLATE')

  const [algorithm, signature] = [raw.get('SigAlg') ?? '', raw.get('Signature') ?? '']
  if (algorithm === '' || signature === '') throw refuse('the message must be signed: SigAlg and Signature')
  const digest = Object.hasOwn(digests, decode(algorithm)) ? digests[decode(algorithm)] : undefined
  if (digest === undefined) throw refuse('SigAlg must be RSA with SHA-256, SHA-384 or SHA-512')
  const signed = ['SAMLRequest', 'SAMLResponse', 'RelayState', 'SigAlg']
    .flatMap((key) => (raw.has(key) ? [`${key}=${raw.get(key)}`] : []))
    .join('&')
  const bytes = decodeBase64(decode(signature).replace(/\s/g, ''))
  if (bytes === undefined || !keys.some((key) => verify(digest, Buffer.from(signed), key, bytes)))
    throw refuse("the message's signature is not the identity provider's")

  const relayState = decode(raw.get('RelayState') ?? '')
  return { kind, xml: inflate(decode(raw.get(kind) ?? '')), relayState: relayState || undefined }
}

const deflate = 'urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE'
const names = new Set(['SAMLRequest', 'SAMLResponse', 'SAMLEncoding', 'RelayState', 'SigAlg', 'Signature'])
const refuse = (problem: string) => new OAuthError('invalid_request', problem)

/** A browser on its way writes an apostrophe in a query as %27 (URL standard, special-query percent-encode set). */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll("'", '%27')
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw refuse('a parameter is not percent-encoded UTF-8')
  }
}

function inflate(base64: string): string {
  const bytes = decodeBase64(base64.replace(/[\r\n]/g, ''))
  let text: string | undefined
  try {
    text = bytes && decodeUtf8(inflateRawSync(bytes, { maxOutputLength: MAX_MESSAGE }))
  } catch {
    // Damaged, or a bomb.
  }
  if (text === undefined)
    throw refuse(`the message must be DEFLATE and base64, of at most ${MAX_MESSAGE} bytes`)
  return text
}
