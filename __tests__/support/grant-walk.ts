import { expect } from '@jest/globals'
import type { CodeRedemption, FamilyView, RefreshRequest, Stores } from '../../lib/stores/ports.ts'
import { aCode, aGrant, aHash, anId, redemptionOf, T } from '../contracts/contract.ts'
import { GrantLedger } from './grant-ledger.ts'
import { beside, isOwned, type Member, nextRedemption, nextRequest, same, tokenOf } from './grant-requests.ts'
import type { Scenario, Step } from './grant-scenario.ts'
import type { ManualClock } from './world.ts'

export interface Lane {
  readonly stores: Stores
  readonly clock: ManualClock
  /** The store ends its records by a real clock as well, whatever the one of the test says. */
  readonly expiresForReal: boolean
}

/** What was done and seen, over all scenarios. */
export class Tally {
  operations = 0
  goneForReal = 0
  readonly outcomes = new Map<string, number>()

  saw(outcome: string): void {
    this.outcomes.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1)
  }
}

/** Plays a scenario on a store; every answer has to be what the ledger says. */
export class Walk {
  readonly #lane: Lane
  readonly #tally: Tally
  readonly #subject = `user ${anId()}`
  readonly #clients = [`client-${anId()}`, `client-${anId()}`]
  readonly #session = { issuer: 'https://idp.example', sid: anId() }
  readonly #members: Member[] = []

  constructor(lane: Lane, tally: Tally) {
    this.#lane = lane
    this.#tally = tally
  }

