import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { type RateLimitOptions, rateLimitOption } from '../http/rate-limit.ts'
import {
  callback,
  either,
  listOf,
  object,
  optional,
  readOptions,
  text,
  verified,
  whole,
} from '../protocol/options.ts'
import { judgeRedirectUri } from '../protocol/redirect-uri.ts'
import type { NumericDate } from '../protocol/time.ts'
import { localPath } from './sign-in.ts'

/** What the identity provider says of a user, from the signed assertion alone. */
export interface SamlProfile {
  /** What the provider calls the user (saml-core-2.0-os §2.2.3). */
  readonly nameId: string
  /** The format of the NameID: whether it is an email address, persistent, … */
  readonly nameIdFormat: string | undefined
  /** Whose name it is, where the provider speaks for several: part of the name then (saml-core-2.0-os §8.3.7). */
  readonly nameQualifier: string | undefined
  readonly spNameQualifier: string | undefined
  readonly sessionIndex: string | undefined
  /** All values of each attribute, by its `Name` (§2.7.3.1). */
  readonly attributes: Readonly<Record<string, readonly string[]>>
}

/** The identity provider, as its metadata describes it. */
export interface SamlIdp {
  /** `entityID`: who issues the assertions. */
  entityId: string
  /** `SingleSignOnService` with the binding HTTP-Redirect. */
  signInUrl: string
  /** `SingleLogoutService` with the binding HTTP-Redirect; left out, users are signed out here only. */
  logoutUrl?: string | undefined
  /** Its `ResponseLocation` (saml-metadata-2.0-os §2.2.2); default `logoutUrl`. */
  logoutResponseUrl?: string | undefined
  /** PEM: signing certificates, of which any may have signed; more than one while keys rotate. */
  certificates: string | string[]
}

export interface SamlSignInOptions {
  /** The public URL of the mount, for example `https://shop.example.com/saml`. Never taken from a request. */
  url: string
  /** What we are called at the provider; default `${url}/metadata`. */
  entityId?: string | undefined
  idp: SamlIdp
  /** PEM, RSA: signs the requests to the provider. Required with `idp.logoutUrl`, where the profile wants signatures. */
  privateKey?: string | undefined
  /** PEM: the certificate of `privateKey`, for the metadata. */
  certificate?: string | undefined
  /** The `sub` of the user; default the NameID, which must not be transient then. */
  subject?: ((profile: SamlProfile) => string | Promise<string>) | undefined
  /** Shown on the consent page. */
  displayName?: ((profile: SamlProfile) => string | undefined | Promise<string | undefined>) | undefined
  /**
   * When the session at the provider ends, in seconds since the epoch; asked where the assertion has no SessionNotOnOrAfter.
   * `undefined`: nobody knows.
   */
  sessionEnd?:
    | ((profile: SamlProfile) => NumericDate | undefined | Promise<NumericDate | undefined>)
    | undefined
  /** Seconds that the provider's clock may differ from ours (default 30; 0 to 300). */
  clockTolerance?: number | undefined
  /** A path of this site (default `/`). */
  afterSignOut?: string | undefined
  /** Requests from one address (default 600 in 60 seconds). */
  rateLimit?: RateLimitOptions | false | undefined
}

/** Those of `samlSignIn`, with defaults, and keys instead of PEM. */
export type SamlSettings = ReturnType<typeof readSamlOptions>

/** https, or http on loopback: what passes through is a user's sign-in. */
function webUrl(noSlash: boolean) {
  return verified<string>((given) => {
    if (typeof given !== 'string') return 'must be a URL'
    const judged = judgeRedirectUri(given)
    if ('problem' in judged) return judged.problem
    if (judged.kind === 'private-use') return 'must be an https URL'
    return noSlash && /\?|\/$/.test(given) ? 'must have no query and no slash at its end' : undefined
  })
}

const entityId = text({ max: 512, pattern: /^[\x21-\x7e]+$/, what: 'a URI of at most 512 characters' })

/** Certificates from PEM; one text may have several. */
function certificatesIn(pem: string): X509Certificate[] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g)
  try {
    return blocks?.map((block) => new X509Certificate(block))
  } catch {
    return undefined
  }
}

const certificate = verified<string>((given) => {
  const found = typeof given === 'string' ? certificatesIn(given) : undefined
  if (found === undefined) return 'must be a certificate in PEM'
  return found.every((one) => one.publicKey.asymmetricKeyType === 'rsa') ? undefined : 'must be of an RSA key'
})

function privateKeyIn(pem: unknown): KeyObject | undefined {
  try {
    return typeof pem === 'string' ? createPrivateKey(pem) : undefined
  } catch {
    return undefined
  }
}

const privateKey = verified<string>((given) =>
  privateKeyIn(given)?.asymmetricKeyType === 'rsa' ? undefined : 'must be an unencrypted RSA key in PEM',
)

/** @throws ConfigurationError */
export function readSamlOptions(options: SamlSignInOptions) {
  const read = readOptions(
    'samlSignIn',
    options,
    {
      url: webUrl(true),
      entityId: optional(entityId),
      idp: object({
        entityId,
        signInUrl: webUrl(false),
        logoutUrl: optional(webUrl(false)),
        logoutResponseUrl: optional(webUrl(false)),
        certificates: either(Array.isArray, listOf(certificate, { min: 1, max: 10 }), certificate),
      }),
      privateKey: optional(privateKey),
      certificate: optional(certificate),
      subject: optional(callback<NonNullable<SamlSignInOptions['subject']>>()),
      displayName: optional(callback<NonNullable<SamlSignInOptions['displayName']>>()),
      sessionEnd: optional(callback<NonNullable<SamlSignInOptions['sessionEnd']>>()),
      clockTolerance: optional(whole('seconds', 0, 300), 30),
      afterSignOut: optional(
        verified<string>((path) =>
          typeof path === 'string' && localPath(path) === path ? undefined : 'must be a path of this site',
        ),
        '/',
      ),
      rateLimit: rateLimitOption(60, 600),
    },
    (given, report) => {
      if ((given.privateKey === undefined) !== (given.certificate === undefined))
        report('privateKey and certificate go together')
      if (given.idp.logoutUrl !== undefined && given.privateKey === undefined)
        report('idp.logoutUrl needs privateKey and certificate: logout messages must be signed')
      if (given.idp.logoutResponseUrl !== undefined && given.idp.logoutUrl === undefined)
        report('idp.logoutResponseUrl needs idp.logoutUrl')
      if (given.privateKey !== undefined && given.certificate !== undefined) {
        const [own] = certificatesIn(given.certificate) ?? []
        if (own?.checkPrivateKey(createPrivateKey(given.privateKey)) !== true)
          report('certificate is not that of privateKey')
      }
    },
  )
  const { idp, url } = read
  const certificates = [idp.certificates].flat().flatMap((pem) => certificatesIn(pem) ?? [])
  return {
    ...read,
    entityId: read.entityId ?? `${url}/metadata`,
    path: new URL(url).pathname.replace(/\/$/, ''),
    callbackUrl: `${url}/callback`,
    logoutUrl: `${url}/logout`,
    privateKey: privateKeyIn(read.privateKey),
    certificate: certificatesIn(read.certificate ?? '')?.[0],
    idp: {
      ...idp,
      logoutResponseUrl: idp.logoutResponseUrl ?? idp.logoutUrl,
      /** When these expire says nothing: the configuration decides, as metadata does (saml-metadata-2.0-os §2.4.1.1). */
      certificates: certificates.map((one) => one.toString()),
      keys: certificates.map((one) => one.publicKey),
    },
  }
}
