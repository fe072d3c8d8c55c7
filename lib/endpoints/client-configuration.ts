import type { Request, RequestHandler, Response } from 'express'
import { clientMetadataOf } from '../clients/client-metadata.ts'
import { hasSecret, isReplyLost, withNewSecret } from '../clients/client-secrets.ts'
import { refusal } from '../clients/metadata-members.ts'
import { endOfSecretOf, type RegistrationPolicy } from '../clients/registration-policy.ts'
import { findRegistrationToken } from '../clients/registration-tokens.ts'
import { usesSecret } from '../clients/self-describing-id.ts'
import { updatedClient } from '../clients/updated-client.ts'
import type { Aat, AatParts } from '../http/aat.ts'
import { readMetadataBody } from '../http/body.ts'
import { clientAddress } from '../http/client-address.ts'
import { countHeader, sendJson, setNoStore } from '../http/headers.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { NumericDate } from '../protocol/time.ts'
import { isRegisteredId } from '../stores/client-description.ts'
import type { Client } from '../stores/ports.ts'
import { jsonEndpoint } from './json-endpoint.ts'

/** How a registration is managed by its client. */
export interface ManagementRules {
  /** A registration access token is good for one use, and each answer has the next one. */
  readonly rotateTokens: boolean
  /** Each update gives a new secret. */
  readonly rotateSecrets: boolean
  /** Seconds for which older secrets stay good then. */
  readonly secretOverlap: number
}

/** What an answer tells beside the metadata. */
interface Given {
  readonly token: string
  readonly secret?: string | undefined
}

/** Members of an answer that a client must not send back (RFC 7592 §2.2). */
const ours = [
  'registration_access_token',
  'registration_client_uri',
  'client_secret_expires_at',
  'client_id_issued_at',
]

/** Is this path, beneath the registration endpoint, that of a client? */
export function isClientPath(path: string): boolean {
  return isRegisteredId(path.slice(1))
}

/** A registration as its client is told of it (RFC 7591 §3.2.1, RFC 7592 §3). @param client as it is in force */
export function registrationOf(
  client: Client,
  { token, secret }: Given,
  { endpoints }: Pick<AatParts, 'endpoints'>,
): Record<string, unknown> {
  const told = clientMetadataOf(client)
  if (secret !== undefined) told.client_secret = secret
  if (usesSecret(client)) told.client_secret_expires_at = Math.floor(client.secrets[0]?.expiresAt ?? 0)
  // Where it manages its registration.
  told.registration_client_uri = `${endpoints.registration}/${client.id}`
  told.registration_access_token = token
  return told
}

