import { Router } from 'express'
import { type ClientCertificate, certificateReader } from '../http/client-certificate.ts'
import {
  type Document,
  METADATA_MAX_AGE,
  resourceMetadataOf,
  serveDocuments,
  serving,
} from '../http/documents.ts'
import { callListener } from '../protocol/hooks.ts'
import { callback, optional, readOptions, text, verified, whole } from '../protocol/options.ts'
import { randomId, systemRandom } from '../protocol/random.ts'
import { scopesOf } from '../protocol/resource.ts'
import { catalogueOf, type ResourceOptions, resourcesOption } from '../protocol/resource-options.ts'
import { problemOfPublishedUrl, wellKnownUrl } from '../protocol/resource-uri.ts'
import { type Clock, systemClock } from '../protocol/time.ts'
import { type VerifiedTokensOptions, verifiedTokensOption } from '../tokens/token-cache.ts'
import { tellOnce } from '../tokens/turns.ts'
import { neverRevoked } from '../tokens/verified.ts'
import { createVerifier } from '../tokens/verifier.ts'
import { introspectionOption, type RemoteIntrospectionOptions } from './introspection-options.ts'
import { createQuestion } from './introspection-question.ts'
import { type Fetch, issuerDocuments } from './issuer-documents.ts'
import { fetchPost, keepAlivePost } from './post-form.ts'
import { type RemoteDpopOptions, remoteDpopOption, remoteDpopRules } from './remote-dpop.ts'
import { createRemoteIntrospection } from './remote-introspection.ts'
import { createRemoteKeys } from './remote-keys.ts'
import type { TokenSource } from './token-source.ts'

/** How the tokens of an issuer elsewhere are checked. Durations are in seconds. */
export interface RemoteIssuerOptions {
  /** The resources that this app serves, in the shape of `createAat`'s: URL, scopes, audience. */
  resources: Record<string, ResourceOptions>
  /** Which of them a guard protects that names none; default the only one. */
  defaultResource?: string | undefined
  /** Where the JWK Set is; default as the issuer's metadata says (RFC 8414). */
  jwksUri?: string | undefined
  /** Seconds by which clocks may differ (default 5, 0 to 60). */
  clockTolerance?: number | undefined
  /** Seconds: tokens that claim to live longer are refused (default 86,400). */
  maxTokenLifetime?: number | undefined
  /** Seconds that the JWK Set is kept (default 600; the issuer's `max-age` may shorten it). */
  cacheLifetime?: number | undefined
  /** Seconds between fetches for unknown keys (default 30). */
  cooldown?: number | undefined
  /**
   * Ask the issuer about tokens (RFC 7662): about opaque ones, which nobody else can read, and about JWTs, so that revocations
   * are known here too. Default: it is never asked; JWTs are good until they expire, and opaque tokens are not accepted.
   */
  introspection?: RemoteIntrospectionOptions | undefined
  /** How many verified access tokens are remembered, as of `createAat`. */
  verifiedTokens?: VerifiedTokensOptions | undefined
  /** How DPoP proofs are checked here. */
  dpop?: RemoteDpopOptions | undefined
  /** The certificate of the client's TLS connection, as of `createAat`. */
  clientCertificate?: ClientCertificate | undefined
  /** Seconds that a fetch, or `clientAssertion`, may take (default 5). */
  timeout?: number | undefined
  /** Told when keys or answers cannot be had; default a warning of the process. Nobody waits for it, and what it throws changes nothing. */
  onFault?: ((error: unknown, reference: string) => void) | undefined
  /** The network; default the global `fetch`. */
  fetch?: Fetch | undefined
  /** Seconds since the epoch; default the machine's clock. */
  clock?: Clock | undefined
}

/** An issuer in another process, for `requireAat` and `protectedResource`. */
export interface RemoteIssuer {
  readonly issuer: string
  /**
   * Fetches the issuer's metadata and keys at boot, so that the first request does not wait. Optional: without it they are
   * fetched when a token is there.
   * @throws Error that says why the keys cannot be had; what is tried again later may succeed
   */
  hydrate(): Promise<void>
}

interface RemoteParts {
  readonly source: TokenSource
  readonly resources: ReturnType<typeof catalogueOf>
}

const partsByRemote = new WeakMap<object, RemoteParts>()

/**
 * Tokens of an express-aat (or another RFC 9068 issuer whose token headers are exactly `alg`, `typ`, `kid`) that runs
 * elsewhere: verified with its published JWK Set. Revocation is known only to the issuer's own processes; here a token is good
 * until it expires, or, with `introspection`, for as long as the issuer says so when it is asked.
 * @throws ConfigurationError while the app starts, for wrong options
 */
