import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { memoryStores } from '../../lib/index.ts'
import type { RefreshPolicy } from '../../lib/stores/ports.ts'
import { aHash, anId, aToken, openFamily, T, type TestFamily } from '../contracts/contract.ts'
import { manualClock } from '../support/world.ts'

/**
 * A family as `refresh-tokens` describes it, written down a second time and differently: every token that was ever handed
 * out with what became of it, instead of a current and a previous one.
 */
class ModelFamily {
  readonly openedAt: number
  readonly used = new Map<number, { at: number; expiry: number }>()
  newest = 0
  periodStart: number
  /** The last use: the family's time never stands before it. */
  latest: number
  dead = false

  constructor(now: number) {
    this.openedAt = now
    this.periodStart = now
    this.latest = now
  }

  expiry({ lifetime, absoluteLifetime }: RefreshPolicy): number {
    return Math.min(
      this.periodStart + lifetime,
      this.openedAt + (absoluteLifetime ?? Number.POSITIVE_INFINITY),
    )
  }

  isOver(policy: RefreshPolicy, now: number): boolean {
    const left = this.openedAt + (policy.absoluteLifetime ?? Number.POSITIVE_INFINITY) - now
    return now >= this.expiry(policy) || left < 1
  }

  /** @returns the outcome, and the expiry that the answer tells */
  refresh(
    generation: number,
    clock: number,
    grace: number,
    policy: RefreshPolicy,
    tooWide: boolean,
  ): [outcome: string, expiry?: number] {
    const now = Math.max(clock, this.latest)
    if (this.dead) return ['ended']
    const use = this.used.get(generation)
    if (generation < this.newest) {
      if (generation !== this.newest - 1 || use === undefined || now >= use.at + grace) {
        this.dead = true
        return ['reused']
      }
      if (now >= use.expiry || this.isOver(policy, now)) return ['expired']
      if (tooWide) return ['scope_exceeded']
      this.latest = now
      return ['retried', this.expiry(policy)]
    }
    if (this.isOver(policy, now)) return ['expired']
    if (tooWide) return ['scope_exceeded']
    this.latest = now
    if (policy.issuance === 'keep') {
      // A kept newer token makes every one before it an old one, the immediate predecessor included.
      if (generation > this.newest) this.newest = generation
      return ['kept', this.expiry(policy)]
    }
    this.used.set(generation, { at: now, expiry: this.expiry(policy) })
    this.newest = generation + 1
    if (policy.issuance === 'rotate-and-reset') this.periodStart = now
    return ['rotated', this.expiry(policy)]
  }
}

const issuance = fc.constantFrom('keep' as const, 'rotate' as const, 'rotate-and-reset' as const)
const seconds = (max: number) => fc.integer({ min: 0, max: max * 2 }).map((halves) => halves / 2)

/** How far back from the newest token: mostly it or its predecessor, sometimes older, sometimes one the store has lost. */
const behind = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.constant(1) },
  { weight: 1, arbitrary: fc.integer({ min: -3, max: 4 }) },
)
const step = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('refresh' as const),
      behind,
      twice: fc.boolean(),
      tooWide: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
      switchTo: fc.option(fc.record({ issuance, lifetime: seconds(200).filter((n) => n > 0) }), { freq: 5 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('wait' as const), by: seconds(40) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('jump back' as const), by: seconds(100) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'foreign' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'revoke' as const }) },
)
const scenario = fc.record({
  issuance,
  lifetime: seconds(200).filter((lifetime) => lifetime > 0),
  cap: fc.option(seconds(300).filter((cap) => cap > 1)),
  grace: fc.constantFrom(0, 1, 10, 60),
  steps: fc.array(step, { minLength: 1, maxLength: 40 }),
})

