import { sameHash, sha256 } from '../protocol/digest.ts'
import type { Emit } from '../protocol/events.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Clock } from '../protocol/time.ts'
import { type Client, type ClientSecret, MAX_CLIENT_ID, type ReplayStore } from '../stores/ports.ts'
import { claimedClientId, problemOfAssertion } from './client-assertion.ts'
import { type ClientParameters, type PresentedCredentials, readCredentials } from './client-credentials.ts'
import type { ClientKeys } from './client-keys.ts'
import type { ClientRegistry } from './client-registry.ts'

export interface ClientAuthenticationOptions {
  readonly registry: Pick<ClientRegistry, 'find'>
  readonly keys: ClientKeys
  readonly replays: ReplayStore
  readonly issuer: string
  readonly clock: Clock
  readonly emit: Emit
}

/** What unknown clients' secrets are compared with, so that they cost what known clients' do. */
const nobody: ClientSecret = { hash: sha256('no client has this secret') }

/**
 * The reception: tells who the client is, or refuses. Whatever the reason, the refusal reads the same, so nobody can
 * find out which clients exist.
 */
export function createClientAuthentication({
  registry,
  keys,
  replays,
  issuer,
  clock,
  emit,
}: ClientAuthenticationOptions) {
  /** @returns the private reason why these credentials do not prove that client */
  function problemOf(
    presented: PresentedCredentials,
    client: Client | undefined,
    source: string,
  ): string | undefined | Promise<string | undefined> {
    if (presented.method === 'client_secret_basic' || presented.method === 'client_secret_post') {
      const presentedHash = sha256(presented.secret)
      const matching = (client?.secrets.length ? client.secrets : [nobody]).filter(({ hash }) =>
        sameHash(hash, presentedHash),
      )
      if (client === undefined) return 'unknown client'
      if (client.authenticationMethod !== presented.method)
        return `registered for ${client.authenticationMethod}, came with ${presented.method}`
      if (matching.length === 0) return 'wrong secret'
      const now = clock()
      return matching.some(({ expiresAt = Infinity }) => now < expiresAt) ? undefined : 'expired secret'
    }
    if (client === undefined) return 'unknown client'
    const isMore = client.origin === 'document' && presented.method === 'private_key_jwt'
    if (client.authenticationMethod !== presented.method && !isMore)
      return `registered for ${client.authenticationMethod}, came with ${presented.method}`
    return presented.method === 'private_key_jwt'
      ? problemOfAssertion(presented.assertion, { ...client, source }, { keys, issuer, clock, replays })
      : undefined
  }

  /**
   * @param authorization the `Authorization` header
   * @param source where the request comes from
   * @throws OAuthError `invalid_client` (401) or, for several methods at once, `invalid_request`
   */
  return async function authenticateClient(
    authorization: string | undefined,
    form: ClientParameters,
    source: string,
  ): Promise<Client> {
    const presented = readCredentials(authorization, form)
    const clientId =
      presented.method === 'private_key_jwt' ? claimedClientId(presented.assertion) : presented.clientId
    let problem: string | undefined
    let client: Client | undefined
    if (clientId === undefined || clientId.length > MAX_CLIENT_ID) {
      problem = 'no readable client id'
    } else {
      client = await registry.find(clientId, source)
      const told =
        presented.clientId !== undefined && presented.clientId !== clientId
          ? 'client_id differs from the assertion'
          : problemOf(presented, client, source)
      problem = told instanceof Promise ? await told : told
    }
    if (problem !== undefined || client === undefined) {
      emit('client.authentication_failed', {
        clientId: clientId?.slice(0, MAX_CLIENT_ID),
        reason: problem ?? 'unknown client',
      })
      throw new OAuthError('invalid_client', 'client authentication failed', { cause: problem })
    }
    return client
  }
}

export type AuthenticateClient = ReturnType<typeof createClientAuthentication>
