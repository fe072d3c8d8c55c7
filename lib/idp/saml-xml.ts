import { OAuthError } from '../protocol/oauth-error.ts'

/** An element as SAML reads it: without comments, processing instructions and the order of text among elements. */
export interface XmlElement {
  readonly name: string
  readonly namespace: string
  /** Those without a prefix; SAML has no others that mean anything. */
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  readonly text: string
}

/** SAML's namespaces (saml-core-2.0-os §1.1, saml-metadata-2.0-os §1.1). */
export const namespaces = {
  assertion: 'urn:oasis:names:tc:SAML:2.0:assertion',
  protocol: 'urn:oasis:names:tc:SAML:2.0:protocol',
  metadata: 'urn:oasis:names:tc:SAML:2.0:metadata',
  signature: 'http://www.w3.org/2000/09/xmldsig#',
} as const

/** A message with more is none that a provider sends: each element and attribute costs those who check its signature. */
const MAX_DEPTH = 32
const MAX_ELEMENTS = 1000
export const MAX_LOGOUT_ELEMENTS = 300
const MAX_ATTRIBUTES = 64
const MAX_PREFIXES = 64

/** XML's own (§2.3); `\s` would take more, of which some are letters to XML. */
const space = '[ \\t\\r\\n]'
const name = '[A-Za-z_][A-Za-z0-9_.-]*'
const qualified = `(?:${name}:)?${name}`
const value = `(?:"[^"<]*"|'[^'<]*')`
const prolog = /^\uFEFF?[ \t\r\n]*(?:<\?xml [^<>?]*\?>)?[ \t\r\n]*/
const token = new RegExp(
  `<(${qualified})((?:${space}+${qualified}${space}*=${space}*${value})*)${space}*(/?)>|</(${qualified})${space}*>|([^<]+)`,
  'y',
)
const attribute = new RegExp(`(${qualified})${space}*=${space}*(${value})`, 'g')

interface Open {
  readonly tag: string
  readonly element: XmlElement & { children: XmlElement[]; text: string }
  readonly prefixes: ReadonlyMap<string, string>
}

/**
 * Reads a SAML message strictly. It takes what SAML needs of XML and refuses the rest (document types, entities, comments,
 * CDATA, processing instructions), so that nobody reads the same text in another way: not the one who checks the signature, not
 * the one who made it. It decides nothing about signatures.
 * @throws OAuthError 400
 */
export function readXml(text: string, maxElements = MAX_ELEMENTS): XmlElement {
  token.lastIndex = prolog.exec(text)?.[0].length ?? 0
  const open: Open[] = []
  let root: XmlElement | undefined
  let count = 0
  while (token.lastIndex < text.length) {
    const [found, opened, attributes = '', slash, closed, characters] = token.exec(text) ?? []
    const parent = open.at(-1)
    if (found === undefined) throw malformed()
    if (characters !== undefined) {
      if (parent !== undefined) parent.element.text += decode(characters)
      else if (characters.trim() !== '') throw malformed()
    } else if (opened !== undefined) {
      if (++count > maxElements || open.length >= MAX_DEPTH || (parent === undefined && root !== undefined))
        throw malformed()
      const child = openElement(opened, attributes, parent?.prefixes ?? new Map())
      if (parent === undefined) root = child.element
      else parent.element.children.push(child.element)
      if (slash !== '/') open.push(child)
    } else if (open.pop()?.tag !== closed) throw malformed()
  }
  if (root === undefined || open.length > 0) throw malformed()
  return root
}

const malformed = () => new OAuthError('invalid_request', 'the SAML message is not plain, well-formed XML')

function openElement(tag: string, text: string, outer: ReadonlyMap<string, string>): Open {
  const prefixes = /\sxmlns/.test(text) ? new Map(outer) : (outer as Map<string, string>)
  const attributes = new Map<string, string>()
  const seen = new Set<string>()
  for (const [, key = '', quoted = ''] of text.matchAll(attribute)) {
    if (seen.has(key)) throw malformed()
    seen.add(key)
    if (seen.size > MAX_ATTRIBUTES || prefixes.size > MAX_PREFIXES) throw malformed()
    // Attribute-value normalization (XML 1.0 §3.3.3).
    const decoded = decode(quoted.slice(1, -1).replace(/[\t\r\n]/g, ' '))
    if (key === 'xmlns') prefixes.set('', decoded)
    else if (key.startsWith('xmlns:')) prefixes.set(key.slice(6), decoded)
    else if (!key.includes(':')) attributes.set(key, decoded)
  }
  const colon = tag.indexOf(':')
  const namespace = prefixes.get(colon < 0 ? '' : tag.slice(0, colon))
  if (namespace === undefined && colon >= 0) throw malformed()
  const element = {
    name: tag.slice(colon + 1),
    namespace: namespace ?? '',
    attributes,
    children: [],
    text: '',
  }
  return { tag, element, prefixes }
}

const named: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

/** The five names and numbers of XML 1.0 §4.6; any other entity would need a document type. */
function decode(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/&([^;&]{0,10};?)/g, (_, reference: string) => {
    const known = named[reference.slice(0, -1)]
    if (reference.endsWith(';') && known !== undefined) return known
    const [, hex, decimal] = /^#(?:x([0-9A-Fa-f]{1,6})|([0-9]{1,7}));$/.exec(reference) ?? []
    const code = hex !== undefined ? Number.parseInt(hex, 16) : Number(decimal ?? Number.NaN)
    if (!(code >= 0x20 || code === 9 || code === 10 || code === 13) || code > 0x10ffff) throw malformed()
    if (code >= 0xd800 && code <= 0xdfff) throw malformed()
    return String.fromCodePoint(code)
  })
}

/** Children by their name in one of SAML's namespaces. */
export function childrenOf(
  element: XmlElement,
  namespace: keyof typeof namespaces,
  local: string,
): XmlElement[] {
  return element.children.filter((child) => child.name === local && child.namespace === namespaces[namespace])
}

/** The one child of that name, or `undefined` where there is none. @throws OAuthError 400 where there are several */
export function childOf(
  element: XmlElement | undefined,
  namespace: keyof typeof namespaces,
  local: string,
): XmlElement | undefined {
  const found = element === undefined ? [] : childrenOf(element, namespace, local)
  if (found.length > 1) throw new OAuthError('invalid_request', `the SAML message has more than one ${local}`)
  return found[0]
}

/** The text of an element that has nothing but text. @throws OAuthError 400 */
export function textOf(element: XmlElement | undefined): string | undefined {
  if (element === undefined) return undefined
  if (element.children.length > 0) throw malformed()
  return element.text
}

/** A text in an attribute or between tags. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"'\t\r\n]/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** `xs:dateTime` as SAML wants it (saml-core-2.0-os §1.3.3), in seconds since the epoch; `undefined` for anything else. */
export function readInstant(text: string | undefined): number | undefined {
  const match = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?$/.exec(text ?? '')
  if (match === null) return undefined
  // Times are UTC, said or not. Nanoseconds are more than a Date reads alike everywhere.
  const spelled = match[0].replace(/(\.\d{3})\d+/, '$1')
  const time = Date.parse(/(?:Z|[+-]\d\d:\d\d)$/.test(spelled) ? spelled : `${spelled}Z`) / 1000
  return Number.isFinite(time) ? time : undefined
}

export function formatInstant(time: number): string {
  return new Date(time * 1000).toISOString()
}
