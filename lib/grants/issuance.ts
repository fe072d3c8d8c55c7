import type { Confirmation } from '../protocol/confirmation.ts'
import { isThenable } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { readTokenTarget } from '../protocol/resource.ts'
import { coversScope } from '../protocol/scope.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Writable } from '../protocol/writable.ts'
import { idpSessionKeys } from '../revocation/known-revocations.ts'
import { isOver, limitsOf, sessionEndOf, withEnd } from '../stores/family-limits.ts'
import type { Client, FamilyLimits, Grant, Obtainable, RefreshPolicy } from '../stores/ports.ts'
import type { Signer } from '../tokens/access-token.ts'
import { checkCustomClaims } from '../tokens/mint.ts'
import type { RefreshToken } from '../tokens/refresh-token.ts'
import { accessTokenTerms } from './access-token-terms.ts'
import {
  type GrantTypeOptions,
  reportIssued,
  type TokenContext,
  type TokenRequest,
  type TokenResponse,
  tokenTypeOf,
  type Wanted,
} from './grant-type.ts'

/** A token request of a user's authorization: who asks for what. */
export interface GrantRequest extends TokenRequest {
  /** In force for the client at this request. */
  readonly policy: RefreshPolicy
  /** What the sender proved. */
  readonly confirmation: Confirmation | undefined
  readonly wanted: Wanted
  readonly grantType: 'authorization_code' | 'refresh_token'
}

/** What the app's hooks said. */
export interface Consulted {
  readonly customClaims?: Record<string, unknown>
}

