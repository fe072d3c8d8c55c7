import { isIdpName } from '../authorization/idp-sessions.ts'
import { jsonSize } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { NameId } from './saml-messages.ts'
import type { SamlProfile, SamlSettings } from './saml-options.ts'
import { childOf, childrenOf, namespaces, readInstant, textOf, type XmlElement } from './saml-xml.ts'

/** What a response says before anything of it is proven: to find out which request it answers. */
export interface ResponseOutline {
  readonly inResponseTo: string
  readonly destination: string | undefined
  /** The last part of the provider's code where it did not sign the user in, for example `AuthnFailed`. */
  readonly refusal: string | undefined
}

/** @throws OAuthError 400 for anything but a response to a request (saml-core-2.0-os §3.2.2) */
export function readOutline(root: XmlElement): ResponseOutline {
  if (root.name !== 'Response' || root.namespace !== namespaces.protocol)
    throw refuse('a SAML Response belongs here')
  const inResponseTo = root.attributes.get('InResponseTo')
  if (inResponseTo === undefined || inResponseTo === '')
    throw refuse('the SAML response answers no request: begin to sign in here, not at the identity provider')
  const code = childOf(childOf(root, 'protocol', 'Status'), 'protocol', 'StatusCode')
  const status = code?.attributes.get('Value')
  if (code === undefined || status === undefined) throw refuse('the SAML response has no status')
  const detail = childOf(code, 'protocol', 'StatusCode')?.attributes.get('Value') ?? status
  return {
    inResponseTo,
    destination: root.attributes.get('Destination'),
    refusal: status.endsWith(':status:Success')
      ? undefined
      : (/[A-Za-z]{1,40}$/.exec(detail)?.[0] ?? 'unknown'),
  }
}

/** What a signed assertion says of the sign-in. */
export interface ReadAssertion {
  readonly id: string
  readonly profile: SamlProfile
  readonly nameId: NameId
  readonly authnInstant: NumericDate
  readonly acr: string | undefined
  /** When the session ends, where the provider says so. */
  readonly sessionEnd: NumericDate | undefined
}

/**
 * Judges a signed assertion by the Web Browser SSO Profile (saml-profiles-2.0-os §4.1.4.3): whose it is, for whom, for which
 * request, and when. The audience was compared with the signature.
 * @throws OAuthError 400 with the one thing that is wrong
 */
