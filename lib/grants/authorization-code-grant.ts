import { OAuthError } from '../protocol/oauth-error.ts'
import { challengeOf, isCodeVerifier } from '../protocol/pkce.ts'
import { randomId } from '../protocol/random.ts'
import type { CodeRedemption, CodeRefusal } from '../stores/ports.ts'
import { about, boundToFor, type GrantType, type GrantTypeOptions, readWanted } from './grant-type.ts'
import { createGrantIssuance, type GrantRequest } from './issuance.ts'

/** No redirect URI. */
const NONE = ''
const unknownCode = 'the code is unknown, expired or used'

/** The words of each refusal. What tells nothing to a thief: unknown, foreign, expired and used read the same. */
const refusals: Record<CodeRefusal, () => OAuthError> = {
  unknown: () => new OAuthError('invalid_grant', unknownCode),
  foreign: () => new OAuthError('invalid_grant', unknownCode),
  reused: () => new OAuthError('invalid_grant', unknownCode),
  burnt: () => new OAuthError('invalid_grant', unknownCode),
  expired: () => new OAuthError('invalid_grant', unknownCode),
  redirect_uri_mismatch: () =>
    new OAuthError('invalid_grant', 'redirect_uri is not the one of the authorization request'),
  sender_mismatch: () =>
    new OAuthError('invalid_grant', 'the code is bound to another key (RFC 9449 section 10)'),
  verifier_mismatch: () =>
    new OAuthError('invalid_grant', 'code_verifier does not match; the code can no longer be used'),
  resource_exceeded: () =>
    new OAuthError('invalid_target', 'resource was not granted (RFC 8707 section 2.2)'),
  scope_exceeded: () => new OAuthError('invalid_scope', 'scope has more than was granted'),
  nothing_left: () =>
    new OAuthError('invalid_scope', 'nothing of the scope is left for this resource and client'),
  session_over: () =>
    new OAuthError('invalid_grant', 'the session at the identity provider has ended, or is about to'),
}

/**
 * `authorization_code` (RFC 6749 §4.1.3, RFC 7636 §4.5). A code works once: a second use ends the grant and revokes its
 * access tokens (§4.1.2). A wrong verifier burns the code; nothing else that is wrong consumes it.
 */
export function authorizationCodeGrant(options: GrantTypeOptions): GrantType {
  const { grants, codes, refreshTokens, revocations, endGrant, random, emit } = options
  const issuance = createGrantIssuance(options)

  return async (asked) => {
    const { client, form, sender } = asked
    const codeText = form.one('code')
    if (codeText === undefined) throw new OAuthError('invalid_request', 'code is missing')
    const wanted = readWanted(form)
    const verifier = form.one('code_verifier')
    if (verifier === undefined)
      throw new OAuthError('invalid_grant', 'code_verifier is missing: PKCE is required (RFC 7636)')
    if (!isCodeVerifier(verifier))
      throw new OAuthError(
        'invalid_grant',
        'code_verifier must be 43 to 128 unreserved characters (RFC 7636 section 4.1)',
      )
    const code = codes.read(codeText)
    if (code === undefined) throw refusals.unknown()

    // Ahead of the commit, so that a refusal consumes nothing. No record here: the store will say what that means.
    const confirmation = await sender.confirm()
    const policy = options.refreshPolicyOf(client)
    const request: GrantRequest = { ...asked, policy, confirmation, wanted, grantType: 'authorization_code' }
    const needsReading = issuance.needsReading(policy)
    const record = needsReading ? await grants.readCode(code.grantId) : undefined
    const isTheirs =
      record !== undefined && record.codeHash === code.hash && record.grant.clientId === client.id
    const ahead = isTheirs ? await issuance.consult(record.grant, request) : undefined
    await revocations.fresh()
    const signer = await options.signer()
    const first = client.grantTypes.includes('refresh_token')
      ? refreshTokens.first(code.grantId, code.secret)
      : undefined
    const redirectUri = form.one('redirect_uri')
    // A client may have given up the redirect URI since. Where the request names none, the code says which it was.
    const usedUri = redirectUri ?? (record ?? (await grants.readCode(code.grantId)))?.redirectUri
    const isStillTheirs = usedUri === undefined || options.mayRedirect(client, usedUri)

    const redemption: CodeRedemption = {
      grantId: code.grantId,
      codeHash: code.hash,
      nonce: randomId(random),
      clientId: client.id,
      challenge: challengeOf(verifier),
      ...(confirmation?.jkt !== undefined && { dpopJkt: confirmation.jkt }),
      // Of another URI, and in its turn: whether the code is spent is seen first.
      ...(isStillTheirs ? redirectUri !== undefined && { redirectUri } : { redirectUri: NONE }),
      ...wanted,
      obtainable: issuance.obtainableBy(client),
      policy,
      idpSessionEnd: isTheirs ? issuance.movedEnd(record.grant, policy) : undefined,
      ...(first !== undefined && {
        family: {
          token: { hash: first.hash, keyId: first.keyId },
          lineage: first.lineage,
          boundTo: boundToFor(client, confirmation),
        },
      }),
    }
    await sender.use()
    let outcome = await grants.redeemCode(redemption)
    if (outcome.outcome === 'session_over') {
      const idpSessionEnd = await issuance.prolonged(outcome.grant, policy)
      if (idpSessionEnd !== undefined) outcome = await grants.redeemCode({ ...redemption, idpSessionEnd })
    }
    if (outcome.outcome === 'redeemed') {
      const { grant, limits } = outcome
      // A store whose reads lag behind may have shown nothing: the hooks are asked all the same.
      const consulted = ahead ?? (needsReading ? await issuance.consult(grant, request) : {})
      if (first !== undefined && limits === undefined)
        emit('refresh_token.withheld', { ...about(grant), reason: 'idp_session_end_unknown' })
      return issuance.issue(grant, request, signer, limits, first, consulted)
    }

    if (outcome.outcome === 'reused') {
      emit('code.reused', about(outcome.grant))
      await endGrant(outcome.grant.id, 'code_reused', 'code reuse')
    } else if (outcome.outcome === 'verifier_mismatch') emit('code.burnt', about(outcome.grant))
    else if (outcome.outcome === 'foreign')
      emit('token.foreign', { clientId: client.id, owner: outcome.grant.clientId, grantId: outcome.grant.id })
    throw refusals[outcome.outcome]()
  }
}
