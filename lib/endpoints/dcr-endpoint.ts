import type { Request, Response, Router } from 'express'
import { clientMetadataOf, readClientMetadata } from '../clients/client-metadata.ts'
import { REGISTERED_ID_PREFIX } from '../clients/client-registry.ts'
import { clientInForce, endOfSecretOf } from '../clients/registration-policy.ts'
import { type Aat, partsOf } from '../http/aat.ts'
import { readMetadataBody } from '../http/body.ts'
import { sendJson, setNoStore } from '../http/headers.ts'
import { limitRequests, type RateLimitOptions, rateLimitOption } from '../http/rate-limit.ts'
import { sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { callback, either, oneOf, optional, readOptions, suggestion, text } from '../protocol/options.ts'
import { randomId } from '../protocol/random.ts'
import type { Client } from '../stores/ports.ts'
import { jsonEndpoint } from './endpoint-router.ts'

export interface DcrEndpointOptions {
  /**
   * Who may register: `'anyone'`, or a function of the request that says yes or no. Required: an open door should be one
   * that somebody opened.
   */
  allow: 'anyone' | ((req: Request) => boolean | Promise<boolean>)
  /** Name of the policy that its clients are judged by (default `default`): see `registration.policies` of `createAat`. */
  policy?: string | undefined
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
  const { allow, policy, rateLimit } = readOptions(
    'dcrEndpoint',
    options,
    {
      allow: either(
        (value) => typeof value === 'function',
        callback<(req: Request) => boolean | Promise<boolean>>(),
        oneOf('anyone'),
      ),
      policy: optional(text({ max: 32 }), 'default'),
      rateLimit: rateLimitOption(60, 60),
    },
    (read, report) => {
      const names = [...parts.registrations.policies.keys()]
      if (!names.includes(read.policy))
        report(`policy is not one of registration.policies of createAat${suggestion(read.policy, names)}`)
    },
  )

  async function handle(req: Request, res: Response): Promise<void> {
    if (allow !== 'anyone' && (await allow(req)) !== true) {
      throw new OAuthError('access_denied', 'this server does not let you register a client')
    }
    const now = parts.clock()
    const rules = parts.registrations.policy(policy)
    const draft = readClientMetadata(await readMetadataBody(req), rules)
    const secret =
      draft.authenticationMethod === 'client_secret_basic' ||
      draft.authenticationMethod === 'client_secret_post'
        ? randomId(parts.random, 32)
        : undefined
    const endOfSecret = endOfSecretOf(rules, now)
    const client: Client = {
      ...draft,
      id: REGISTERED_ID_PREFIX + randomId(parts.random),
      origin: 'registered',
      secrets:
        secret === undefined
          ? []
          : [{ hash: sha256(secret), ...(endOfSecret !== undefined && { expiresAt: endOfSecret }) }],
      createdAt: now,
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
      ...clientMetadataOf(clientInForce(client, rules)),
      ...(secret !== undefined && {
        client_secret: secret,
        client_secret_expires_at: Math.floor(endOfSecret ?? 0),
      }),
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
