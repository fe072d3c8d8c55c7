import { isThenable } from '../protocol/encoding.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { readNewScope, readResources } from '../protocol/resource.ts'
import { parseScope } from '../protocol/scope.ts'
import { CLIENT_SUBJECT_PREFIX } from '../tokens/access-token.ts'
import { checkCustomClaims } from '../tokens/mint.ts'
import { accessTokenTerms } from './access-token-terms.ts'
import { type GrantType, type GrantTypeOptions, reportIssued, tokenTypeOf } from './grant-type.ts'

/**
 * `client_credentials` (RFC 6749 §4.4): a token for the client itself. Its `sub` is `client:` and the client's id
 * (RFC 9068 §2.2), which no user's subject can be. No refresh token (§4.4.3), no store call.
 */
export function clientCredentialsGrant({
  resources,
  hooks,
  mint,
  emit,
  signer,
  revocations,
}: GrantTypeOptions): GrantType {
  return async ({ client, form, now, sender }) => {
    if (client.authenticationMethod === 'none')
      throw new OAuthError('unauthorized_client', 'client_credentials needs a client that authenticates')
    const [resource, ...more] = readResources(resources, form.resources)
    if (resource === undefined || more.length > 0)
      throw new OAuthError('invalid_target', 'an access token is for one resource: name one')
    const scopeText = form.one('scope')
    const scope = readNewScope(
      [resource],
      scopeText === undefined ? undefined : parseScope(scopeText),
      client,
    )
    const confirming = sender.confirm()
    const confirmation = confirming && (await confirming)
    const subject = CLIENT_SUBJECT_PREFIX + client.id
    const customClaims =
      hooks.claims &&
      checkCustomClaims(
        await hooks.claims({
          grantType: 'client_credentials',
          clientId: client.id,
          subject,
          scope,
          resource: resource.identifier,
        }),
      )
    const signing = signer()
    const issuedBy = isThenable(signing) ? await signing : signing
    const using = sender.use()
    if (using !== undefined) await using
    const terms = accessTokenTerms(client, resource)
    const minting = mint(
      {
        clientId: client.id,
        subject,
        audience: terms.audience,
        lifetime: terms.lifetime,
        format: terms.format,
        scope,
        confirmation,
        customClaims,
      },
      issuedBy,
    )
    const minted = isThenable(minting) ? await minting : minting
    // Deleted or revoked while its request was on the way. The next request finds out which: what is good again after a moment
    // is nothing for which clients should throw their credentials away.
    if (revocations.covers({ clientId: client.id, subject, issuedAt: now }))
      throw new OAuthError('temporarily_unavailable', 'what the client holds was just ended', {
        retryAfter: 1,
        isFault: false,
      })
    reportIssued(emit, minted, 'client_credentials', resource.identifier)
    return {
      access_token: minted.token,
      token_type: tokenTypeOf(confirmation),
      expires_in: minted.expiresIn,
      scope: minted.claims.scope,
    }
  }
}
