import { type RateLimitOptions, rateLimitOption } from '../http/rate-limit.ts'
import { callback, optional, readOptions, text, verified, whole } from '../protocol/options.ts'
import { problemOfPublishedUrl } from '../protocol/resource-uri.ts'
import type { NumericDate } from '../protocol/time.ts'
import { localPath } from './sign-in.ts'

/** The claims of a verified ID token (OpenID Connect Core §2). */
export interface IdTokenClaims {
  readonly iss: string
  /** What the provider calls the user. */
  readonly sub: string
  readonly [claim: string]: unknown
}

export interface OidcSignInOptions {
  /**
   * Public URL of the mount: https (http on loopback only), no trailing slash. The provider is told `${url}/callback` as redirect
   * URI, `${url}/signed-out` as post-logout redirect URI and `${url}/backchannel-logout` as back-channel logout URI. Never taken
   * from a request.
   */
  url: string
  /** The provider's issuer identifier, byte for byte as it says it itself; its metadata is discovered from it. */
  issuer: string
  clientId: string
  /** Left out for a public client. Sent as `client_secret_basic`, or as `client_secret_post` where the provider takes only that. */
  clientSecret?: string | undefined
  /** Default `openid`. */
  scope?: string | undefined
  /** The app's own id of the user (default: the `sub` claim). Whatever it throws is a fault of the app. */
  subject?: ((claims: IdTokenClaims) => string | Promise<string>) | undefined
  /** What the consent page calls the user. */
  displayName?: ((claims: IdTokenClaims) => string | undefined | Promise<string | undefined>) | undefined
  /**
   * When the session at the provider ends, in seconds since the epoch, where the ID token has no `session_expiry` claim:
   * `({ tokenResponse }) => Date.now() / 1000 + Number(tokenResponse.refresh_expires_in)`, say.
   */
  sessionEnd?:
    | ((context: {
        readonly claims: IdTokenClaims
        /** What the provider's token endpoint answered (RFC 6749 §5.1). */
        readonly tokenResponse: Readonly<Record<string, unknown>>
      }) => NumericDate | undefined | Promise<NumericDate | undefined>)
    | undefined
  /** A path of this site to go to after a sign-out (default `/`). */
  afterSignOut?: string | undefined
  /** Seconds by which the provider's clock may differ (default 30; 0 to 300). */
  clockTolerance?: number | undefined
  /** Milliseconds that each request to the provider may take (default 5,000; 10 to 30,000). */
  httpTimeout?: number | undefined
  /** Requests from one address (default 3,000 in 60 seconds). */
  rateLimit?: RateLimitOptions | false | undefined
}

/** @throws ConfigurationError that lists everything that is wrong */
export function readOidcOptions(options: OidcSignInOptions) {
  return readOptions('oidcSignIn', options, {
    url: verified<string>(
      (value) =>
        problemOfPublishedUrl(value) ??
        (String(value).endsWith('/') ? 'must not end with a slash' : undefined),
    ),
    issuer: verified<string>(problemOfPublishedUrl),
    clientId: text({ max: 512 }),
    clientSecret: optional(text({ max: 1024 })),
    scope: optional(
      text({
        max: 1024,
        pattern: /^(?:[\x21-\x7e]+ )*openid(?: [\x21-\x7e]+)*$/,
        what: 'scopes with openid',
      }),
      'openid',
    ),
    subject: optional(callback<NonNullable<OidcSignInOptions['subject']>>()),
    displayName: optional(callback<NonNullable<OidcSignInOptions['displayName']>>()),
    sessionEnd: optional(callback<NonNullable<OidcSignInOptions['sessionEnd']>>()),
    afterSignOut: optional(
      verified<string>((value) =>
        localPath(value as string) === value ? undefined : 'must be a path of this site, like /',
      ),
      '/',
    ),
    clockTolerance: optional(whole('seconds', 0, 300), 30),
    httpTimeout: optional(whole('milliseconds', 10, 30_000), 5000),
    rateLimit: rateLimitOption(60, 3000),
  })
}

export type OidcSettings = ReturnType<typeof readOidcOptions>