export function remoteIssuer(issuer: string, options: RemoteIssuerOptions): RemoteIssuer {
  const url = verified<string>(problemOfPublishedUrl)
  const settings = readOptions(
    'remoteIssuer',
    options,
    {
      resources: resourcesOption,
      defaultResource: optional(text()),
      jwksUri: optional(url),
      clockTolerance: optional(whole('seconds', 0, 60), 5),
      maxTokenLifetime: optional(whole('seconds', 1, 31_536_000), 86_400),
      cacheLifetime: optional(whole('seconds', 1, 86_400), 600),
      verifiedTokens: verifiedTokensOption,
      introspection: introspectionOption,
      dpop: remoteDpopOption,
      clientCertificate: optional(callback<ClientCertificate>()),
      cooldown: optional(whole('seconds', 1, 3600), 30),
      timeout: optional(whole('seconds', 1, 60), 5),
      onFault: optional(callback<NonNullable<RemoteIssuerOptions['onFault']>>()),
      fetch: optional(callback<Fetch>()),
      clock: optional(callback<Clock>(), systemClock),
    },
    (read, report) => {
      const problem = problemOfPublishedUrl(issuer)
      if (problem !== undefined) report(`the issuer ${problem}`)
      if (read.defaultResource !== undefined && !Object.hasOwn(read.resources, read.defaultResource))
        report('defaultResource is not one of resources')
    },
  )
  const {
    jwksUri,
    introspection,
    clock,
    cacheLifetime,
    cooldown,
    timeout,
    clockTolerance,
    maxTokenLifetime,
  } = settings
  const resources = catalogueOf(settings.resources, settings.defaultResource)
  let warnedAt = Number.NEGATIVE_INFINITY
  const documents = issuerDocuments(
    issuer,
    settings.fetch ?? ((...args) => globalThis.fetch(...args)),
    timeout,
  )
  const rules = {
    issuer,
    audiences: [...resources.all.values()].map(({ audience }) => audience),
    tolerance: clockTolerance,
    maxLifetime: maxTokenLifetime,
  }
  const limits = settings.verifiedTokens
  const keys = createRemoteKeys({ issuer, jwksUri, documents, clock, cacheLifetime, cooldown })
  const verifier = createVerifier({
    ...rules,
    clock,
    keyNow: keys.keyNow,
    keyFor: keys.keyFor,
    isRevoked: neverRevoked,
    limits,
  })
  const asker =
    introspection &&
    createRemoteIntrospection({
      settings: introspection,
      rules,
      verifyJwt: verifier.verify,
      ask: createQuestion({
        settings: introspection,
        issuer,
        post: settings.fetch === undefined ? keepAlivePost() : fetchPost(settings.fetch),
        published: () => documents.published('introspection_endpoint'),
        keyFor: async (kid) => keys.keyNow(kid) ?? keys.keyFor(kid),
        clock,
        timeout,
      }),
      clock,
      limits,
    })
  const source: TokenSource = {
    issuer,
    clockTolerance,
    clock,
    resources: [...resources.all.keys()],
    defaultResource: resources.fallback?.identifier,
    audienceOf: (resource) => resources.all.get(resource)?.audience,
    scopesOf: (resource) => scopesOf(resources, resource),
    verify: asker?.verify ?? verifier.verify,
    knowsOpaque: () => (asker === undefined ? false : undefined),
    senders: {
      ...remoteDpopRules(settings.dpop, clock),
      readCertificate: settings.clientCertificate && certificateReader(settings.clientCertificate),
    },
    // What only the issuer's own processes know is asked about, or not known here.
    countUse: () => undefined,
    isFresh: () => true,
    becomeFresh: async () => undefined,
    onFault: (error) =>
      tellOnce(
        error,
        () => randomId(systemRandom, 9),
        (reference) => {
          const { onFault } = settings
          if (onFault !== undefined) callListener('onFault', () => onFault(error, reference))
          else if (!(clock() - warnedAt < 60)) {
            // An outage refuses every request; one line a minute tells of it.
            warnedAt = clock()
            process.emitWarning(`express-aat: ${wordsOf(error)} (reference ${reference})`)
          }
        },
      ),
  }
  const remote: RemoteIssuer = Object.freeze({ issuer, hydrate: keys.hydrate })
  partsByRemote.set(remote, { source, resources })
  return remote
}

/** The whole chain of reasons may be told: none holds secrets, and what `clientAssertion` threw is not in it. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return 'a fault'
  return error.cause === undefined ? error.message : `${error.message}: ${wordsOf(error.cause)}`
}

/** The token source of a remote issuer, or `undefined` for anything else. */
export function sourceOfRemote(issuer: object): TokenSource | undefined {
  return typeof issuer === 'object' && issuer !== null ? partsByRemote.get(issuer)?.source : undefined
}

/**
 * Protected resource metadata (RFC 9728) for an API whose issuer is elsewhere; mount it at the root of the app.
 * (`wellKnown(aat)` does this where the issuer is in the same process.)
 */
export function protectedResource(remote: RemoteIssuer): Router {
  const parts = partsByRemote.get(remote)
  if (parts === undefined)
    throw new TypeError('protectedResource: the argument must be what remoteIssuer() returned')
  const documents = new Map<string, () => Document>()
  const binds = {
    isDpopRequired: false,
    readsCertificates: parts.source.senders.readCertificate !== undefined,
  }
  for (const resource of parts.resources.all.values()) {
    documents.set(new URL(wellKnownUrl(resource.identifier, 'oauth-protected-resource')).pathname, () => ({
      body: resourceMetadataOf(resource, remote.issuer, binds),
      maxAge: METADATA_MAX_AGE,
    }))
  }
  const router = Router()
  router.use(serveDocuments(documents))
  return serving(router, documents)
}
