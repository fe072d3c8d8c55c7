import type { Emit } from '../protocol/events.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { Client, Grant, PendingRequest, Stores } from '../stores/ports.ts'
import type { AuthorizationCodes } from '../tokens/authorization-code.ts'
import type { IdpSessions } from './idp-sessions.ts'
import { consentNameOf } from './remembered-consent.ts'
import type { SignedInUser } from './user.ts'

export interface AuthorizeOptions {
  readonly stores: Stores
  readonly codes: AuthorizationCodes
  readonly clock: Clock
  readonly emit: Emit
  /** Seconds. */
  readonly codeLifetime: number
  /** Seconds that refresh tokens of a client live; `undefined` where it gets none. */
  readonly refreshLifetimeOf: (client: Client) => number | undefined
  /** A user agreed to this client: it has to be kept. */
  readonly keepClient: (clientId: string) => Promise<void>
  readonly findClient: (clientId: string) => Promise<Client | undefined>
  /** Seconds for which a consent is remembered; 0 to ask each time. */
  readonly consentLifetime: number
  readonly idpSessions: IdpSessions
}

/**
 * Makes a user's yes into an authorization code (RFC 6749 §4.1.2) and remembers it.
 * `decidedAt` is from before the app was asked who the user is: a revocation that comes between the two covers the grant.
 */
export function createAuthorize({
  stores,
  codes,
  clock,
  emit,
  codeLifetime,
  refreshLifetimeOf,
  keepClient,
  findClient,
  consentLifetime,
  idpSessions,
}: AuthorizeOptions) {
  return async function authorize(
    request: Omit<PendingRequest, 'browser'>,
    user: SignedInUser,
    scope: readonly string[],
    by: 'user' | 'remembered' | 'first-party',
    decidedAt: NumericDate,
  ): Promise<string> {
    const code = codes.create()
    const now = clock()
    const grant: Grant = {
      id: code.grantId,
      clientId: request.clientId,
      subject: user.subject,
      scope,
      resources: request.resources,
      createdAt: decidedAt,
      authTime: user.authTime,
      ...(user.acr !== undefined && { acr: user.acr }),
      ...(user.amr !== undefined && { amr: user.amr }),
      ...(user.idpSession !== undefined && {
        idpSession: idpSessions.current(user.idpSession),
        sessionBegan: user.signedInAt ?? user.authTime,
      }),
    }
    await keepClient(grant.clientId)
    const client = await findClient(grant.clientId)
    const refreshLifetime = client && refreshLifetimeOf(client)
    if (by === 'user' && consentLifetime > 0 && client !== undefined) {
      await stores.consents.remember(
        user.subject,
        request.clientId,
        new Map(
          request.resources.map((resource) => [
            consentNameOf(client, request.redirectUri, resource),
            new Set(scope),
          ]),
        ),
        now + consentLifetime,
      )
    }
    await stores.grants.issueCode({
      grant,
      codeHash: code.hash,
      redirectUri: request.redirectUri,
      redirectUriRequired: request.redirectUriRequired,
      codeChallenge: request.codeChallenge,
      ...(request.dpopJkt !== undefined && { dpopJkt: request.dpopJkt }),
      expiresAt: now + codeLifetime,
      ...(refreshLifetime !== undefined && { refreshLifetime }),
    })
    emit('authorization.granted', {
      clientId: grant.clientId,
      subject: grant.subject,
      grantId: grant.id,
      scope: scope.join(' '),
      resources: grant.resources,
      by,
    })
    return code.text
  }
}

export type Authorize = ReturnType<typeof createAuthorize>
