import { OAuthError } from '../protocol/oauth-error.ts'
import { ConfigurationError } from '../protocol/options.ts'
import { type Clock, systemClock, systemMonotonic } from '../protocol/time.ts'
import { providerFault, reasonOfFailure } from './oidc-failure.ts'
import type { OidcSettings } from './oidc-options.ts'

type Openid = typeof import('openid-client')
type Configuration = import('openid-client').Configuration
export type ServerMetadata = import('openid-client').ServerMetadata
/** How openid-client and jose ask the provider. */
export type ProviderFetch = (url: string, init?: object) => Promise<Response>

/** The longest answer of a provider that is read, in bytes. */
const MAX_ANSWER = 256 * 1024
/** Seconds that the provider's metadata are believed without asking again. */
const METADATA_LIFE = 3600
/** Seconds between attempts to renew them while the provider is away. */
const METADATA_PAUSE = 60

/** That the provider is away is nothing that the user, or the provider's own logout request, did wrong. */
export function providerAway(cause: unknown): OAuthError {
  return new OAuthError(
    'temporarily_unavailable',
    'the identity provider does not answer as it should at the moment, try again',
    { cause, retryAfter: 5 },
  )
}

/** openid-client is an optional peer: only who signs users in by OpenID Connect has it. */
export async function loadOpenidClient(
  load: () => Promise<Openid> = () => import('openid-client'),
): Promise<Openid> {
  try {
    return await load()
  } catch {
    throw new ConfigurationError('oidcSignIn', ['needs openid-client 6: npm install openid-client'])
  }
}

/** The provider, as far as it is asked things: by `fetch` with a limit on time and size, and by its metadata. */
export function createOidcProvider(settings: OidcSettings, clock: Clock) {
  const { issuer, clientId, clientSecret, clockTolerance, httpTimeout } = settings
  let known: { readonly server: ServerMetadata; readonly at: number } | undefined
  /** The last answer that came, for the operator. */
  let answered = 'nothing answered'
  let asking: Promise<ServerMetadata> | undefined

  /** @throws OAuthError 503 where there is no answer in time, one that is too long, 429, or 5xx */
  const ask: ProviderFetch = async (url, init) => {
    const { origin, pathname } = new URL(url)
    try {
      // The one limit on time: it covers the body too.
      const signal = AbortSignal.timeout(httpTimeout)
      const response = await fetch(url, { ...init, redirect: 'manual', signal })
      const chunks: Uint8Array[] = []
      let size = 0
      for await (const chunk of response.body ?? []) {
        size += chunk.length
        if (size > MAX_ANSWER) throw new Error(`the answer is over ${MAX_ANSWER} bytes`)
        chunks.push(chunk)
      }
      const { status, headers } = response
      if (status >= 500 || status === 429) throw new Error(`the answer is ${status}`)
      answered = `${origin}${pathname} answered ${status}`
      return new Response(size === 0 ? null : Buffer.concat(chunks), { status, headers })
    } catch (error) {
      throw providerAway(new Error(`${origin}${pathname}: ${reasonOfFailure(error)}`))
    }
  }

  async function discover(): Promise<ServerMetadata> {
    const openid = await loadOpenidClient()
    let server: ServerMetadata
    try {
      const found = await openid.discovery(new URL(issuer), clientId, undefined, undefined, {
        execute: allowsHttp ? [openid.allowInsecureRequests] : [],
        timeout: (httpTimeout + 1000) / 1000,
        [openid.customFetch]: ask,
      })
      server = found.serverMetadata()
    } catch (error) {
      throw providerAway(new Error(`discovery of ${issuer}: ${answered}: ${reasonOfFailure(error)}`))
    }
    // OpenID Connect Discovery §4.3; what every ID token and logout token is compared with.
    if (server.issuer !== issuer)
      throw new ConfigurationError('oidcSignIn', [
        `issuer is not what the provider calls itself, which is ${JSON.stringify(server.issuer).slice(0, 200)}`,
      ])
    return checked(server)
  }

  /** What is used of them. @throws OAuthError 502 for metadata by which nobody could sign in */
  function checked(server: ServerMetadata): ServerMetadata {
    const isUrl = (value: unknown) =>
      typeof value === 'string' && URL.canParse(value) && (value.startsWith('https:') || allowsHttp)
    const { end_session_endpoint: out, token_endpoint_auth_methods_supported: methods, ...rest } = server
    for (const name of ['authorization_endpoint', 'token_endpoint', 'jwks_uri'])
      if (!isUrl(server[name]))
        throw providerFault(
          'the identity provider did not answer as it must',
          `the metadata of ${issuer} have no ${name} that is an https URL`,
        )
    return {
      ...rest,
      ...(isUrl(out) && { end_session_endpoint: out }),
      ...(Array.isArray(methods) && { token_endpoint_auth_methods_supported: methods }),
    } as ServerMetadata
  }

  const allowsHttp = issuer.startsWith('http:')

  /** What the provider says of itself; while it is away, what it said before. @throws OAuthError 503 */
  async function metadata(): Promise<ServerMetadata> {
    if (known !== undefined && systemMonotonic() < known.at + METADATA_LIFE) return known.server
    asking ??= discover().finally(() => {
      asking = undefined
    })
    try {
      const server = await asking
      known = { server, at: systemMonotonic() }
      return server
    } catch (error) {
      if (known === undefined) throw error
      // Not each request has to wait for a provider that hangs.
      known = { server: known.server, at: systemMonotonic() - METADATA_LIFE + METADATA_PAUSE }
      return known.server
    }
  }

  function authenticationOf(openid: Openid, server: ServerMetadata) {
    if (clientSecret === undefined) return openid.None()
    // OpenID Connect Discovery §3: client_secret_basic where the provider does not say.
    const methods = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
    return methods.includes('client_secret_basic') || !methods.includes('client_secret_post')
      ? openid.ClientSecretBasic(clientSecret)
      : openid.ClientSecretPost(clientSecret)
  }

  return {
    ask,
    metadata,

    /** For one use of openid-client, by the time of this server. @param fetch counts, or watches, what is asked */
    async client(
      fetch: ProviderFetch = ask,
    ): Promise<{ openid: Openid; configuration: Configuration; server: ServerMetadata }> {
      const [openid, server] = await Promise.all([loadOpenidClient(), metadata()])
      const configuration = new openid.Configuration(
        server,
        clientId,
        {
          [openid.clockSkew]: Math.round(clock() - systemClock()),
          [openid.clockTolerance]: clockTolerance,
        },
        authenticationOf(openid, server),
      )
      if (allowsHttp) openid.allowInsecureRequests(configuration)
      // The signature of ID tokens, by the keys that the provider publishes now: TLS alone is not taken for it.
      openid.enableNonRepudiationChecks(configuration)
      configuration[openid.customFetch] = fetch
      configuration.timeout = (httpTimeout + 1000) / 1000
      return { openid, configuration, server }
    },
  }
}

export type OidcProvider = ReturnType<typeof createOidcProvider>
