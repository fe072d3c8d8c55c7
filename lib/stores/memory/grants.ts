import { sameHash } from '../../protocol/digest.ts'
import { coversScope } from '../../protocol/scope.ts'
import type { Clock, NumericDate } from '../../protocol/time.ts'
import type {
  CodeRecord,
  EndReason,
  FamilyLimits,
  FamilyView,
  Grant,
  GrantStore,
  NextToken,
  RefreshOutcome,
  RefreshPolicy,
  RefreshRequest,
} from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** How long a code is remembered after its end, so that a second use is seen as one. */
const CODE_MEMORY = 600
/** Retries of one token that are answered within the grace window; the window is what bounds theft, this bounds work. */
const MAX_RETRIES = 65_535

interface Code {
  readonly record: CodeRecord
  state: 'issued' | 'used' | 'burnt'
  nonce?: string
  limits?: FamilyLimits | undefined
}

interface Family {
  readonly grant: Grant
  readonly openedAt: NumericDate
  generation: number
  token: NextToken
  /** The immediate predecessor, its own expiry, and when it was first used. */
  previous?: {
    hash: NextToken['hash']
    expiresAt: NumericDate
    usedAt: NumericDate
    nonce: string
    retries: number
    fastForwarded: boolean
  }
  periodStart: NumericDate
  lastUsedAt: NumericDate
  /** High-water mark: a clock that jumps back extends nothing. */
  seen: NumericDate
  ended: EndReason | undefined
}

/** Codes and families in memory. JavaScript runs each verb to its end, which is what makes it atomic. */
export function memoryGrants(clock: Clock, maxEntries: number): GrantStore {
  const codes = new ExpiringMap<Code>(clock, maxEntries)
  const families = new ExpiringMap<Family>(clock, maxEntries)

  function keep(family: Family, expiresAt: NumericDate): void {
    families.set(family.grant.id, family, expiresAt)
  }

  function end(grantId: string, reason: EndReason): 'ended' | 'unknown' {
    const code = codes.get(grantId)
    if (code?.state === 'issued') code.state = 'burnt'
    const family = families.get(grantId)
    if (family !== undefined) family.ended ??= reason
    return code === undefined && family === undefined ? 'unknown' : 'ended'
  }

  return {
    async issueCode(record) {
      codes.set(record.grant.id, { record, state: 'issued' }, record.expiresAt + CODE_MEMORY)
    },

    async readCode(grantId) {
      const code = codes.get(grantId)
      return code?.state === 'issued' && clock() < code.record.expiresAt ? code.record : undefined
    },

    async redeemCode(redemption) {
      const code = codes.get(redemption.grantId)
      if (code === undefined || !sameHash(code.record.codeHash, redemption.codeHash))
        return { outcome: 'unknown' }
      const { grant } = code.record
      const now = clock()
      if (grant.clientId !== redemption.clientId) return { outcome: 'foreign', grant }
      if (code.state === 'used') {
        if (code.nonce === redemption.nonce) return { outcome: 'redeemed', grant, limits: code.limits }
        end(grant.id, 'code_reused')
        return { outcome: 'reused', grant }
      }
      if (code.state === 'burnt') return { outcome: 'burnt', grant }
      if (now >= code.record.expiresAt) return { outcome: 'expired', grant }
      if (
        redemption.redirectUri === undefined
          ? code.record.redirectUriRequired
          : redemption.redirectUri !== code.record.redirectUri
      ) {
        return { outcome: 'redirect_uri_mismatch', grant }
      }
      const excess = excessOver(grant, redemption)
      if (excess !== undefined) return { outcome: excess, grant }
      if (code.record.codeChallenge !== redemption.challenge) {
        code.state = 'burnt'
        return { outcome: 'verifier_mismatch', grant }
      }
      code.state = 'used'
      code.nonce = redemption.nonce
      if (redemption.family !== undefined) {
        const { token, policy } = redemption.family
        const family: Family = {
          grant,
          openedAt: now,
          generation: 0,
          token,
          periodStart: now,
          lastUsedAt: now,
          seen: now,
          ended: undefined,
        }
        code.limits = limitsOf(family, policy, now)
        keep(family, code.limits.expiresAt)
      }
      return { outcome: 'redeemed', grant, limits: code.limits }
    },

    async refresh(request) {
      const family = families.get(request.grantId)
      if (family === undefined) return { outcome: 'unknown' }
      const { grant } = family
      if (grant.clientId !== request.clientId) return { outcome: 'foreign', grant }
      const now = Math.max(clock(), family.seen)
      family.seen = now
      if (family.ended !== undefined) return { outcome: 'ended', grant }
      const outcome = decide(family, request, now)
      if (outcome.outcome === 'rotated' || outcome.outcome === 'kept') keep(family, outcome.limits.expiresAt)
      return outcome
    },

    async end(grantId, reason) {
      return end(grantId, reason)
    },

    async readFamily(grantId) {
      const family = families.get(grantId)
      return family && viewOf(family)
    },

    async listFamilies({ subject, clientId, limit = 100, cursor }) {
      const size = Math.min(Math.max(1, Math.trunc(limit)), 1000)
      const after = cursor === undefined ? undefined : readCursor(cursor)
      const matching = [...families.values()]
        .filter(
          (family) =>
            family.ended === undefined &&
            (subject === undefined || family.grant.subject === subject) &&
            (clientId === undefined || family.grant.clientId === clientId) &&
            (after === undefined || compareAge(family, after) > 0),
        )
        .sort(compareAge)
      const page = matching.slice(0, size)
      const last = page.at(-1)
      return {
        families: page.map(viewOf),
        cursor: last && size < matching.length ? `${last.openedAt}.${last.grant.id}` : undefined,
      }
    },
  }
}

