import type { Request, Response, Router } from 'express'
import {
  type ClientDraft,
  clientMetadataOf,
  type RegistrationPolicy,
  readClientMetadata,
} from '../clients/client-metadata.ts'
import { REGISTERED_ID_PREFIX } from '../clients/client-registry.ts'
import { type Aat, partsOf } from '../http/aat.ts'
import { readMetadataBody } from '../http/body.ts'
import { sendJson, setNoStore } from '../http/headers.ts'
import { limitRequests, type RateLimitOptions, rateLimitOption } from '../http/rate-limit.ts'
import { sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { callback, either, flag, listOf, oneOf, optional, readOptions, text } from '../protocol/options.ts'
import { randomId } from '../protocol/random.ts'
import type { Client } from '../stores/ports.ts'
import { jsonEndpoint } from './endpoint-router.ts'

export interface DcrEndpointOptions {
  /**
   * Who may register: `'anyone'`, or a function of the request that says yes or no. Required: an open door should be one
   * that somebody opened.
   */
  allow: 'anyone' | ((req: Request) => boolean | Promise<boolean>)
  /** Grant types that a registration may ask for (default `authorization_code` and `refresh_token`). */
  grantTypes?: ('authorization_code' | 'refresh_token' | 'client_credentials')[] | undefined
  /** Scopes that registered clients may ever get (default all of the resources'). */
  scopes?: string[] | undefined
  /**
   * Clients may choose by `use_idp_session_expiry: false` to outlive the session at the identity provider where this server
   * binds to it (default false: they are told `true`). To be bound where the server does not bind, any client may choose.
   */
  mayOutliveIdpSession?: boolean | undefined
  /** Registrations from one address (default 60 in 60 seconds). */
  rateLimit?: RateLimitOptions | false | undefined
}

/**
 * Dynamic client registration (RFC 7591). Answers 201 with what was registered; a secret is shown this once and kept as a
 * hash. Mount it where `endpoints.registration` says.
 * @throws ConfigurationError while the app starts, for wrong options
 */
export function dcrEndpoint(aat: Aat, options: DcrEndpointOptions): Router {
  const parts = partsOf(aat, 'dcrEndpoint')
  const knownScopes = [
    ...new Set([...parts.resources.all.values()].flatMap((resource) => [...resource.scopes.keys()])),
  ]
  const { allow, grantTypes, scopes, mayOutliveIdpSession, rateLimit } = readOptions(
    'dcrEndpoint',
    options,
    {
      allow: either(
        (value) => typeof value === 'function',
        callback<(req: Request) => boolean | Promise<boolean>>(),
        oneOf('anyone'),
      ),
      grantTypes: optional(
        listOf(oneOf('authorization_code', 'refresh_token', 'client_credentials'), { min: 1 }),
        ['authorization_code', 'refresh_token'],
      ),
      scopes: optional(listOf(text({ max: 128 }))),
      mayOutliveIdpSession: optional(flag, false),
      rateLimit: rateLimitOption(60, 60),
    },
    (read, report) => {
      for (const scope of read.scopes ?? [])
        if (!knownScopes.includes(scope)) report(`scopes has ${JSON.stringify(scope)}, which no resource has`)
    },
  )
  const policy: RegistrationPolicy = {
    grantTypes,
    scopes: scopes ?? knownScopes,
    privateUseSchemes: parts.privateUseSchemes,
    mustUseIdpSessionExpiry: parts.refreshPolicyOf({}).idpSession !== undefined && !mayOutliveIdpSession,
  }

  /** A stolen token that is kept would never be noticed (RFC 9700 §2.2.2). */
  function refuseKeptTokens(draft: ClientDraft): void {
    const isKept =
      draft.authenticationMethod === 'none' &&
      draft.grantTypes.includes('refresh_token') &&
      parts.refreshPolicyOf(draft).issuance === 'keep'
    if (isKept && !parts.keepsForPublicClients)
      throw new OAuthError(
        'invalid_client_metadata',
        'refresh tokens of this server do not rotate, so a client that has them must authenticate (RFC 9700 section 2.2.2)',
      )
  }

  async function handle(req: Request, res: Response): Promise<void> {
    if (allow !== 'anyone' && (await allow(req)) !== true) {
      throw new OAuthError('access_denied', 'this server does not let you register a client')
    }
    const draft = readClientMetadata(await readMetadataBody(req), policy)
    refuseKeptTokens(draft)
    const secret =
      draft.authenticationMethod === 'client_secret_basic' ||
      draft.authenticationMethod === 'client_secret_post'
        ? randomId(parts.random, 32)
        : undefined
    const client: Client = {
      ...draft,
      id: REGISTERED_ID_PREFIX + randomId(parts.random),
      origin: 'registered',
      secrets: secret === undefined ? [] : [{ hash: sha256(secret) }],
      createdAt: parts.clock(),
    }
    const outcome = await parts.registry.register(client)
    if (outcome !== 'created')
      throw new OAuthError('temporarily_unavailable', 'no more clients can be registered at the moment', {
        cause: `client store: ${outcome}`,
        retryAfter: 60,
      })
    parts.emit('client.registered', {
      clientId: client.id,
      ...(client.name !== undefined && { clientName: client.name }),
      redirectUris: client.redirectUris,
    })
    setNoStore(res)
    sendJson(res, 201, {
      ...clientMetadataOf(client),
      ...(secret !== undefined && { client_secret: secret, client_secret_expires_at: 0 }),
    })
  }

  return jsonEndpoint(parts, {
    name: 'registration',
    allow: 'POST',
    corsHeaders: 'Authorization, Content-Type',
    before: [limitRequests('registration', rateLimit, parts)],
    handle: (req, res) =>
      handle(req, res).catch((error: unknown) => {
        if (error instanceof OAuthError && error.status < 500)
          parts.emit('registration.refused', { reason: error.message })
        throw error
      }),
  })
}
