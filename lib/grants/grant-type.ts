import type { Emit } from '../protocol/events.ts'
import type { Form } from '../protocol/form.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Random } from '../protocol/random.ts'
import { OFFLINE_ACCESS, type ResourceCatalogue, readTokenTarget } from '../protocol/resource.ts'
import { canonicalResource } from '../protocol/resource-uri.ts'
import { coversScope, parseScope } from '../protocol/scope.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { EndGrant } from '../revocation/end-grant.ts'
import type { RevocationLog } from '../revocation/revocation-log.ts'
import type { Client, FamilyLimits, Grant, GrantStore, Obtainable, RefreshPolicy } from '../stores/ports.ts'
import type { Signer } from '../tokens/access-token.ts'
import type { AuthorizationCodes } from '../tokens/authorization-code.ts'
import { checkCustomClaims, type Mint, type MintedAccessToken } from '../tokens/mint.ts'
import type { RefreshToken, RefreshTokens } from '../tokens/refresh-token.ts'

/** A successful token response (RFC 6749 §5.1); members that do not apply are left out, never `null`. */
export interface TokenResponse {
  readonly access_token: string
  readonly token_type: 'Bearer'
  readonly expires_in: number
  readonly scope: string
  readonly refresh_token?: string
  /** Seconds that the refresh token is still good for. */
  readonly refresh_token_expires_in?: number
}

/** A room: one `grant_type`. All refusals come before its one atomic store call; after it, only minting. `now` is from
 * before the client was authenticated. */
export type GrantType = (client: Client, form: Form, now: NumericDate) => Promise<TokenResponse>

/** What an access token is about to be issued for, as the app's hooks see it. */
export interface TokenContext {
  readonly grantType: 'authorization_code' | 'refresh_token' | 'client_credentials'
  readonly clientId: string
  /** The user, or `client:` and the client's id where there is none. */
  readonly subject: string
  readonly scope: readonly string[]
  readonly resource: string
}

/** The app's say in what is issued. A hook that throws is the app's fault: `server_error`, and nothing is consumed. */
export interface IssuanceHooks {
  readonly claims:
    | ((context: TokenContext) => Record<string, unknown> | Promise<Record<string, unknown>>)
    | undefined
  readonly isSubjectActive:
    | ((subject: string, context: { clientId: string }) => boolean | Promise<boolean>)
    | undefined
}

export interface GrantTypeOptions {
  readonly grants: GrantStore
  readonly codes: AuthorizationCodes
  readonly refreshTokens: RefreshTokens
  readonly signer: () => Promise<Signer>
  readonly mint: Mint
  readonly resources: ResourceCatalogue
  readonly revocations: RevocationLog
  readonly endGrant: EndGrant
  readonly random: Random
  readonly emit: Emit
  readonly refreshPolicy: RefreshPolicy
  /** Seconds. */
  readonly refreshGrace: number
  readonly hooks: IssuanceHooks
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
}: GrantTypeOptions) {
  const everything: Obtainable = new Map(
    [...resources.all.values()].map(({ identifier, scopes }) => [identifier, new Set(scopes.keys())]),
  )

  /** Asks the app's hooks. @throws OAuthError where the answer is no, or nothing of the scope is left */
  async function consult(
    grant: Grant,
    client: Client,
    wanted: Wanted,
    grantType: TokenContext['grantType'],
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
    if (hooks.claims === undefined) return {}
    return {
      customClaims: checkCustomClaims(
        await hooks.claims({
          grantType,
          clientId: client.id,
          subject: grant.subject,
          scope,
          resource: resource.identifier,
        }),
      ),
    }
  }

  return {
    /** The hooks are asked about a grant, so it is read before the commit. */
    needsReading: hooks.claims !== undefined || hooks.isSubjectActive !== undefined,

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

    async issue(
      grant: Grant,
      client: Client,
      wanted: Wanted,
      grantType: TokenContext['grantType'],
      signer: Signer,
      limits: FamilyLimits | undefined,
      refreshToken: RefreshToken | undefined,
      { customClaims }: Consulted,
    ): Promise<TokenResponse> {
      // A revocation of the client or the subject that this commit raced with.
      if (revocations.coversGrant(grant)) {
        await endGrant(grant.id, 'revoked', 'an earlier revocation')
        throw new OAuthError('invalid_grant', 'the grant was revoked')
      }
      const { resource, scope } = readTokenTarget(resources, grant, wanted, client)
      const minted = await mint(
        {
          clientId: client.id,
          subject: grant.subject,
          audience: resource.audience,
          scope,
          lifetime: Math.min(
            client.accessTokenLifetime ?? resource.accessTokenLifetime,
            resource.accessTokenLifetime,
          ),
          bound: limits?.bound,
          authTime: grant.authTime,
          acr: grant.acr,
          amr: grant.amr,
          grantId: grant.id,
          grantedAt: grant.createdAt,
          customClaims,
        },
        signer,
      )
      reportIssued(emit, minted, grantType, resource.identifier)
      return {
        access_token: minted.token,
        token_type: 'Bearer',
        expires_in: minted.expiresIn,
        scope: scope.join(' '),
        ...(refreshToken !== undefined &&
          limits !== undefined && {
            refresh_token: refreshToken.text,
            refresh_token_expires_in: Math.floor(limits.expiresAt - limits.now),
          }),
      }
    },
  }
}

function isWithin(grant: Grant, { resource, scope }: Wanted): boolean {
  return (
    coversScope(grant.scope, scope ?? []) && (resource === undefined || grant.resources.includes(resource))
  )
}

export function reportIssued(
  emit: Emit,
  { claims }: MintedAccessToken,
  grantType: string,
  resource: string,
): void {
  emit('token.issued', {
    grantType,
    clientId: claims.client_id,
    subject: claims.sub,
    ...(claims.grant_id !== undefined && { grantId: claims.grant_id }),
    jti: claims.jti,
    scope: claims.scope,
    resource,
    expiresAt: claims.exp,
  })
}

/** Who an event is about. */
export function about(grant: Grant): { clientId: string; subject: string; grantId: string } {
  return { clientId: grant.clientId, subject: grant.subject, grantId: grant.id }
}

/** The part of the grant that this access token is to be for; absent members ask for the default. */
export interface Wanted {
  readonly resource?: string
  readonly scope?: readonly string[]
}

/**
 * What a token request asks for within its grant. Nothing is refused here: the store compares with what was granted, after
 * it has seen whether the code or token is spent. What is malformed is in no grant (RFC 8707 §2.2, RFC 6749 §6).
 */
export function readWanted(form: Form): Wanted {
  const [first] = form.resources
  const scopeText = form.one('scope')
  const scope = scopeText === undefined ? undefined : readWantedScope(scopeText)
  return {
    ...(first !== undefined && {
      resource: form.resources.length === 1 ? (canonicalResource(first) ?? first) : form.resources.join(' '),
    }),
    // Nothing but offline_access, however often it is said, asks for nothing in particular.
    ...(scope !== undefined && scope.length > 0 && { scope }),
  }
}

/** The rule of every endpoint; what breaks it is kept whole, as a token that no grant has. */
function readWantedScope(text: string): string[] {
  try {
    return parseScope(text).filter((token) => token !== OFFLINE_ACCESS)
  } catch {
    return [text]
  }
}