/** The decision table of a refresh: what is presented decides, top to bottom, and what changes stands beside it. */
function decide(family: Family, request: RefreshRequest, now: NumericDate): RefreshOutcome {
  const { grant } = family
  const { policy } = request
  const age = family.generation - request.generation
  const isCurrent = age === 0 && sameHash(family.token.hash, request.tokenHash)
  const isAhead = age < 0
  const limits = limitsOf(family, policy, now)

  if (isCurrent || isAhead) {
    if (isOver(limits)) return { outcome: 'expired', grant }
    const excess = excessOver(grant, request)
    if (excess !== undefined) return { outcome: excess, grant }
    family.lastUsedAt = now
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
      return { outcome: 'rotated', ...answer, fastForwarded: previous.fastForwarded }
    if (now - previous.usedAt < request.grace && previous.retries < MAX_RETRIES) {
      if (now >= previous.expiresAt || isOver(limits)) return { outcome: 'expired', grant }
      const excess = excessOver(grant, request)
      if (excess !== undefined) return { outcome: excess, grant }
      previous.retries++
      return { outcome: 'retried', ...answer, fastForwarded: false }
    }
  }
  family.ended = 'reused'
  return { outcome: 'reused', grant }
}

/** keep, rotate: from the period's start; rotate-and-reset moves that start. Never past the cap. */
function limitsOf(
  family: Pick<Family, 'openedAt' | 'periodStart'>,
  policy: RefreshPolicy,
  now: NumericDate,
): FamilyLimits {
  const bound = policy.absoluteLifetime === undefined ? undefined : family.openedAt + policy.absoluteLifetime
  return {
    openedAt: family.openedAt,
    expiresAt: Math.min(family.periodStart + policy.lifetime, bound ?? Number.POSITIVE_INFINITY),
    bound,
    now,
  }
}

/** Over at its expiry, and as soon as less than a second is left for an access token (`expires_in` is never 0). */
function isOver({ now, expiresAt, bound }: FamilyLimits): boolean {
  return now >= expiresAt || (bound !== undefined && bound - now < 1)
}

function excessOver(
  grant: Grant,
  wanted: { scope?: readonly string[]; resource?: string },
): 'scope_exceeded' | 'resource_exceeded' | undefined {
  if (wanted.scope !== undefined && !coversScope(grant.scope, wanted.scope)) return 'scope_exceeded'
  if (wanted.resource !== undefined && !grant.resources.includes(wanted.resource)) return 'resource_exceeded'
  return undefined
}

/** Oldest first; of one moment by id. */
function compareAge(a: Aged, b: Aged): number {
  return a.openedAt - b.openedAt || (a.grant.id < b.grant.id ? -1 : a.grant.id > b.grant.id ? 1 : 0)
}

type Aged = { readonly openedAt: NumericDate; readonly grant: { readonly id: string } }

/** A place in the order, not a family: that one may have ended since. */
function readCursor(cursor: string): Aged {
  const dot = cursor.lastIndexOf('.')
  return { openedAt: Number(cursor.slice(0, dot)), grant: { id: cursor.slice(dot + 1) } }
}

function viewOf({ grant, generation, token, openedAt, periodStart, lastUsedAt, ended }: Family): FamilyView {
  return { grant, generation, tokenHash: token.hash, openedAt, periodStart, lastUsedAt, ended }
}
