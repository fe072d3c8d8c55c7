import { decodeBase64, decodeUtf8 } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { ConfigurationError } from '../protocol/options.ts'
import type { SamlSettings } from './saml-options.ts'
import { childrenOf, readXml, type XmlElement } from './saml-xml.ts'

/** What is used of `@node-saml/node-saml`: its own types are there only where it is installed. */
interface NodeSaml {
  readonly SAML: new (
    options: object,
  ) => {
    validatePostResponseAsync(container: { SAMLResponse: string }): Promise<{
      profile: { getAssertionXml?(): string } | null
      loggedOut: boolean
    }>
    validatePostRequestAsync(container: { SAMLRequest: string }): Promise<unknown>
  }
}

/** Bytes of a message, after base64: many attributes make it long, nothing makes it this long. */
const MAX_MESSAGE = 192 * 1024

/** Algorithms that a signature may name (XML Signature 1.1 §6): SHA-1, MD5, HMAC and transforms that select are none of them. */
const algorithms = new Set([
  'http://www.w3.org/2000/09/xmldsig#enveloped-signature',
  'http://www.w3.org/2001/10/xml-exc-c14n#',
  'http://www.w3.org/2001/10/xml-exc-c14n#WithComments',
  'http://www.w3.org/TR/2001/REC-xml-c14n-20010315',
  'http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments',
  'http://www.w3.org/2001/04/xmlenc#sha256',
  'http://www.w3.org/2001/04/xmlenc#sha512',
  'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
  'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512',
  'http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1',
])

let loading: Promise<NodeSaml> | undefined

/** At first use: an app that signs in elsewhere does not need it. */
function loadNodeSaml(): Promise<NodeSaml> {
  loading ??= import('@node-saml/node-saml').then(
    (module) => module as unknown as NodeSaml,
    (error: unknown) => {
      loading = undefined
      throw (error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND'
        ? new ConfigurationError('samlSignIn', [
            'needs @node-saml/node-saml 5: npm install @node-saml/node-saml',
          ])
        : error
    },
  )
  return loading
}

/** A message that came in a form (saml-bindings-2.0-os §3.5), not yet believed. */
export interface PostedMessage {
  readonly base64: string
  readonly root: XmlElement
}

/** @throws OAuthError 400, 413 */
export function readPosted(value: string, maxElements?: number): PostedMessage {
  // RFC 2045 breaks base64 into lines.
  const base64 = value.replace(/\s/g, '')
  const bytes = decodeBase64(base64)
  if (bytes === undefined) throw refuse('the SAML message is not base64')
  if (bytes.length > MAX_MESSAGE)
    throw refuse(`the SAML message is over ${MAX_MESSAGE} bytes`, { status: 413 })
  const text = decodeUtf8(bytes)
  if (text === undefined) throw refuse('the SAML message is not UTF-8')
  const root = readXml(text, maxElements)
  // The library writes it into an XPath; and it is an xs:ID (saml-core-2.0-os §1.3.4).
  if (!/^[A-Za-z_][\w.-]{0,255}$/.test(root.attributes.get('ID') ?? ''))
    throw refuse('the SAML message has no ID, or one that is none')
  // In the text, so that no parser finds one that another does not.
  for (const [, double, single] of text.matchAll(/\bAlgorithm\s*=\s*(?:"([^"]*)"|'([^']*)')/g)) {
    const algorithm = double ?? single ?? ''
    if (algorithm.startsWith('http://www.w3.org/2001/04/xmlenc#') && !algorithms.has(algorithm))
      throw refuse('the assertion is encrypted, which is not supported: TLS encrypts it')
    if (!algorithms.has(algorithm))
      throw refuse('the SAML message names an algorithm that is not accepted: sign it with RSA and SHA-256')
  }
  return { base64, root }
}

/** The signatures of the provider, as `@node-saml/node-saml` checks them. Times and names are checked by who reads them. */
export function samlSignatures({ callbackUrl, entityId, idp }: SamlSettings) {
  const options = {
    callbackUrl,
    entryPoint: idp.signInUrl,
    issuer: entityId,
    audience: entityId,
    idpCert: [...idp.certificates],
    wantAssertionsSigned: true,
    // Theirs is the machine's clock; ours is injected.
    acceptedClockSkewMs: -1,
    validateInResponseTo: 'never',
    signatureAlgorithm: 'sha256',
  }

  return {
    /** @throws ConfigurationError where the package is missing */
    async load(): Promise<void> {
      await loadNodeSaml()
    },

    /**
     * The signed assertion of a response and nothing else of it: read anew from the bytes that were signed, so whatever was
     * wrapped around them, put beside them or commented into them is not there.
     * @throws OAuthError 400
     */
    async signedAssertion({ base64, root }: PostedMessage): Promise<XmlElement> {
      const { SAML } = await loadNodeSaml()
      const saml = new SAML({ ...options, wantAuthnResponseSigned: false })
      const { profile } = await saml
        .validatePostResponseAsync({ SAMLResponse: base64 })
        .catch((error: unknown) => refuseBecause(error, root))
      const xml = profile?.getAssertionXml?.()
      if (xml === undefined) throw refuse('the SAML response has no assertion')
      return readXml(xml)
    },

    /** Proves that a logout message is signed by the provider, all of it. @throws OAuthError 400 */
    async provePosted({ base64, root }: PostedMessage): Promise<void> {
      const { SAML } = await loadNodeSaml()
      const saml = new SAML({ ...options, wantAuthnResponseSigned: true })
      await (root.name === 'LogoutRequest'
        ? saml.validatePostRequestAsync({ SAMLRequest: base64 })
        : saml.validatePostResponseAsync({ SAMLResponse: base64 })
      ).catch((error: unknown) => refuseBecause(error, root))
    },
  }
}

const refuse = (problem: string, options?: { cause?: unknown; status?: number }) =>
  new OAuthError('invalid_request', problem, options)

/** What the library throws is about the message; it repeats parts of it, so we say it in our words. */
function refuseBecause(error: unknown, root: XmlElement): never {
  const said = error instanceof Error ? error.message : ''
  const [, problem] = reasons.find(([pattern]) => pattern.test(said)) ?? []
  const isUnsigned = childrenOf(root, 'assertion', 'Assertion').some(
    (assertion) => childrenOf(assertion, 'signature', 'Signature').length === 0,
  )
  throw refuse(
    isUnsigned
      ? 'the assertion is not signed: the identity provider must sign assertions, not only responses'
      : (problem ?? 'the SAML message is not one that is expected here'),
    { cause: error },
  )
}

const reasons: [RegExp, string][] = [
  [/signature|signed/i, "the message's signature is not the identity provider's"],
  [/audience/i, 'the assertion is for another audience'],
  [/decryption/i, 'the assertion is encrypted, which is not supported: TLS encrypts it'],
]
