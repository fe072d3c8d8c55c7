import type { IdpSessionCheck } from '../authorization/idp-session-check.ts'
import { boundToOf, type Confirmation } from '../protocol/confirmation.ts'
import type { TokenHash } from '../protocol/digest.ts'
import type { AatEvents, Emit } from '../protocol/events.ts'
import type { Form } from '../protocol/form.ts'
import type { Random } from '../protocol/random.ts'
import { OFFLINE_ACCESS, type ResourceCatalogue } from '../protocol/resource.ts'
import { canonicalResource } from '../protocol/resource-uri.ts'
import { parseScope } from '../protocol/scope.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Writable } from '../protocol/writable.ts'
import type { EndGrant } from '../revocation/end-grant.ts'
import type { RevocationLog } from '../revocation/revocation-log.ts'
import type { Client, Grant, GrantStore, RefreshPolicyOf } from '../stores/ports.ts'
import type { Signer } from '../tokens/access-token.ts'
import type { AuthorizationCodes } from '../tokens/authorization-code.ts'
import type { Mint, MintedAccessToken } from '../tokens/mint.ts'
import type { RefreshTokens } from '../tokens/refresh-token.ts'

/** A successful token response (RFC 6749 §5.1); members that do not apply are left out, never `null`. */
export interface TokenResponse {
  readonly access_token: string
  readonly token_type: 'Bearer' | 'DPoP'
  readonly expires_in: number
  readonly scope: string
  readonly refresh_token?: string
  /** Seconds that the refresh token is still good for. */
  readonly refresh_token_expires_in?: number
}

/** Who sends a token request, beside the client that it names: the holder of a key or certificate, or anybody. */
export interface Sender {
  /**
   * What tokens of this request are to be bound to; `undefined` for bearer tokens. Uses up nothing.
   * @throws OAuthError for a proof that is not good, or missing where one is demanded
   */
  confirm(): Promise<Confirmation | undefined> | undefined
  /**
   * Uses up what is good for one use: the last step that can refuse, so that a refusal loses nothing.
   * @throws OAuthError for a proof that was used before, StoreUnavailable where that cannot be told
   */
  use(): Promise<void> | undefined
}

/** A request at the token endpoint once it is known whose it is. */
export interface TokenRequest {
  /** Who asks: authenticated, or public. */
  readonly client: Client
  readonly form: Form
  /** From before the client was authenticated. */
  readonly now: NumericDate
  readonly sender: Sender
}

/** A room: one `grant_type`. All refusals come before its one atomic store call; after it, only minting. */
export type GrantType = (request: TokenRequest) => Promise<TokenResponse>

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
  /** No promise where a key is there. */
  readonly signer: () => Signer | Promise<Signer>
  readonly mint: Mint
  readonly resources: ResourceCatalogue
  readonly revocations: RevocationLog
  readonly endGrant: EndGrant
  readonly random: Random
  readonly emit: Emit
  /** The policy in force for a client at this request. */
  readonly refreshPolicyOf: RefreshPolicyOf
  /** Seconds. */
  readonly refreshGrace: number
  readonly hooks: IssuanceHooks
  /** Is this one of the redirect URIs that the client has now? */
  readonly mayRedirect: (client: Client, uri: string) => boolean
  /** Asks the app whether a session at an identity provider still lives; absent where it wants not to be asked. */
  readonly checkIdpSession: IdpSessionCheck | undefined
}

export function reportIssued(
  emit: Emit,
  { claims }: MintedAccessToken,
  grantType: string,
  resource: string,
): void {
  const { client_id: clientId, sub: subject, grant_id: grantId, jti, scope, exp: expiresAt } = claims
  const issued: Writable<AatEvents['token.issued']> = {
    grantType,
    clientId,
    subject,
    jti,
    scope,
    resource,
    expiresAt,
  }
  if (grantId !== undefined) issued.grantId = grantId
  emit('token.issued', issued)
}

/** What `token_type` says (RFC 9449 §5); tokens bound to a certificate are used like bearer tokens (RFC 8705 §3). */
export function tokenTypeOf(confirmation: Confirmation | undefined): TokenResponse['token_type'] {
  return confirmation?.jkt === undefined ? 'Bearer' : 'DPoP'
}

/** What a refresh token is bound to: those of clients that authenticate are bound to that (RFC 9449 §5, RFC 8705 §4). */
export function boundToFor(client: Client, confirmation: Confirmation | undefined): TokenHash | undefined {
  return confirmation === undefined || client.authenticationMethod !== 'none'
    ? undefined
    : boundToOf(confirmation)
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
