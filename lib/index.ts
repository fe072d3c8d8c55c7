export type { AatOptions, ProductionDanger } from './aat-options.ts'
export type { CheckIdpSession } from './authorization/idp-session-check.ts'
export type { SignedInUser } from './authorization/user.ts'
export type { ClientOptions } from './client-options.ts'
export type { TrustDocument } from './clients/document-clients.ts'
export type { InitialAccessTokenSummary, NewInitialAccessToken } from './clients/initial-access-tokens.ts'
export type { ConnectionTarget, Network } from './clients/network.ts'
export { createAat } from './create-aat.ts'
export type { ClientMetadataDocumentOptions, OutboundOptions } from './document-options.ts'
export type { DpopOptions } from './dpop-options.ts'
export type { AuthorizeEndpointOptions, SignInContext } from './endpoints/authorize-answers.ts'
export { authorizeEndpoint } from './endpoints/authorize-endpoint.ts'
export { type DcrEndpointOptions, dcrEndpoint } from './endpoints/dcr-endpoint.ts'
export { type DenyListEndpointOptions, denyListEndpoint } from './endpoints/deny-list-endpoint.ts'
export {
  type IntrospectionEndpointOptions,
  introspectionEndpoint,
} from './endpoints/introspection-endpoint.ts'
export type { RegistrationDoor } from './endpoints/registration-doors.ts'
export { type RevocationEndpointOptions, revocationEndpoint } from './endpoints/revocation-endpoint.ts'
export { type TokenEndpointOptions, tokenEndpoint } from './endpoints/token-endpoint.ts'
export { wellKnown } from './endpoints/well-known.ts'
export type { TokenContext } from './grants/grant-type.ts'
export { type Auth, getAat } from './guard/auth.ts'
export type { RequireAatOptions } from './guard/guard-options.ts'
export type { RemoteIntrospectionOptions } from './guard/introspection-options.ts'
export type { Fetch } from './guard/issuer-documents.ts'
export type { RemoteDpopOptions } from './guard/remote-dpop.ts'
export {
  protectedResource,
  type RemoteIssuer,
  type RemoteIssuerOptions,
  remoteIssuer,
} from './guard/remote-issuer.ts'
export { type AatGuard, requireAat } from './guard/require-aat.ts'
export type { Aat, EndpointName, GrantSummary, Health, RevocationTarget } from './http/aat.ts'
export type {
  ClientListQuery,
  ClientOperations,
  ClientSummary,
  SecretRotation,
} from './http/aat-clients.ts'
export type { Denied, DenyList, DenyListPage, DenyListQuery, DenyTarget } from './http/aat-deny-list.ts'
export type { ClientCertificate } from './http/client-certificate.ts'
export type { ConsentView } from './http/pages/consent-page.ts'
export type { ErrorView } from './http/pages/error-page.ts'
export type { RateLimitOptions } from './http/rate-limit.ts'
export type { IdpSessionOptions } from './idp-session-options.ts'
export type { KeyOptions } from './key-options.ts'
export type { KeyStatus } from './keys/ring-status.ts'
export type { KeyState } from './keys/schedule.ts'
export type { Confirmation } from './protocol/confirmation.ts'
export type { Sha256, TokenHash } from './protocol/digest.ts'
export type { AatEvent, AatEventName, AatEvents, AatListener } from './protocol/events.ts'
export type { IdpSession, IdpSessionId, IdpSubject } from './protocol/idp-session.ts'
export type { SigningAlgorithm } from './protocol/jwa.ts'
export {
  OAuthError,
  type OAuthErrorCode,
  type OAuthErrorOptions,
  StoreUnavailable,
} from './protocol/oauth-error.ts'
export { ConfigurationError } from './protocol/options.ts'
export type { Random } from './protocol/random.ts'
export type { ResourceOptions } from './protocol/resource-options.ts'
export type { Clock, Every, NumericDate } from './protocol/time.ts'
export type { RefreshTokenOptions } from './refresh-policy.ts'
export type { RegistrationOptions, RegistrationPolicyOptions } from './registration-options.ts'
export type { QuotaOptions, RegistrationQuotaOptions } from './registration-quota-options.ts'
export type { StatementIssuerOptions } from './statement-issuer-options.ts'
export { type MemoryStoresOptions, memoryStores } from './stores/memory/memory-stores.ts'
export type * from './stores/ports.ts'
export type { AatClaims } from './tokens/access-token.ts'
export type { VerifiedTokensOptions } from './tokens/token-cache.ts'
