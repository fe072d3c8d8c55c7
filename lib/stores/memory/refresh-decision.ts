import { sameHash, type TokenHash } from '../../protocol/digest.ts'
import { coversScope } from '../../protocol/scope.ts'
import type { NumericDate } from '../../protocol/time.ts'
import { isOver, limitsOf, sessionEndOf, withEnd } from '../family-limits.ts'
import type { EndReason, Grant, NextToken, RefreshOutcome, RefreshRequest } from '../ports.ts'

/** Retries of one token that are answered within the grace window; the window is what bounds theft, this bounds work. */
const MAX_RETRIES = 65_535

export interface Family {
  grant: Grant
  readonly openedAt: NumericDate
  readonly lineage: TokenHash
  /** The key or certificate that every refresh must prove. */
  boundTo: TokenHash | undefined
  generation: number
  token: NextToken
  /** The immediate predecessor, its own expiry, when it was first used, and the nonce of its last run. */
  previous?: {
    hash: NextToken['hash']
    expiresAt: NumericDate
    usedAt: NumericDate
    nonce: string
    retries: number
    fastForwarded: boolean
  }
  periodStart: NumericDate
  /** Also the high-water mark: a clock that jumps back extends nothing. */
  lastUsedAt: NumericDate
  ended: EndReason | undefined
}

/**
 * The decision table of a refresh, for a family that is not over, its own client, and a token of its lineage: what is
 * presented decides, top to bottom, and what changes stands beside it.
 */
export function decide(family: Family, request: RefreshRequest, now: NumericDate): RefreshOutcome {
  const { policy } = request
  const grant = withEnd(family.grant, policy.idpSession && request.idpSessionEnd)
  const age = family.generation - request.generation
  const isCurrent = age === 0 && sameHash(family.token.hash, request.tokenHash)
  const isAhead = age < 0
  const limits = limitsOf({ ...family, grant }, policy, now)

  // One without a key takes the first that is proven; one with a key takes no other.
  const isTheirs =
    request.boundTo !== 'unproven' && (family.boundTo === undefined || family.boundTo === request.boundTo)

  if (isCurrent || isAhead) {
    if (isOver(limits)) return { outcome: 'expired', grant }
    if (!isTheirs) return { outcome: 'sender_mismatch', grant }
    const excess = excessOver(grant, request)
    if (excess !== undefined) return { outcome: excess, grant }
    family.lastUsedAt = now
    family.grant = grant
    family.boundTo ??= request.boundTo as TokenHash | undefined
    if (policy.issuance === 'keep') {
      if (isAhead) {
        family.generation = request.generation
        family.token = { hash: request.tokenHash, keyId: request.next.keyId }
      }
      return {
        outcome: 'kept',
        grant,
        generation: request.generation,
        keyId: family.token.keyId,
        limits,
        fastForwarded: isAhead,
      }
    }
    family.previous = {
      hash: request.tokenHash,
      expiresAt: limits.expiresAt,
      usedAt: now,
      nonce: request.nonce,
      retries: 0,
      fastForwarded: isAhead,
    }
    family.generation = request.generation + 1
    family.token = request.next
    if (policy.issuance === 'rotate-and-reset') family.periodStart = now
    return {
      outcome: 'rotated',
      grant,
      generation: family.generation,
      keyId: request.next.keyId,
      limits: limitsOf(family, policy, now),
      fastForwarded: isAhead,
    }
  }

  // Same generation, another hash, yet a valid tag: no token that this family issued. Nothing to conclude from it.
  if (age === 0) return { outcome: 'unknown' }

  const { previous } = family
  if (age === 1 && previous !== undefined && sameHash(previous.hash, request.tokenHash)) {
    const answer = { grant, generation: family.generation, keyId: family.token.keyId, limits }
    if (previous.nonce === request.nonce)
      return previous.retries > 0
        ? { outcome: 'retried', ...answer, fastForwarded: false }
        : { outcome: 'rotated', ...answer, fastForwarded: previous.fastForwarded }
    if (now - previous.usedAt < request.grace && previous.retries < MAX_RETRIES) {
      // What a session bounds ends with it alone, also where that was prolonged since.
      const wasOver = sessionEndOf(grant, policy) === undefined && now >= previous.expiresAt
      if (wasOver || isOver(limits)) return { outcome: 'expired', grant }
      if (!isTheirs) return { outcome: 'sender_mismatch', grant }
      const excess = excessOver(grant, request)
      if (excess !== undefined) return { outcome: excess, grant }
      previous.retries++
      // A retry that is run again is one, also where the window is over by then.
      previous.nonce = request.nonce
      family.lastUsedAt = now
      family.grant = grant
      family.boundTo ??= request.boundTo as TokenHash | undefined
      return { outcome: 'retried', ...answer, fastForwarded: false }
    }
  }
  family.ended = 'reused'
  return { outcome: 'reused', grant }
}

/** What is asked for and not granted, or granted once and no longer to be had. */
export function excessOver(
  grant: Grant,
  { scope, resource, obtainable }: Pick<RefreshRequest, 'scope' | 'resource' | 'obtainable'>,
): 'scope_exceeded' | 'resource_exceeded' | 'nothing_left' | undefined {
  if (scope !== undefined && !coversScope(grant.scope, scope)) return 'scope_exceeded'
  if (resource !== undefined && !grant.resources.includes(resource)) return 'resource_exceeded'
  const left = obtainable.get(resource ?? grant.resources[0] ?? '')
  return (scope ?? grant.scope).some((token) => left?.has(token)) ? undefined : 'nothing_left'
}