/** The client configuration endpoint (RFC 7592): read, update, delete, by who has the registration access token. */
export function clientConfiguration(
  aat: Aat,
  parts: AatParts,
  rules: ManagementRules,
  before: RequestHandler,
): RequestHandler {
  const { registry, registrations } = parts
  const limitUnused = (req: Request) => parts.limitUnused(clientAddress(req))

  /** @throws OAuthError 401 for anybody else than the client, also where there is none (RFC 7592 §2) */
  function authenticate(client: Client | undefined, presented: string, now: NumericDate) {
    const used = client && findRegistrationToken(client, presented, now)
    if (client === undefined || used === undefined || registrations.inForce(client) === undefined)
      throw unauthorized()
    if (client.disabledAt !== undefined) throw new OAuthError('access_denied', 'the client is disabled')
    return used
  }

  /** The client after the token was used, and the token that is good from now on. */
  function afterUse(client: Client, presented: string, now: NumericDate): { client: Client; token: string } {
    const used = authenticate(client, presented, now)
    return rules.rotateTokens
      ? parts.rotateRegistrationToken(client, presented, used, now)
      : { client, token: presented }
  }

  async function read(req: Request, id: string, presented: string): Promise<Record<string, unknown>> {
    let token = presented
    const client = await registry.change(
      id,
      (known, now) => {
        const after = afterUse(known, presented, now)
        token = after.token
        return after.client === known ? undefined : after.client
      },
      { whenUnused: () => limitUnused(req) },
    )
    if (client === undefined) throw unauthorized()
    return answerOf(client, { token })
  }

  async function update(req: Request, id: string, presented: string): Promise<Record<string, unknown>> {
    // Nobody else gets to know what would be accepted.
    const before = (await registry.look(id))?.client
    authenticate(before, presented, parts.clock())
    const metadata = await readMetadataBody(req)
    const said = ours.find((member) => metadata[member] !== undefined)
    if (said !== undefined)
      throw new OAuthError('invalid_request', `${said} must not be sent (RFC 7592 section 2.2)`)
    if (metadata.client_id !== id)
      throw new OAuthError('invalid_request', 'client_id must be that of the client (RFC 7592 section 2.2)')
    const policy = registrations.policy(before?.policy)
    const draft = await registrations.judge(metadata, policy)

    let given: Given = { token: presented }
    const client = await registry.change(
      id,
      (known, now) => {
        const after = afterUse(known, presented, now)
        checkSecret(metadata.client_secret, known)
        const updated = updatedClient(after.client, draft, policy)
        const fresh = needsSecret(updated, metadata.client_secret as string | undefined, policy, now)
          ? withNewSecret(
              updated,
              { now, overlap: rules.secretOverlap, expiresAt: endOfSecretOf(policy, now) },
              parts.random,
            )
          : undefined
        given = { token: after.token, secret: fresh?.secret }
        return fresh?.client ?? updated
      },
      { whenUnused: () => limitUnused(req) },
    )
    if (client === undefined) throw unauthorized()
    parts.emit('client.updated', { clientId: id, redirectUris: client.redirectUris })
    if (given.secret !== undefined) parts.emit('client.secret_rotated', { clientId: id, by: 'client' })
    return answerOf(client, given)
  }

  /** A secret is due: where there is none, where it is so configured, where its reply was lost, or where half of its life is over. */
  function needsSecret(
    client: Client,
    presented: string | undefined,
    policy: RegistrationPolicy,
    now: NumericDate,
  ): boolean {
    if (!usesSecret(client)) return false
    const [newest] = client.secrets
    if (newest === undefined || rules.rotateSecrets) return true
    if (isReplyLost(client.secrets, presented, now)) return true
    const end = endOfSecretOf(policy, now)
    return newest.expiresAt !== undefined && newest.expiresAt - now < ((end ?? Infinity) - now) / 2
  }

  async function remove(req: Request, id: string, presented: string): Promise<void> {
    const known = await registry.look(id)
    authenticate(known?.client, presented, parts.clock())
    if (known?.revision === undefined) await limitUnused(req)
    if ((await aat.clients.delete(id)) !== 'deleted') throw unauthorized()
  }

  function answerOf(client: Client, given: Given): Record<string, unknown> {
    const inForce = registrations.inForce(client)
    if (inForce === undefined) throw unauthorized()
    return registrationOf(inForce, given, parts)
  }

  async function handle(req: Request, res: Response): Promise<void> {
    const id = req.path.slice(1)
    const presented = readToken(req)
    setNoStore(res)
    if (req.method === 'DELETE') {
      await remove(req, id, presented)
      res.statusCode = 204
      res.end()
      return
    }
    sendJson(res, 200, await (req.method === 'PUT' ? update(req, id, presented) : read(req, id, presented)))
  }

  return jsonEndpoint(parts, {
    name: 'registration',
    isHere: isClientPath,
    allow: 'GET, PUT, DELETE',
    corsHeaders: 'Authorization, Content-Type',
    before,
    handle,
  })
}

function checkSecret(secret: unknown, client: Client): void {
  if (secret === undefined) return
  // Also one that has ended: an update is how a client gets the next one, and its token has proven who it is.
  if (typeof secret !== 'string' || !hasSecret(client.secrets, secret))
    throw refusal('client_secret must be that of the client (RFC 7592 section 2.2)')
}

/** @throws OAuthError where there is none, or there are two */
function readToken(req: Request): string {
  if (countHeader(req.rawHeaders, 'authorization') > 1)
    throw new OAuthError('invalid_request', 'Authorization is there more than once')
  const token = /^bearer +([A-Za-z0-9._~+/-]{1,512}) *$/i.exec(req.headers.authorization ?? '')?.[1]
  if (token === undefined)
    throw req.headers.authorization === undefined
      ? new OAuthError('invalid_token', 'the registration access token is needed', { challenge: CHALLENGE })
      : unauthorized()
  return token
}

const CHALLENGE = 'Bearer realm="registration"'

/** The same for a wrong token and for a client that is not there: nobody finds out which there are. */
function unauthorized(): OAuthError {
  return new OAuthError('invalid_token', 'the registration access token is not valid here', {
    challenge: `${CHALLENGE}, error="invalid_token"`,
  })
}
