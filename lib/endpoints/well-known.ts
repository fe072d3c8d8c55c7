import { type RequestHandler, Router } from 'express'
import { assertionAlgorithms } from '../clients/client-assertion.ts'
import { authenticationMethods } from '../clients/client-credentials.ts'
import { type Aat, type AatParts, type EndpointName, partsOf } from '../http/aat.ts'
import {
  type Document,
  METADATA_MAX_AGE,
  resourceMetadataOf,
  serveDocuments,
  serving,
} from '../http/documents.ts'
import { jsonErrors } from '../http/responder.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { wellKnownUrl } from '../protocol/resource-uri.ts'
import { proofAlgorithms } from '../tokens/proof-key.ts'

/**
 * The public documents, to be mounted at the root of the app, before its catch-all: authorization server metadata (RFC 8414,
 * for issuers with a path too), protected resource metadata (RFC 9728) for each resource on the issuer's origin, and the JWK
 * Set. Only endpoints that the app has made are advertised.
 */
export function wellKnown(aat: Aat): RequestHandler {
  const parts = partsOf(aat, 'wellKnown')
  parts.mounted.add('jwks')
  const { origin, pathname } = new URL(parts.issuer)
  const issuerPath = pathname === '/' ? '' : pathname
  const documents = new Map<string, () => Document | Promise<Document>>([
    [`/.well-known/oauth-authorization-server${issuerPath}`, () => serverMetadataOf(parts)],
    [`${issuerPath}/.well-known/oauth-authorization-server`, () => serverMetadataOf(parts)],
    [new URL(parts.endpoints.jwks).pathname, () => jwksOf(parts)],
    // As it arrives from a proxy that strips the issuer's path.
    ['/.well-known/jwks.json', () => jwksOf(parts)],
  ])
  const binds = {
    isDpopRequired: parts.dpop.required,
    readsCertificates: parts.readCertificate !== undefined,
  }
  for (const resource of parts.resources.all.values()) {
    const url = new URL(wellKnownUrl(resource.identifier, 'oauth-protected-resource'))
    if (url.origin === origin)
      documents.set(url.pathname, () => ({
        body: resourceMetadataOf(resource, parts.issuer, binds),
        maxAge: METADATA_MAX_AGE,
      }))
  }
  const router = Router()
  router.use(serveDocuments(documents), jsonErrors('wellKnown', parts))
  const jwksPath = new URL(parts.endpoints.jwks).pathname
  // Every request of the app comes by here, and a router costs each of them something.
  const handler: RequestHandler = (req, res, next) =>
    /\/\.well-known\//i.test(req.originalUrl) || req.originalUrl.includes(jwksPath)
      ? router(req, res, next)
      : next()
  return serving(handler, documents)
}

/** Those of the keys that verifiers find (RFC 9701 §7); not said while there is none. */
function signingAlgs(keyRing: AatParts['keyRing']): string[] | undefined {
  const algs = new Set(keyRing.jwks().keys.map(({ alg }) => String(alg)))
  return algs.size === 0 ? undefined : [...algs]
}

function serverMetadataOf({
  issuer,
  endpoints,
  mounted,
  grantTypes,
  resources,
  keyRing,
  readCertificate,
  hasDocumentClients,
}: AatParts): Document {
  const endpoint = (name: EndpointName) => (mounted.has(name) ? endpoints[name] : undefined)
  const hasUsers = mounted.has('authorization')
  const confidential = authenticationMethods.filter((method) => method !== 'none')
  const body = {
    issuer,
    authorization_endpoint: endpoint('authorization'),
    token_endpoint: endpoint('token'),
    jwks_uri: endpoint('jwks'),
    registration_endpoint: endpoint('registration'),
    revocation_endpoint: endpoint('revocation'),
    introspection_endpoint: endpoint('introspection'),
    scopes_supported: [
      ...new Set([...resources.all.values()].flatMap((resource) => [...resource.scopes.keys()])),
    ],
    response_types_supported: hasUsers ? ['code'] : [],
    response_modes_supported: hasUsers ? ['query'] : undefined,
    grant_types_supported: [...grantTypes.keys()].filter((type) => type === 'client_credentials' || hasUsers),
    token_endpoint_auth_methods_supported: authenticationMethods,
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms,
    revocation_endpoint_auth_methods_supported: mounted.has('revocation') ? authenticationMethods : undefined,
    revocation_endpoint_auth_signing_alg_values_supported: mounted.has('revocation')
      ? assertionAlgorithms
      : undefined,
    introspection_endpoint_auth_methods_supported: mounted.has('introspection') ? confidential : undefined,
    introspection_endpoint_auth_signing_alg_values_supported: mounted.has('introspection')
      ? assertionAlgorithms
      : undefined,
    introspection_signing_alg_values_supported: mounted.has('introspection')
      ? signingAlgs(keyRing)
      : undefined,
    tls_client_certificate_bound_access_tokens: readCertificate && mounted.has('token') ? true : undefined,
    dpop_signing_alg_values_supported: mounted.has('token') ? proofAlgorithms : undefined,
    code_challenge_methods_supported: hasUsers ? ['S256'] : undefined,
    authorization_response_iss_parameter_supported: hasUsers ? true : undefined,
    client_id_metadata_document_supported: hasUsers && hasDocumentClients ? true : undefined,
    prompt_values_supported: hasUsers ? ['none', 'login', 'consent', 'select_account'] : undefined,
    protected_resources: [...resources.all.keys()],
  }
  return {
    body: Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)),
    maxAge: METADATA_MAX_AGE,
  }
}

/** Never an empty set: without a key there is nothing to say, and caches must not keep that. */
async function jwksOf({ keyRing, jwksMaxAge }: AatParts): Promise<Document> {
  try {
    await keyRing.loaded()
  } catch (error) {
    throw new OAuthError('temporarily_unavailable', 'there is no signing key yet', {
      cause: error,
      retryAfter: 1,
    })
  }
  const body = keyRing.jwks()
  if (body.keys.length === 0)
    throw new OAuthError('temporarily_unavailable', 'there is no signing key yet', { retryAfter: 1 })
  return { body, maxAge: jwksMaxAge }
}
