import { createHmac, type KeyObject } from 'node:crypto'
import { type Random, randomId } from '../protocol/random.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { SamlSettings } from './saml-options.ts'
import { escapeXml, formatInstant, namespaces } from './saml-xml.ts'

/** A NameID as the provider wrote it: a logout request has to name the user alike (saml-core-2.0-os §3.7.1). */
export interface NameId {
  readonly nameId: string
  readonly format: string | undefined
  readonly nameQualifier: string | undefined
  readonly spNameQualifier: string | undefined
}

/** What we write. All of it by hand: messages are a few lines, and their times are of the injected clock. */
export function samlMessages(settings: SamlSettings, random: Random) {
  const { entityId, callbackUrl, logoutUrl, privateKey, certificate, idp } = settings
  const postBinding = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST'
  const redirectBinding = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect'

  /** The root element of a message (saml-core-2.0-os §3.2). */
  function message(
    root: string,
    { id, now, destination }: { id: string; now: NumericDate; destination: string },
    attributes: Record<string, string | undefined>,
    content: string,
  ): string {
    const all = {
      'xmlns:samlp': namespaces.protocol,
      'xmlns:saml': namespaces.assertion,
      ID: id,
      Version: '2.0',
      IssueInstant: formatInstant(now),
      Destination: destination,
      ...attributes,
    }
    return `<samlp:${root}${attributesOf(all)}><saml:Issuer>${escapeXml(entityId)}</saml:Issuer>${content}</samlp:${root}>`
  }

  return {
    /** An `xs:ID` that nobody guesses. */
    newId: (): string => `_${randomId(random, 20)}`,

    /** @param acrValues authentication context classes, of which the user has to meet one (§3.3.2.2.1) */
    authnRequest(
      id: string,
      now: NumericDate,
      { force, acrValues }: { force: boolean; acrValues: readonly string[] },
    ): string {
      const classes = acrValues
        .slice(0, 10)
        .map((acr) => `<saml:AuthnContextClassRef>${escapeXml(acr)}</saml:AuthnContextClassRef>`)
        .join('')
      return message(
        'AuthnRequest',
        { id, now, destination: idp.signInUrl },
        {
          AssertionConsumerServiceURL: callbackUrl,
          ProtocolBinding: postBinding,
          ForceAuthn: force ? 'true' : undefined,
        },
        `<samlp:NameIDPolicy AllowCreate="true"/>${
          classes &&
          `<samlp:RequestedAuthnContext Comparison="exact">${classes}</samlp:RequestedAuthnContext>`
        }`,
      )
    },

    logoutRequest(id: string, now: NumericDate, user: NameId, sessionIndex: string | undefined): string {
      const attributes = attributesOf({
        Format: user.format,
        NameQualifier: user.nameQualifier,
        SPNameQualifier: user.spNameQualifier,
      })
      const index =
        sessionIndex === undefined
          ? ''
          : `<samlp:SessionIndex>${escapeXml(sessionIndex)}</samlp:SessionIndex>`
      return message(
        'LogoutRequest',
        { id, now, destination: idp.logoutUrl ?? '' },
        {},
        `<saml:NameID${attributes}>${escapeXml(user.nameId)}</saml:NameID>${index}`,
      )
    },

    /** Everything that the request named is ended: there is no other answer than success (§3.7.3.2). */
    logoutResponse(id: string, now: NumericDate, inResponseTo: string): string {
      return message(
        'LogoutResponse',
        { id, now, destination: idp.logoutResponseUrl ?? '' },
        { InResponseTo: inResponseTo },
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>',
      )
    },

    /** What the provider has to know of us (saml-metadata-2.0-os §2.4.4). */
    metadata(): string {
      const key =
        certificate === undefined
          ? ''
          : `<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="${namespaces.signature}"><ds:X509Data><ds:X509Certificate>${certificate.raw.toString('base64')}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
      const at = (binding: string, location: string) => attributesOf({ Binding: binding, Location: location })
      // Who cannot sign cannot answer (saml-profiles-2.0-os §4.4.4.2).
      const logout =
        privateKey === undefined
          ? ''
          : `<md:SingleLogoutService${at(redirectBinding, logoutUrl)}/><md:SingleLogoutService${at(postBinding, logoutUrl)}/>`
      return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="${namespaces.metadata}"${attributesOf({ entityID: entityId })}>
<md:SPSSODescriptor protocolSupportEnumeration="${namespaces.protocol}" AuthnRequestsSigned="${privateKey !== undefined}" WantAssertionsSigned="true">${key}${logout}
<md:AssertionConsumerService${at(postBinding, callbackUrl)} index="0" isDefault="true"/>
</md:SPSSODescriptor>
</md:EntityDescriptor>
`
    },
  }
}

function attributesOf(attributes: Record<string, string | undefined>): string {
  return Object.entries(attributes)
    .map(([name, value]) => (value === undefined ? '' : ` ${name}="${escapeXml(value)}"`))
    .join('')
}

/**
 * Ids of our logout requests, which are known again without a store and without a cookie: the answer to one may come to any
 * instance, and in a form of another site.
 */
export function logoutIds(privateKey: KeyObject | undefined, random: Random) {
  const secret = privateKey?.export({ type: 'pkcs8', format: 'der' }) ?? Buffer.alloc(0)
  const tag = (nonce: string) =>
    createHmac('sha256', secret).update(`express-aat/1/saml-logout/${nonce}`).digest('base64url').slice(0, 22)
  return {
    make(): string {
      const nonce = randomId(random)
      return `_${nonce}${tag(nonce)}`
    },
    // What depends on it is a redirect to one fixed path, after a signature of the provider's was checked.
    isOurs: (id: string): boolean => id.length === 45 && id.slice(23) === tag(id.slice(1, 23)),
  }
}
