import type { TokenHash } from '../../lib/protocol/digest.ts'
import type {
  CodeOutcome,
  CodeRecord,
  CodeRedemption,
  EndReason,
  FamilyLimits,
  FamilyView,
  Grant,
  RefreshOutcome,
  RefreshPolicy,
  RefreshRequest,
} from '../../lib/stores/ports.ts'

/** A token that was handed out, and what became of it. */
interface Token {
  readonly generation: number
  readonly hash: string
  readonly keyId: string
  /** When it was spent, and the run that spent it or got its successor again last: what a second run of that gets. */
  use?: { at: number; expiry: number; nonce: string; outcome: 'rotated' | 'retried'; forward: boolean }
}

/** What the page on refresh tokens says of a family, as a ledger: every token that was ever handed out, and who holds which. */
interface Ledger {
  readonly openedAt: number
  readonly lineage: string
  /** The key that every refresh must prove, once there is one. */
  boundTo: TokenHash | undefined
  readonly tokens: Token[]
  /** The one token that is good. */
  held: Token
  periodStart: number
  latest: number
  /** What the last answer said of the end. */
  end: number
  ended: EndReason | undefined
  /** The clock has been past the end, so the store may have forgotten it, or not yet. */
  mayBeGone: boolean
}

/** A second use of the code is seen as one for so long after its end. */
const CODE_MEMORY = 600

/** A grant from its code on: the reference that stores are compared with. Small, slow, and never forgets. */
export class GrantLedger {
  readonly grant: Grant
  readonly code: CodeRecord
  codeMayBeGone = false
  #code: 'fresh' | 'used' | 'burnt' = 'fresh'
  #first: { nonce: string; limits: FamilyLimits | undefined } | undefined
  family: Ledger | undefined

  constructor(code: CodeRecord) {
    this.code = code
    this.grant = code.grant
  }

  /** The clock stands here now. */
  see(clock: number): void {
    if (clock >= this.code.expiresAt + CODE_MEMORY) this.codeMayBeGone = true
    if (this.family !== undefined && clock >= this.family.end) this.family.mayBeGone = true
  }

  isCodeReadable(clock: number): boolean {
    return this.#code === 'fresh' && clock < this.code.expiresAt
  }

