import { createHash } from 'node:crypto'
import type { Request, RequestHandler, Response } from 'express'
import type { Resource } from '../protocol/resource.ts'
import { proofAlgorithms } from '../tokens/proof-key.ts'
import { handleCors, sendJson } from './headers.ts'
import { sendMethodNotAllowed, sendNotFound } from './responder.ts'

/** A public JSON document. */
export interface Document {
  readonly body: unknown
  /** Seconds that it may be cached. */
  readonly maxAge: number
}

/** Seconds that metadata may be cached. */
export const METADATA_MAX_AGE = 300

/**
 * Serves documents by their full path. Every other path that a client may probe for them, and that no other of these
 * handlers of the app serves, is a JSON 404, whatever the app's catch-all would say: a page there would mislead clients.
 */
export function serveDocuments(
  documents: ReadonlyMap<string, () => Document | Promise<Document>>,
): RequestHandler {
  return (req, res, next) => {
    const path = req.baseUrl + (req.path === '/' && req.baseUrl !== '' ? '' : req.path)
    const document = documents.get(path)
    if (document === undefined)
      return isProbe(path) && !isServedBeside(req, path) ? sendNotFound(req, res) : next()
    if (
      handleCors(req, res, {
        origins: '*',
        methods: 'GET, HEAD, OPTIONS',
        headers: 'Content-Type, MCP-Protocol-Version',
      })
    )
      return
    if (req.method !== 'GET' && req.method !== 'HEAD') return sendMethodNotAllowed(req, res, 'GET, HEAD')
    Promise.resolve()
      .then(document)
      .then((content) => sendDocument(req, res, content))
      .catch(next)
  }
}

const documentsOf = new WeakMap<object, ReadonlyMap<string, unknown>>()

/** Says what a handler that an app mounts serves, so that no other of the app answers in its place. */
export function serving<H extends RequestHandler>(handler: H, documents: ReadonlyMap<string, unknown>): H {
  documentsOf.set(handler, documents)
  return handler
}

/** Whether another handler at the root of this app has the document: several issuers, and no order among them. */
function isServedBeside({ app }: Request, path: string): boolean {
  // Express 4 throws where its router is asked for by the name that it has in Express 5.
  const { stack = [] } = (app._router ?? app.router ?? {}) as { stack?: { handle: object }[] }
  return stack.some(({ handle }) => documentsOf.get(handle)?.has(path))
}

function sendDocument(req: Request, res: Response, { body, maxAge }: Document): void {
  const etag = `"${createHash('sha256').update(JSON.stringify(body)).digest('base64url').slice(0, 27)}"`
  res.setHeader('Cache-Control', `public, max-age=${maxAge}`)
  res.setHeader('ETag', etag)
  const known = req.headers['if-none-match']?.split(',').map((tag) => tag.trim().replace(/^W\//, ''))
  if (known?.includes(etag)) {
    res.statusCode = 304
    res.end()
    return
  }
  sendJson(res, 200, body)
}

function isProbe(path: string): boolean {
  return (
    /\/\.well-known\/+(?:oauth-authorization-server|oauth-protected-resource|openid-configuration)(?:\/|$)/i.test(
      path,
    ) || /\/\.well-known\/+jwks\.json\/*$/i.test(path)
  )
}

/** RFC 9728 §2. */
export function resourceMetadataOf(
  resource: Pick<Resource, 'identifier' | 'name' | 'scopes'>,
  issuer: string,
  binds: { readonly isDpopRequired: boolean; readonly readsCertificates: boolean },
): Record<string, unknown> {
  return {
    resource: resource.identifier,
    authorization_servers: [issuer],
    scopes_supported: [...resource.scopes.keys()],
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: proofAlgorithms,
    ...(binds.isDpopRequired && { dpop_bound_access_tokens_required: true }),
    ...(binds.readsCertificates && { tls_client_certificate_bound_access_tokens: true }),
    ...(resource.name !== undefined && { resource_name: resource.name }),
  }
}
