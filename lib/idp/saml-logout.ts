import { isIdpName } from '../authorization/idp-sessions.ts'
import { sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { SamlSettings } from './saml-options.ts'
import { instantAttribute, readNameId } from './saml-response.ts'
import { childOf, childrenOf, namespaces, textOf, type XmlElement } from './saml-xml.ts'

/** Seconds after it was made that a logout message is taken. Frames of a provider's page load at once. */
const MAX_AGE = 600

/** A logout message of the provider whose signature is proven. */
export type LogoutMessage =
  | {
      readonly kind: 'request'
      readonly id: string
      readonly issuedAt: NumericDate
      /** Until when the same message would be taken again. */
      readonly usableUntil: NumericDate
      readonly nameId: string
      /** The sessions that end, as `sidOf` names them; none: all of the user. */
      readonly sids: readonly string[]
    }
  | { readonly kind: 'response'; readonly inResponseTo: string | undefined; readonly status: string }

/**
 * Judges a logout message by the Single Logout Profile (saml-profiles-2.0-os §4.4.4): of whom, for us, and when.
 * @throws OAuthError 400 with the one thing that is wrong
 */
export function readLogout(
  root: XmlElement,
  { idp, logoutUrl, clockTolerance }: SamlSettings,
  now: NumericDate,
): LogoutMessage {
  if (root.namespace !== namespaces.protocol || !/^Logout(?:Request|Response)$/.test(root.name))
    throw refuse('a SAML LogoutRequest or LogoutResponse belongs here')
  const id = root.attributes.get('ID')
  if (id === undefined || id === '' || id.length > 256)
    throw refuse('the logout message has no ID, or a long one')
  if (textOf(childOf(root, 'assertion', 'Issuer')) !== idp.entityId)
    throw refuse('the logout message is of another issuer')
  // A signed message says where it is sent (saml-bindings-2.0-os §3.4.5.2, §3.5.5.2).
  if (root.attributes.get('Destination') !== logoutUrl)
    throw refuse('the Destination of the logout message is not this address')
  const issuedAt = instantAttribute(root, 'IssueInstant')
  if (issuedAt === undefined) throw refuse('the logout message does not say when it was made')
  if (issuedAt > now + clockTolerance) throw refuse('the logout message is of the future: the clocks differ')
  const usableUntil =
    Math.min(issuedAt + MAX_AGE, instantAttribute(root, 'NotOnOrAfter') ?? Number.POSITIVE_INFINITY) +
    clockTolerance
  if (now >= usableUntil) throw refuse('the logout message has expired')

  if (root.name === 'LogoutResponse') {
    const code = childOf(childOf(root, 'protocol', 'Status'), 'protocol', 'StatusCode')
    return {
      kind: 'response',
      inResponseTo: root.attributes.get('InResponseTo'),
      status: code?.attributes.get('Value') ?? '',
    }
  }
  const { nameId } = readNameId(childOf(root, 'assertion', 'NameID'))
  const sessionIndexes = childrenOf(root, 'protocol', 'SessionIndex').map((element) => textOf(element) ?? '')
  if (sessionIndexes.length > 100 || !sessionIndexes.every(isIdpName))
    throw refuse('a SessionIndex is empty or too long, or there are more than 100')
  const sids = sessionIndexes.map((index) => sidOf(nameId, index))
  return { kind: 'request', id, issuedAt, usableUntil, nameId, sids }
}

/** A SessionIndex need not be unique among users: small numbers will do (saml-core-2.0-os §2.7.2). With the user it is. */
export function sidOf(nameId: string, sessionIndex: string): string {
  const sid = JSON.stringify([sessionIndex, nameId])
  return isIdpName(sid) ? sid : sha256(sid)
}

const refuse = (problem: string) => new OAuthError('invalid_request', problem)