  redeem(request: CodeRedemption, clock: number): CodeOutcome {
    const { code, grant } = this
    if (request.codeHash !== code.codeHash) return { outcome: 'unknown' }
    if (request.clientId !== grant.clientId) return { outcome: 'foreign', grant }
    if (this.#first?.nonce === request.nonce)
      return { outcome: 'redeemed', grant, limits: this.#first.limits }
    if (this.#code === 'used') {
      if (this.family !== undefined) this.family.ended ??= 'code_reused'
      return { outcome: 'reused', grant }
    }
    if (this.#code === 'burnt') return { outcome: 'burnt', grant }
    if (clock >= code.expiresAt) return { outcome: 'expired', grant }
    const named = request.redirectUri ?? (code.redirectUriRequired ? undefined : code.redirectUri)
    if (named !== code.redirectUri) return { outcome: 'redirect_uri_mismatch', grant }
    const refusal = refusalOf(grant, request)
    if (refusal !== undefined) return { outcome: refusal, grant }
    if (request.challenge !== code.codeChallenge) {
      this.#code = 'burnt'
      return { outcome: 'verifier_mismatch', grant }
    }
    this.#code = 'used'
    let limits: FamilyLimits | undefined
    if (request.family !== undefined) {
      const { token, lineage, boundTo } = request.family
      const { policy } = request
      const held: Token = { generation: 0, ...token }
      const times = { openedAt: clock, periodStart: clock }
      limits = limitsOf(times, policy, clock)
      this.family = {
        ...times,
        lineage,
        boundTo,
        tokens: [held],
        held,
        latest: clock,
        end: limits.expiresAt,
        ended: undefined,
        mayBeGone: false,
      }
    }
    this.#first = { nonce: request.nonce, limits }
    return { outcome: 'redeemed', grant, limits }
  }

  refresh(request: RefreshRequest, clock: number): RefreshOutcome {
    const { family, grant } = this
    const { policy, next } = request
    if (family === undefined || clock >= family.end) return { outcome: 'unknown' }
    if (request.clientId !== grant.clientId) return { outcome: 'foreign', grant }
    if (request.lineage !== family.lineage) return { outcome: 'unknown' }
    if (family.ended !== undefined) return { outcome: 'ended', grant }
    const now = Math.max(clock, family.latest)
    const isTheirs = request.boundTo === (family.boundTo ?? request.boundTo) && request.boundTo !== 'unproven'
    const refusal = isOver(family, policy, now)
      ? 'expired'
      : isTheirs
        ? refusalOf(grant, request)
        : 'sender_mismatch'
    const answer = (outcome: 'rotated' | 'kept' | 'retried', forward: boolean): RefreshOutcome => {
      if (isTheirs) family.boundTo = request.boundTo as TokenHash | undefined
      const limits = limitsOf(family, policy, now)
      const { generation, keyId } = family.held
      return { outcome, grant, generation, keyId, limits, fastForwarded: forward }
    }

    const known = family.tokens.find(
      ({ generation, hash }) => generation === request.generation && hash === request.tokenHash,
    )
    const forward = request.generation > family.held.generation
    if (known === family.held || forward) {
      if (refusal !== undefined) return { outcome: refusal, grant }
      const used = forward
        ? { generation: request.generation, hash: request.tokenHash, keyId: next.keyId }
        : family.held
      if (forward) hold(family, used)
      family.latest = now
      if (policy.issuance !== 'keep') {
        const { expiresAt } = limitsOf(family, policy, now)
        family.held.use = { at: now, expiry: expiresAt, nonce: request.nonce, outcome: 'rotated', forward }
        hold(family, { generation: request.generation + 1, ...next })
        if (policy.issuance === 'rotate-and-reset') family.periodStart = now
      }
      family.end = limitsOf(family, policy, now).expiresAt
      return answer(policy.issuance === 'keep' ? 'kept' : 'rotated', forward)
    }
    if (request.generation === family.held.generation) return { outcome: 'unknown' }

    const use = request.generation === family.held.generation - 1 ? known?.use : undefined
    if (use?.nonce === request.nonce) return answer(use.outcome, use.forward)
    if (use !== undefined && now < use.at + request.grace) {
      if (now >= use.expiry) return { outcome: 'expired', grant }
      if (refusal !== undefined) return { outcome: refusal, grant }
      family.latest = now
      family.end = limitsOf(family, policy, now).expiresAt
      Object.assign(use, { nonce: request.nonce, outcome: 'retried', forward: false })
      return answer('retried', false)
    }
    family.ended = 'reused'
    return { outcome: 'reused', grant }
  }

  end(reason: EndReason): void {
    if (this.#code === 'fresh') this.#code = 'burnt'
    if (this.family !== undefined) this.family.ended ??= reason
  }

  view(clock: number): FamilyView | undefined {
    const { family, grant } = this
    if (family === undefined || clock >= family.end) return undefined
    return {
      grant,
      generation: family.held.generation,
      tokenHash: family.held.hash as FamilyView['tokenHash'],
      lineage: family.lineage as FamilyView['lineage'],
      ...(family.boundTo !== undefined && { boundTo: family.boundTo }),
      openedAt: family.openedAt,
      periodStart: family.periodStart,
      lastUsedAt: family.latest,
      ended: family.ended,
    }
  }
}

function hold(family: Ledger, token: Token): void {
  family.tokens.push(token)
  family.held = token
}

/** keep, rotate: O + L; rotate-and-reset: the period's start + L; never past O + A. */
function limitsOf(
  { openedAt, periodStart }: Pick<Ledger, 'openedAt' | 'periodStart'>,
  { lifetime, absoluteLifetime }: RefreshPolicy,
  now: number,
): FamilyLimits {
  const cap = openedAt + (absoluteLifetime ?? Number.POSITIVE_INFINITY)
  const bound = absoluteLifetime === undefined ? undefined : cap
  return { openedAt, expiresAt: Math.min(periodStart + lifetime, cap), bound, now }
}

/** An access token has whole seconds and none past the bound, so under one second to it nothing is left to give. */
function isOver(family: Ledger, policy: RefreshPolicy, now: number): boolean {
  const { expiresAt, bound = Number.POSITIVE_INFINITY } = limitsOf(family, policy, now)
  return now >= expiresAt || Math.floor(bound - now) === 0
}

function refusalOf(
  { scope: granted, resources }: Grant,
  asked: Pick<RefreshRequest, 'scope' | 'resource' | 'obtainable'>,
): 'scope_exceeded' | 'resource_exceeded' | 'nothing_left' | undefined {
  if (asked.scope?.some((token) => !granted.includes(token))) return 'scope_exceeded'
  if (asked.resource !== undefined && !resources.includes(asked.resource)) return 'resource_exceeded'
  const left = asked.obtainable.get(asked.resource ?? (resources[0] as string)) ?? new Set()
  return (asked.scope ?? granted).every((token) => !left.has(token)) ? 'nothing_left' : undefined
}