/** What both grant types of a user's authorization share: asking the hooks first, and minting last. */
export function createGrantIssuance({
  hooks,
  resources,
  mint,
  emit,
  revocations,
  endGrant,
  checkIdpSession,
}: GrantTypeOptions) {
  const everything: Obtainable = new Map(
    [...resources.all.values()].map(({ identifier, scopes }) => [identifier, new Set(scopes.keys())]),
  )

  /** Asks the app's hooks. @throws OAuthError where the answer is no, or nothing of the scope is left */
  async function consult(
    grant: Grant,
    { client, policy, wanted, grantType }: GrantRequest,
  ): Promise<Consulted> {
    // The store refuses what exceeds the grant; the app is not asked about it.
    if (!isWithin(grant, wanted)) return {}
    const { resource, scope } = readTokenTarget(resources, grant, wanted, client)
    if (
      hooks.isSubjectActive !== undefined &&
      (await hooks.isSubjectActive(grant.subject, { clientId: client.id })) !== true
    ) {
      throw new OAuthError('invalid_grant', 'the user is no longer active')
    }
    if (
      grantType === 'refresh_token' &&
      policy.idpSession !== undefined &&
      (await checkIdpSession?.(grant)) === 'ended'
    )
      throw new OAuthError('invalid_grant', 'the session at the identity provider has ended')
    if (hooks.claims === undefined) return {}
    const context: TokenContext = {
      grantType,
      clientId: client.id,
      subject: grant.subject,
      scope,
      resource: resource.identifier,
    }
    return { customClaims: checkCustomClaims(await hooks.claims(context)) }
  }

  /** When the session that bounds this grant ends, where something was said of it since the grant was given. */
  function sessionEnd(grant: Grant, policy: RefreshPolicy): NumericDate | undefined {
    return policy.idpSession && grant.idpSession && revocations.sessionEnd(grant.idpSession)
  }

  return {
    /** The hooks are asked about a grant, and the store has to be told of a session that moved: it is read before the commit. */
    needsReading: (policy: RefreshPolicy): boolean =>
      hooks.claims !== undefined ||
      hooks.isSubjectActive !== undefined ||
      (policy.idpSession !== undefined && (checkIdpSession !== undefined || revocations.hasMovedSessions())),

    /** What the store has to be told of the session of a grant that was read: that it ends at another time by now. */
    movedEnd(grant: Grant | undefined, policy: RefreshPolicy): NumericDate | undefined {
      return (grant && sessionEnd(grant, policy)) || undefined
    },

    /** What tokens of this client can be for today. */
    obtainableBy(client: Client): Obtainable {
      const { allowedScope } = client
      if (allowedScope === undefined) return everything
      return new Map(
        [...everything].map(([id, scopes]) => [
          id,
          new Set(allowedScope.filter((token) => scopes.has(token))),
        ]),
      )
    },

    consult,

    /**
     * The session of a grant that the store takes for over was prolonged: until when? The log is read once more, since another
     * instance may have been told a moment ago.
     */
    async prolonged(grant: Grant, policy: RefreshPolicy): Promise<NumericDate | undefined> {
      if (policy.idpSession === undefined || grant.idpSession === undefined) return undefined
      const { expiresAt } = grant.idpSession
      const isLater = (end: NumericDate | undefined) => end !== undefined && end > (expiresAt ?? 0)
      if (!isLater(sessionEnd(grant, policy))) await revocations.pull().catch(() => undefined)
      const end = sessionEnd(grant, policy)
      return isLater(end) ? end : undefined
    },

    async issue(
      grant: Grant,
      { client, policy, confirmation, wanted, grantType }: GrantRequest,
      signer: Signer,
      stored: FamilyLimits | undefined,
      refreshToken: RefreshToken | undefined,
      { customClaims }: Consulted,
    ): Promise<TokenResponse> {
      // A revocation of the client, the subject or the session that this commit raced with. A session whose time is over is
      // refused below and not ended: that may be said otherwise again.
      if (revocations.coversGrant(grant, policy)) {
        await endGrant(grant.id, 'revoked', 'an earlier revocation')
        throw new OAuthError('invalid_grant', 'the grant was revoked')
      }
      const end = sessionEnd(grant, policy)
      const limits = stored && end !== undefined ? movedLimits(grant, policy, stored, end) : stored
      if (limits !== undefined && isOver(limits))
        throw new OAuthError('invalid_grant', 'the session at the identity provider is about to end')
      const { resource, scope } = readTokenTarget(resources, grant, wanted, client)
      const terms = accessTokenTerms(client, resource)
      const names = policy.idpSession && idpSessionKeys(grant.idpSession)
      const minting = mint(
        {
          clientId: client.id,
          subject: grant.subject,
          // Member by member, as everywhere on this way: spreading costs more than deriving a token.
          audience: terms.audience,
          lifetime: terms.lifetime,
          format: terms.format,
          scope,
          bound: limits === undefined ? (end ?? sessionEndOf(grant, policy)) : limits.bound,
          authTime: grant.authTime,
          acr: grant.acr,
          amr: grant.amr,
          grantId: grant.id,
          grantedAt: grant.createdAt,
          session: names?.session,
          idpSubject: names?.idpSubject,
          sessionBegan: names && grant.sessionBegan,
          confirmation,
          customClaims,
        },
        signer,
      )
      const minted = isThenable(minting) ? await minting : minting
      reportIssued(emit, minted, grantType, resource.identifier)
      const answer: Writable<TokenResponse> = {
        access_token: minted.token,
        token_type: tokenTypeOf(confirmation),
        expires_in: minted.expiresIn,
        scope: minted.claims.scope,
      }
      if (refreshToken === undefined || limits === undefined) return answer
      answer.refresh_token = refreshToken.text
      answer.refresh_token_expires_in = Math.floor(limits.expiresAt - limits.now)
      return answer
    },
  }
}

/** By the end of its session that is known now; where that is known, no period counts. */
function movedLimits(
  grant: Grant,
  policy: RefreshPolicy,
  { openedAt, now }: FamilyLimits,
  end: NumericDate,
): FamilyLimits {
  return limitsOf({ grant: withEnd(grant, end), openedAt, periodStart: openedAt }, policy, now)
}

function isWithin(grant: Grant, { resource, scope }: Wanted): boolean {
  return (
    coversScope(grant.scope, scope ?? []) && (resource === undefined || grant.resources.includes(resource))
  )
}
