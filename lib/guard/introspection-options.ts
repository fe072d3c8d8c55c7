import { callback, flag, object, oneOf, optional, text, verified, whole } from '../protocol/options.ts'
import { problemOfPublishedUrl } from '../protocol/resource-uri.ts'

/** How an issuer elsewhere is asked about tokens (RFC 7662). */
export interface RemoteIntrospectionOptions {
  /** The client as which this API asks: its `introspects` at the issuer names the resources here. */
  clientId: string
  /** For `client_secret_basic`. */
  clientSecret?: string | undefined
  /** For `private_key_jwt`: makes an assertion (RFC 7523) for each question, within `timeout` seconds. */
  clientAssertion?: (() => string | Promise<string>) | undefined
  /** `all` (default): JWTs are verified here and then asked about, so that revocations are known; `opaque`: only opaque tokens. */
  tokens?: 'all' | 'opaque' | undefined
  /**
   * Seconds that an answer is believed (default 5, 0 to 3,600): as long a revoked token may still be accepted. No is believed for
   * 5 at least, and for 60 where the token was good here before, or is a JWT.
   */
  cache?: number | undefined
  /** Seconds that a good answer is believed for longer while the issuer cannot be asked (default 0, to 3,600). */
  staleWhileError?: number | undefined
  /**
   * Ask for answers that a key of the issuer's JWK Set signed (RFC 9701), which can be kept as evidence (default false). What lies between
   * cannot change one, but could give that about another opaque token of the last minute: TLS has to end at the issuer's.
   */
  signed?: boolean | undefined
  /** Default as the issuer's metadata says. */
  endpoint?: string | undefined
}

const shape = object({
  clientId: text({ max: 255 }),
  clientSecret: optional(text({ max: 1024 })),
  clientAssertion: optional(callback<NonNullable<RemoteIntrospectionOptions['clientAssertion']>>()),
  tokens: optional(oneOf('all', 'opaque'), 'all'),
  cache: optional(whole('seconds', 0, 3600), 5),
  staleWhileError: optional(whole('seconds', 0, 3600), 0),
  signed: optional(flag, false),
  endpoint: optional(verified<string>(problemOfPublishedUrl)),
})

export type IntrospectionSettings = ReturnType<typeof shape>

export const introspectionOption = optional((value, path, report) => {
  const settings = shape(value, path, report)
  if ((settings.clientSecret === undefined) === (settings.clientAssertion === undefined))
    report(`${path} needs either clientSecret or clientAssertion`)
  return settings
})