  get #now(): number {
    return this.#lane.clock.now
  }

  get #grants() {
    return this.#lane.stores.grants
  }

  async play({ grants, steps, isSteady }: Scenario): Promise<void> {
    this.#lane.clock.now = T
    for (const plan of grants) await this.#open(plan)
    for (const step of steps) {
      if (step.kind === 'wait') this.#move(step.by)
      else if (step.kind === 'jump') this.#move(isSteady ? Math.abs(step.by) : step.by)
      else if (step.kind === 'list') await this.#list(step.by, step.limit, isSteady)
      else await this.#act(step)
    }
    for (const member of this.#members) await this.#compareView(member)
  }

  #move(seconds: number): void {
    this.#lane.clock.advance(seconds)
    for (const { ledger } of this.#members) ledger.see(this.#now)
  }

  async #open({
    policy,
    client,
    hasSession,
    isBound,
    opens,
    before,
    delay,
    uriRequired,
  }: Scenario['grants'][number]): Promise<void> {
    const grant = aGrant({
      subject: this.#subject,
      clientId: this.#clients[client] as string,
      createdAt: this.#now,
      ...(hasSession && { idpSession: this.#session }),
    })
    const code = aCode({ grant, redirectUriRequired: uriRequired, expiresAt: this.#now + 60 })
    const lineage = aHash()
    const token = tokenOf(grant.id, 0, 0)
    const family = { token, lineage, ...(isBound && { boundTo: aHash() }) }
    const redemption = redemptionOf(code, { family }, policy)
    const member: Member = {
      ledger: new GrantLedger(code),
      lineage,
      redemption,
      redemptions: [redemption],
      requests: [],
      policy,
      wasShortened: false,
      goneAt: Number.POSITIVE_INFINITY,
    }
    await this.#grants.issueCode({ ...code, refreshLifetime: policy.lifetime })
    this.#tally.operations++
    this.#members.push(member)
    this.#move(delay)
    if (!opens) return
    for (const flaw of before) await this.#redeem(member, nextRedemption(member, flaw))
    await this.#redeem(member, redemption)
  }

  async #act(step: Exclude<Step, { kind: 'wait' | 'jump' | 'list' }>): Promise<void> {
    const member = this.#members[step.which % this.#members.length] as Member
    const { ledger } = member
    if (step.kind === 'refresh') {
      const request = nextRequest(member, step)
      await this.#refresh(member, request, ...beside(request, step.atOnce))
    } else if (step.kind === 'run again') {
      const request = member.requests.at(-1 - step.back)
      if (request !== undefined && step.what === 'refresh') await this.#refresh(member, request)
      else await this.#redeem(member, member.redemptions.at(-1 - step.back) ?? member.redemption)
    } else if (step.kind === 'redeem') {
      const request = nextRedemption(member, step.flaw)
      await this.#redeem(member, request, ...beside(request, step.atOnce))
    } else if (step.kind === 'end') {
      const answer = await this.#grants.end(ledger.grant.id, step.reason)
      this.#tally.operations++
      const isForgotten = ledger.codeMayBeGone && ledger.family?.mayBeGone !== false
      if (answer.outcome === 'unknown' && isForgotten) return
      ledger.end(step.reason)
      same(answer, { outcome: 'ended', grant: ledger.grant })
    } else {
      const read = await this.#grants.readCode(ledger.grant.id)
      this.#tally.operations++
      const { refreshLifetime: _, ...rest } = read ?? {}
      if (ledger.isCodeReadable(this.#now)) {
        if (read !== undefined || !ledger.codeMayBeGone) same(rest, ledger.code)
      } else same(read, undefined)
    }
    await this.#compareView(member)
  }

  async #refresh(member: Member, ...requests: RefreshRequest[]): Promise<void> {
    const { ledger } = member
    const sentAt = performance.now()
    const answers = await Promise.all(requests.map((request) => this.#grants.refresh(request)))
    for (const [index, answer] of answers.entries()) {
      this.#tally.operations++
      this.#tally.saw(answer.outcome)
      if (answer.outcome === 'unknown' && this.#isForgotten(member)) continue
      const request = requests[index] as RefreshRequest
      const isRunAgain = ledger.family?.tokens.some(({ use }) => use?.nonce === request.nonce) === true
      same(answer, ledger.refresh(request, this.#now))
      if ('limits' in answer && !isRunAgain) {
        member.goneAt = sentAt + (answer.limits.expiresAt - answer.limits.now) * 1000
        if (answer.fastForwarded) this.#tally.saw('fast-forwarded')
      } else if ('limits' in answer) this.#tally.saw('run again')
    }
  }

  async #redeem(member: Member, ...requests: CodeRedemption[]): Promise<void> {
    const { ledger } = member
    const sentAt = performance.now()
    const answers = await Promise.all(requests.map((request) => this.#grants.redeemCode(request)))
    for (const [index, answer] of answers.entries()) {
      this.#tally.operations++
      this.#tally.saw(`code ${answer.outcome}`)
      if (answer.outcome === 'unknown' && ledger.codeMayBeGone) continue
      const isNew = ledger.family === undefined
      same(answer, ledger.redeem(requests[index] as CodeRedemption, this.#now))
      if (isNew && ledger.family !== undefined)
        member.goneAt = sentAt + (ledger.family.end - this.#now) * 1000
    }
  }

  /** The store may say that it knows nothing of the family, though the ledger does. */
  #isForgotten(member: Member): boolean {
    const { family } = member.ledger
    if (family === undefined) return false
    if (this.#lane.expiresForReal && !family.mayBeGone && performance.now() >= member.goneAt) {
      family.mayBeGone = true
      this.#tally.goneForReal++
    }
    return family.mayBeGone
  }

  async #compareView(member: Member): Promise<void> {
    const view = await this.#grants.readFamily(member.ledger.grant.id)
    this.#tally.operations++
    if (view === undefined && this.#isForgotten(member)) return
    same(view, member.ledger.view(this.#now))
  }

  /** Page by page; whoever is listed is alive and the owner's, and nobody is missing where the clock never jumped back. */
  async #list(by: 'subject' | 'clientId' | 'idpSession', limit: number, isSteady: boolean): Promise<void> {
    const owner = {
      subject: { subject: this.#subject },
      clientId: { clientId: this.#clients[0] as string },
      idpSession: { idpSession: this.#session },
    }[by]
    const listed: FamilyView[] = []
    let cursor: string | undefined
    do {
      const page = await this.#grants.listFamilies({
        ...owner,
        limit,
        ...(cursor !== undefined && { cursor }),
      })
      this.#tally.operations++
      expect(page.families.length).toBeLessThanOrEqual(limit)
      listed.push(...page.families)
      cursor = page.cursor
    } while (cursor !== undefined && listed.length < 10)
    const ids = listed.map(({ grant }) => grant.id)
    expect(new Set(ids).size).toBe(ids.length)
    const owned = this.#members.filter(({ ledger }) => isOwned(ledger.grant, owner))
    for (const view of listed)
      same(view, owned.find(({ ledger }) => ledger.grant.id === view.grant.id)?.ledger.view(this.#now))
    expect(listed.filter(({ ended }) => ended !== undefined)).toEqual([])
    for (const member of owned) {
      const view = member.ledger.view(this.#now)
      if (view === undefined || view.ended !== undefined || ids.includes(view.grant.id)) continue
      if (this.#isForgotten(member)) continue
      // Lists in Redis are hints, and may be late where a clock jumped back or lifetimes became shorter.
      const isHint = this.#lane.expiresForReal && (!isSteady || member.wasShortened)
      if (!isHint) expect({ ids, clock: this.#now, missing: view }).toBe('nothing')
    }
    this.#tally.saw('listed')
  }
}