test('any sequence of refreshes, retries, replays, revocations and clock jumps goes as the model says', async () => {
  const seen = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(scenario, async ({ issuance: first, lifetime, cap, grace, steps }) => {
      const clock = manualClock(T)
      const stores = memoryStores({ clock })
      let policy: RefreshPolicy = {
        issuance: first,
        lifetime,
        ...(cap !== null && { absoluteLifetime: cap }),
      }
      const family: TestFamily = await openFamily(stores, policy)
      const model = new ModelFamily(T)
      let lastExpiry = model.expiry(policy)
      let latestClock = T
      for (const action of steps) {
        latestClock = Math.max(latestClock, clock.now)
        if (action.kind === 'wait') clock.advance(action.by)
        else if (action.kind === 'jump back') clock.advance(-action.by)
        else if (action.kind === 'foreign') {
          const before = await stores.grants.readFamily(family.grant.id)
          const answer = await stores.grants.refresh(family.refresh(0, { clientId: 'another' }))
          expect(['foreign', 'unknown']).toContain(answer.outcome)
          expect(await stores.grants.readFamily(family.grant.id)).toEqual(before)
        } else if (action.kind === 'revoke') {
          const outcome = await stores.grants.end(family.grant.id, 'revoked')
          if (outcome.outcome === 'ended') model.dead = true
        } else {
          if (action.switchTo !== null) policy = { ...policy, ...action.switchTo }
          const generation = Math.max(0, model.newest - action.behind)
          while (family.tokens.length < generation + 2) family.tokens.push(aToken())
          const request = family.refresh(generation, {
            nonce: anId(),
            policy,
            grace,
            ...(action.tooWide && { scope: ['a', 'z'] }),
          })
          const answer = await stores.grants.refresh(request)
          // The store may forget what is over by its own clock; from then on there is nothing to compare.
          if (answer.outcome === 'unknown') {
            expect(latestClock).toBeGreaterThanOrEqual(lastExpiry)
            return
          }
          const [outcome, expiry] = model.refresh(generation, clock.now, grace, policy, action.tooWide)
          seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
          expect(answer.outcome).toBe(outcome)
          if ('limits' in answer) {
            lastExpiry = answer.limits.expiresAt
            expect(answer.limits.expiresAt).toBe(expiry)
            expect(answer.generation).toBe(outcome === 'kept' ? generation : model.newest)
            expect(answer.limits.now).toBeLessThan(answer.limits.expiresAt)
            // Whatever succeeded is the same when the driver runs it again.
            if (action.twice && outcome !== 'retried') {
              const again = await stores.grants.refresh(request)
              // Adopting a kept token is not remembered as such; its second run finds it current.
              const fastForwarded = outcome === 'kept' ? false : answer.fastForwarded
              expect(again).toEqual({ ...answer, fastForwarded })
            }
          }
          const view = await stores.grants.readFamily(family.grant.id)
          if (view !== undefined) {
            expect(view.ended !== undefined).toBe(model.dead)
            expect(view.generation).toBe(model.newest)
            expect(view.periodStart).toBe(model.periodStart)
            expect(view.lastUsedAt).toBe(model.latest)
          }
        }
      }
    }),
    { numRuns: 1500, seed: 6749 },
  )
  // The scenarios reach every row of the table, many times.
  for (const outcome of ['rotated', 'kept', 'retried', 'reused', 'expired', 'ended', 'scope_exceeded'])
    expect([outcome, (seen.get(outcome) ?? 0) > 50]).toEqual([outcome, true])
})

test('no sequence gives two live tokens: of all that were handed out at most the newest is good after the grace', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ behind: fc.integer({ min: 0, max: 1 }), wait: fc.constantFrom(0, 0, 0, 3, 9) }), {
        minLength: 1,
        maxLength: 20,
      }),
      async (uses) => {
        const clock = manualClock(T)
        const stores = memoryStores({ clock })
        const family = await openFamily(stores, { issuance: 'rotate', lifetime: 10_000 })
        let newest = 0
        for (const { behind: back, wait } of uses) {
          while (family.tokens.length < newest + 3) family.tokens.push(aToken())
          const answer = await stores.grants.refresh(family.refresh(Math.max(0, newest - back)))
          if ('generation' in answer) newest = answer.generation
          clock.advance(wait)
        }
        const handedOut = newest + 1
        clock.advance(60)
        const alive: number[] = []
        for (let generation = 0; generation < handedOut; generation++) {
          const view = await stores.grants.readFamily(family.grant.id)
          if (view?.ended === undefined && view?.tokenHash === family.tokens[generation]?.hash)
            alive.push(generation)
        }
        expect(alive.length).toBeLessThanOrEqual(1)
        for (let generation = 0; generation < handedOut - 1; generation++)
          expect(['reused', 'ended']).toContain(
            (await stores.grants.refresh(family.refresh(generation))).outcome,
          )
        if (handedOut > 1)
          expect((await stores.grants.refresh(family.refresh(handedOut - 1))).outcome).toBe('ended')
      },
    ),
    { numRuns: 200, seed: 6749 },
  )
})

test('a token that no generation ever had never rotates anything', async () => {
  const stores = memoryStores({ clock: manualClock(T) })
  const family = await openFamily(stores, { issuance: 'rotate', lifetime: 1000 })
  const answer = await stores.grants.refresh(family.refresh(0, { tokenHash: aHash() }))
  expect(answer).toEqual({ outcome: 'unknown' })
  expect((await stores.grants.refresh(family.refresh(0))).outcome).toBe('rotated')
})
