import type { Request, RequestHandler, Response } from 'express'
import { DEFAULT_POLICY } from '../clients/registration-policy.ts'
import { type Aat, partsOf } from '../http/aat.ts'
import { readMetadataBody } from '../http/body.ts'
import { sendJson, setNoStore } from '../http/headers.ts'
import { limitRequests, type RateLimitOptions, rateLimitOption } from '../http/rate-limit.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { flag, optional, readOptions, suggestion, text, whole } from '../protocol/options.ts'
import { clientConfiguration, isClientPath } from './client-configuration.ts'
import { jsonEndpoint } from './json-endpoint.ts'
import { registerClient } from './register-client.ts'
import { type Admission, doorsOf, doorsOption, type RegistrationDoor } from './registration-doors.ts'

/** Who may register clients, and how registrations are managed. */
export interface DcrEndpointOptions {
  /**
   * Who may register: nobody, or whom a door opens to; of several the first that opens decides. Required: an open door
   * should be one that somebody opened.
   */
  allow: 'nobody' | RegistrationDoor | readonly RegistrationDoor[]
  /** Name of the policy that its clients are judged by (default `default`): see `registration.policies` of `createAat`. */
  policy?: string | undefined
  /** A registration access token is good for one use, and each answer to it has the next one (default false). */
  rotateRegistrationAccessTokens?: boolean | undefined
  /** Each update by its client gives it a new secret (default false: where it has none, or half of its life is over). */
  rotateClientSecrets?: boolean | undefined
  /** Seconds for which older secrets stay good when an update gives a new one (default 3,600). */
  clientSecretOverlap?: number | undefined
  /** Registrations from one address, and apart from them requests about a client's own (default 60 in 60 seconds of each). */
  rateLimit?: RateLimitOptions | false | undefined
}

/**
 * Dynamic client registration (RFC 7591). Answers 201 with what was registered; a secret is shown this once and kept as a
 * hash. Beneath it each client manages its own registration (RFC 7592). Mount it where `endpoints.registration` says.
 * @throws ConfigurationError while the app starts, for wrong options
 */
export function dcrEndpoint(aat: Aat, options: DcrEndpointOptions): RequestHandler {
  const parts = partsOf(aat, 'dcrEndpoint')
  let admit: (req: Request) => Promise<Admission>
  const { rateLimit, ...management } = readOptions(
    'dcrEndpoint',
    options,
    {
      allow: doorsOption,
      policy: optional(text({ max: 32 }), DEFAULT_POLICY),
      rotateRegistrationAccessTokens: optional(flag, false),
      rotateClientSecrets: optional(flag, false),
      clientSecretOverlap: optional(whole('seconds', 0, 31_536_000), 3600),
      rateLimit: rateLimitOption(60, 60),
    },
    (read, report) => {
      const names = [...parts.registrations.policies.keys()]
      if (!names.includes(read.policy))
        report(`policy is not one of registration.policies of createAat${suggestion(read.policy, names)}`)
      admit = doorsOf(read.allow, read.policy, parts, report)
    },
  )

  async function handle(req: Request, res: Response): Promise<void> {
    const admission = await admit(req)
    const body = await registerClient(await readMetadataBody(req), admission, parts)
    setNoStore(res)
    sendJson(res, 201, body)
  }

  const registration = jsonEndpoint(parts, {
    name: 'registration',
    allow: 'POST',
    corsHeaders: 'Authorization, Content-Type',
    before: limitRequests('registration', rateLimit, parts),
    handle: (req, res) =>
      handle(req, res).catch((error: unknown) => {
        if (error instanceof OAuthError && !error.isFault)
          parts.emit('registration.refused', { reason: error.message })
        throw error
      }),
  })
  const configuration = clientConfiguration(
    aat,
    parts,
    {
      rotateTokens: management.rotateRegistrationAccessTokens,
      rotateSecrets: management.rotateClientSecrets,
      secretOverlap: management.clientSecretOverlap,
    },
    limitRequests('client configuration', rateLimit, parts),
  )
  // Clients would try what never works.
  if (options.allow === 'nobody') parts.mounted.delete('registration')
  return (req, res, next) => (isClientPath(req.path) ? configuration : registration)(req, res, next)
}
