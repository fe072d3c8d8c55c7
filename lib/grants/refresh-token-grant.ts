import { isThenable } from '../protocol/encoding.ts'
import { OAuthError, StoreUnavailable } from '../protocol/oauth-error.ts'
import { randomId } from '../protocol/random.ts'
import type { RefreshRefusal, RefreshRequest } from '../stores/ports.ts'
import { about, boundToFor, type GrantType, type GrantTypeOptions, readWanted } from './grant-type.ts'
import { createGrantIssuance, type GrantRequest } from './issuance.ts'

const unusable = 'the refresh token is unknown, expired, revoked or spent'

/** The words of each refusal; what is not the client's to fix reads the same. */
const refusals: Record<RefreshRefusal, () => OAuthError> = {
  unknown: () => new OAuthError('invalid_grant', unusable),
  foreign: () => new OAuthError('invalid_grant', unusable),
  ended: () => new OAuthError('invalid_grant', unusable),
  reused: () => new OAuthError('invalid_grant', unusable),
  expired: () => new OAuthError('invalid_grant', unusable),
  sender_mismatch: () =>
    new OAuthError('invalid_grant', 'the refresh token is bound to a key or certificate that was not proven'),
  scope_exceeded: () =>
    new OAuthError('invalid_scope', 'scope has more than was granted (RFC 6749 section 6)'),
  nothing_left: () =>
    new OAuthError('invalid_scope', 'nothing of the scope is left for this resource and client'),
  resource_exceeded: () =>
    new OAuthError('invalid_target', 'resource was not granted (RFC 8707 section 2.2)'),
}

/**
 * `refresh_token` (RFC 6749 §6, RFC 9700 §4.14.2). What is returned follows the issuance strategy in force for the client
 * now; a retry within the grace window gets the same successor; a spent token ends the family and its access tokens.
 */
export function refreshTokenGrant(options: GrantTypeOptions): GrantType {
  const { grants, refreshTokens, revocations, endGrant, random, emit, refreshGrace } = options
  const issuance = createGrantIssuance(options)

  return async (asked) => {
    const { client, form, now, sender } = asked
    const text = form.one('refresh_token')
    if (text === undefined) throw new OAuthError('invalid_request', 'refresh_token is missing')
    const token = refreshTokens.read(text)
    const next = token && refreshTokens.successor(token)
    if (token === undefined || next === undefined) throw refusals.unknown()

    const wanted = readWanted(form)
    // Nothing is awaited that is no promise: of most requests nothing here is.
    const confirming = sender.confirm()
    const confirmed = confirming && (await orRefusal(confirming))
    const isRefused = confirmed instanceof OAuthError
    const confirmation = isRefused ? undefined : confirmed
    const policy = options.refreshPolicyOf(client)
    const grantType = 'refresh_token'
    // Member by member: spreading one object into another costs more here than deriving a token.
    const request: GrantRequest = { client, form, now, sender, policy, confirmation, wanted, grantType }
    const needsReading = !isRefused && issuance.needsReading(policy)

    // Of a current token a refusal must consume nothing, so the hooks are asked ahead; a retry consumes nothing anyway.
    const family = needsReading ? await grants.readFamily(token.grantId) : undefined
    const isCurrent =
      family !== undefined &&
      family.ended === undefined &&
      family.tokenHash === token.hash &&
      family.grant.clientId === client.id
    const ahead = isCurrent ? await issuance.consult(family.grant, request) : undefined
    const learning = revocations.fresh()
    if (learning !== undefined) await learning
    const signing = options.signer()
    const signer = isThenable(signing) ? await signing : signing
    const using = isRefused ? undefined : sender.use()
    const used = isRefused ? confirmed : using && (await orRefusal(using))
    const boundTo = used instanceof OAuthError ? 'unproven' : boundToFor(client, confirmation)
    const attempt: RefreshRequest = {
      grantId: token.grantId,
      generation: token.generation,
      tokenHash: token.hash,
      lineage: token.lineage,
      next: { hash: next.hash, keyId: next.keyId },
      nonce: randomId(random),
      clientId: client.id,
      boundTo,
      policy,
      grace: refreshGrace,
      scope: wanted.scope,
      resource: wanted.resource,
      obtainable: issuance.obtainableBy(client),
      idpSessionEnd: isCurrent ? issuance.movedEnd(family.grant, policy) : undefined,
    }
    let outcome = await grants.refresh(attempt)
    if (outcome.outcome === 'expired') {
      const idpSessionEnd = await issuance.prolonged(outcome.grant, policy)
      if (idpSessionEnd !== undefined) outcome = await grants.refresh({ ...attempt, idpSessionEnd })
    }

    if (outcome.outcome === 'rotated' || outcome.outcome === 'kept' || outcome.outcome === 'retried') {
      const { grant, generation, keyId, limits } = outcome
      const held =
        outcome.outcome === 'kept' || generation === token.generation
          ? token
          : refreshTokens.successor(token, keyId)
      if (held === undefined)
        throw new StoreUnavailable(
          `the successor was derived with a secret that is not configured here (${keyId})`,
        )
      if (outcome.fastForwarded) emit('refresh_token.fast_forwarded', { ...about(grant), generation })
      const consulted = ahead ?? (needsReading ? await issuance.consult(grant, request) : {})
      const answer = await issuance.issue(grant, request, signer, limits, held, consulted)
      if (outcome.outcome === 'retried') emit('token.retried', { ...about(grant), generation })
      else {
        const { id: grantId, clientId, subject } = grant
        emit('token.refreshed', { clientId, subject, grantId, generation, issuance: policy.issuance })
      }
      return answer
    }

    if (outcome.outcome === 'reused') {
      emit('refresh_token.reused', about(outcome.grant))
      await endGrant(outcome.grant.id, 'reused', 'refresh token reuse')
    } else if (outcome.outcome === 'ended') {
      // The entry for its access tokens may have failed after the family ended: then it is written now.
      const { grant } = outcome
      if (!revocations.coversGrant(grant, policy)) await endGrant(grant.id, 'revoked', 'an ended family')
    } else if (outcome.outcome === 'foreign')
      emit('token.foreign', { clientId: client.id, owner: outcome.grant.clientId, grantId: outcome.grant.id })
    throw outcome.outcome === 'sender_mismatch' && used instanceof OAuthError
      ? used
      : refusals[outcome.outcome]()
  }
}

/** A refusal as a value: whatever is wrong with a proof, a spent token beside it is still seen as spent. */
function orRefusal<T>(step: Promise<T>): Promise<T | OAuthError> {
  return step.catch((error: unknown) => {
    if (error instanceof OAuthError) return error
    throw error
  })
}