export function readAssertion(
  assertion: XmlElement,
  { callbackUrl, idp, clockTolerance }: SamlSettings,
  inResponseTo: string,
  now: NumericDate,
): ReadAssertion {
  if (assertion.name !== 'Assertion' || assertion.namespace !== namespaces.assertion)
    throw refuse('the SAML response has no assertion')
  const id = assertion.attributes.get('ID')
  if (id === undefined || id === '') throw refuse('the assertion has no ID')
  if (textOf(childOf(assertion, 'assertion', 'Issuer')) !== idp.entityId)
    throw refuse('the assertion is of another issuer')

  const conditions = childOf(assertion, 'assertion', 'Conditions')
  const notBefore = instantAttribute(conditions, 'NotBefore')
  if (notBefore !== undefined && now + clockTolerance < notBefore)
    throw refuse('the assertion is not valid yet: the clocks differ')
  const notOnOrAfter = instantAttribute(conditions, 'NotOnOrAfter')
  if (notOnOrAfter !== undefined && now - clockTolerance >= notOnOrAfter)
    throw refuse('the assertion has expired')

  const subject = childOf(assertion, 'assertion', 'Subject')
  const nameId = readNameId(childOf(subject, 'assertion', 'NameID'))
  confirm(subject)

  const statements = childrenOf(assertion, 'assertion', 'AuthnStatement')
  const [statement] = statements
  if (statement === undefined || statements.length > 1)
    throw refuse('the assertion must have one AuthnStatement')
  const authnInstant = instantAttribute(statement, 'AuthnInstant')
  if (authnInstant === undefined || authnInstant <= 0)
    throw refuse('the assertion does not say when the user signed in')
  if (authnInstant > now + clockTolerance)
    throw refuse('the user is said to sign in in the future: the clocks differ')
  const context = childOf(statement, 'assertion', 'AuthnContext')
  const acr = textOf(childOf(context, 'assertion', 'AuthnContextClassRef'))?.trim()
  const sessionIndex = statement.attributes.get('SessionIndex')
  if (sessionIndex !== undefined && !isIdpName(sessionIndex))
    throw refuse('the SessionIndex is empty or too long')
  const sessionEnd = sessionEndOf(instantAttribute(statement, 'SessionNotOnOrAfter'))
  if (sessionEnd !== undefined && sessionEnd <= now)
    throw refuse('the session at the identity provider is over: SessionNotOnOrAfter has passed')

  return {
    id,
    nameId,
    profile: {
      nameId: nameId.nameId,
      nameIdFormat: nameId.format,
      nameQualifier: nameId.nameQualifier,
      spNameQualifier: nameId.spNameQualifier,
      sessionIndex,
      attributes: readAttributes(assertion),
    },
    authnInstant,
    // Longer ones are none that a token could carry.
    acr: acr !== undefined && acr !== '' && jsonSize(acr) <= 130 ? acr : undefined,
    sessionEnd,
  }

  /** Of all confirmations one must hold: brought by a browser, to us, in time, for this request (§4.1.4.2). */
  function confirm(from: XmlElement | undefined): void {
    let problem = 'the assertion has no bearer confirmation'
    for (const confirmation of from === undefined
      ? []
      : childrenOf(from, 'assertion', 'SubjectConfirmation')) {
      if (confirmation.attributes.get('Method') !== 'urn:oasis:names:tc:SAML:2.0:cm:bearer') continue
      const data = childOf(confirmation, 'assertion', 'SubjectConfirmationData')
      const end = instantAttribute(data, 'NotOnOrAfter')
      const start = instantAttribute(data, 'NotBefore')
      if (data?.attributes.get('Recipient') !== callbackUrl)
        problem = 'the assertion is for another recipient'
      else if (data.attributes.get('InResponseTo') !== inResponseTo)
        problem = 'the assertion answers another request'
      else if (end === undefined || now - clockTolerance >= end) problem = 'the assertion has expired'
      else if (start !== undefined && now + clockTolerance < start)
        problem = 'the assertion is not valid yet: the clocks differ'
      else return
    }
    throw refuse(problem)
  }
}

/** Some write "never" as the last day of the year 9999. */
function sessionEndOf(instant: NumericDate | undefined): NumericDate | undefined {
  return instant === undefined ? undefined : Math.min(instant, 1e11)
}

/** A NameID (saml-core-2.0-os §2.2.3). @throws OAuthError 400 */
export function readNameId(element: XmlElement | undefined): NameId {
  const nameId = textOf(element)
  if (element === undefined || !isIdpName(nameId)) throw refuse('the NameID is missing, empty or too long')
  return {
    nameId,
    format: element.attributes.get('Format'),
    nameQualifier: element.attributes.get('NameQualifier'),
    spNameQualifier: element.attributes.get('SPNameQualifier'),
  }
}

/** @throws OAuthError 400 for a time that is none: a limit that nobody can read is not one that may be skipped */
export function instantAttribute(
  element: XmlElement | undefined,
  attribute: string,
): NumericDate | undefined {
  const text = element?.attributes.get(attribute)
  if (text === undefined) return undefined
  const instant = readInstant(text)
  if (instant === undefined) throw refuse(`${attribute} of the SAML message is not a time`)
  return instant
}

function readAttributes(assertion: XmlElement): Record<string, readonly string[]> {
  const attributes: Record<string, string[]> = Object.create(null)
  for (const statement of childrenOf(assertion, 'assertion', 'AttributeStatement')) {
    for (const attribute of childrenOf(statement, 'assertion', 'Attribute')) {
      const name = attribute.attributes.get('Name')
      if (name === undefined) continue
      const values = childrenOf(attribute, 'assertion', 'AttributeValue')
      // A value that is a structure is nothing that an app could compare.
      const texts = values.filter(({ children }) => children.length === 0).map(({ text }) => text)
      attributes[name] = [...(attributes[name] ?? []), ...texts]
    }
  }
  return attributes
}

const refuse = (problem: string) => new OAuthError('invalid_request', problem)
