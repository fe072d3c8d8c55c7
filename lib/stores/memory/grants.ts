import { sameHash } from '../../protocol/digest.ts'
import type { Clock, NumericDate } from '../../protocol/time.ts'
import { forgottenAt, isWithheld, limitsOf, sessionEndOf, withEnd } from '../family-limits.ts'
import { isOwnedBy, readPage } from '../family-pages.ts'
import { comparePlaces, type ListPlace, writeCursor } from '../list-place.ts'
import type { CodeRecord, EndReason, FamilyLimits, FamilyView, GrantStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'
import { decide, excessOver, type Family } from './refresh-decision.ts'

/** How long a code is remembered after its end, so that a second use is seen as one. */
const CODE_MEMORY = 600
interface Code {
  readonly record: CodeRecord
  state: 'issued' | 'used' | 'burnt'
  nonce?: string
  limits?: FamilyLimits | undefined
}

/** Codes and families in memory. JavaScript runs each verb to its end, which is what makes it atomic. */
export function memoryGrants(clock: Clock, maxEntries: number): GrantStore {
  const codes = new ExpiringMap<Code>(clock, maxEntries)
  const families = new ExpiringMap<Family>(clock, maxEntries)

  function keep(family: Family, expiresAt: NumericDate): void {
    families.set(family.grant.id, family, expiresAt)
  }

  function end(grantId: string, reason: EndReason): Awaited<ReturnType<GrantStore['end']>> {
    const code = codes.get(grantId)
    if (code?.state === 'issued') code.state = 'burnt'
    const family = families.get(grantId)
    if (family !== undefined) family.ended ??= reason
    const grant = family?.grant ?? code?.record.grant
    return grant === undefined ? { outcome: 'unknown' } : { outcome: 'ended', grant }
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
      const { policy } = redemption
      const grant = withEnd(code.record.grant, policy.idpSession && redemption.idpSessionEnd)
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
      const { dpopJkt } = code.record
      if (dpopJkt !== undefined && dpopJkt !== redemption.dpopJkt)
        return { outcome: 'sender_mismatch', grant }
      const excess = excessOver(grant, redemption)
      if (excess !== undefined) return { outcome: excess, grant }
      const sessionEnd = sessionEndOf(grant, policy)
      if (sessionEnd !== undefined && sessionEnd - now < 1) return { outcome: 'session_over', grant }
      if (code.record.codeChallenge !== redemption.challenge) {
        code.state = 'burnt'
        return { outcome: 'verifier_mismatch', grant }
      }
      code.state = 'used'
      code.nonce = redemption.nonce
      if (redemption.family !== undefined && !isWithheld(grant, policy)) {
        const { token, lineage, boundTo } = redemption.family
        const family: Family = {
          grant,
          lineage,
          boundTo,
          openedAt: now,
          generation: 0,
          token,
          periodStart: now,
          lastUsedAt: now,
          ended: undefined,
        }
        code.limits = limitsOf(family, policy, now)
        keep(family, forgottenAt(grant, policy, code.limits))
      }
      return { outcome: 'redeemed', grant, limits: code.limits }
    },

    async refresh(request) {
      const family = families.get(request.grantId)
      if (family === undefined) return { outcome: 'unknown' }
      const { grant } = family
      const { policy } = request
      if (grant.clientId !== request.clientId) return { outcome: 'foreign', grant }
      if (!sameHash(family.lineage, request.lineage)) return { outcome: 'unknown' }
      const now = Math.max(clock(), family.lastUsedAt)
      if (family.ended !== undefined) return { outcome: 'ended', grant }
      // The same run again changes nothing: its policy may be older than that of a retry in between, which moved the end.
      const isRunAgain = family.previous?.nonce === request.nonce
      const outcome = decide(family, request, now)
      if ('limits' in outcome && !isRunAgain) keep(family, forgottenAt(family.grant, policy, outcome.limits))
      return outcome
    },

    async end(grantId, reason) {
      return end(grantId, reason)
    },

    async readFamily(grantId) {
      const family = families.get(grantId)
      return family && viewOf(family)
    },

    async listFamilies(query) {
      const { owner, size, after } = readPage(query)
      const matching = [...families.values()]
        .filter(
          (family) =>
            family.ended === undefined &&
            isOwnedBy(family.grant, owner) &&
            (after === undefined || comparePlaces(placeOf(family), after) > 0),
        )
        .sort((a, b) => comparePlaces(placeOf(a), placeOf(b)))
      const page = matching.slice(0, size)
      const last = page.at(-1)
      return {
        families: page.map(viewOf),
        cursor: last && size < matching.length ? writeCursor(placeOf(last)) : undefined,
      }
    },
  }
}

function placeOf({ openedAt, grant }: Family): ListPlace {
  return { at: openedAt, id: grant.id }
}

function viewOf({
  grant,
  generation,
  token,
  lineage,
  boundTo,
  openedAt,
  periodStart,
  lastUsedAt,
  ended,
}: Family): FamilyView {
  return {
    grant,
    generation,
    tokenHash: token.hash,
    lineage,
    ...(boundTo !== undefined && { boundTo }),
    openedAt,
    periodStart,
    lastUsedAt,
    ended,
  }
}
