import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { RefreshRequest, Stores } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import {
  aCode,
  aHash,
  aToken,
  KEEP,
  openFamily,
  ROTATE,
  redemptionOf,
  type StoresFactory,
  T,
} from './contract.ts'

/** What any store of grants must do where codes and families are bound to a key. */
export function boundFamilyContract(make: StoresFactory): void {
  let clock: ManualClock
  let stores: Stores
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    ;({ stores, close } = await make(clock))
  })
  afterEach(() => close())

  const [ours, theirs] = [aHash(), aHash()]
  const [jkt, otherJkt] = [`${'k'.repeat(42)}A`, `${'l'.repeat(42)}A`]
  async function openBound(policy = ROTATE, isBound = true) {
    const family = await openFamily(stores, policy)
    const outcome = async (generation: number, over: Partial<RefreshRequest> = {}) =>
      (await stores.grants.refresh(family.refresh(generation, over))).outcome
    const view = () => stores.grants.readFamily(family.grant.id)
    if (isBound) expect(await outcome(0, { boundTo: ours })).toMatch(/rotated|kept/)
    return { family, outcome, view }
  }

  test('a code with a key is redeemed with that key; another, or none, uses nothing up', async () => {
    const code = aCode({ dpopJkt: jkt })
    await stores.grants.issueCode(code)
    expect(await stores.grants.readCode(code.grant.id)).toEqual(code)
    for (const over of [{}, { dpopJkt: otherJkt }])
      expect((await stores.grants.redeemCode(redemptionOf(code, over))).outcome).toBe('sender_mismatch')
    const right = redemptionOf(code, { dpopJkt: jkt })
    expect((await stores.grants.redeemCode(right)).outcome).toBe('redeemed')
  })

  test('a code without one takes any', async () => {
    for (const over of [{}, { dpopJkt: jkt }]) {
      const code = aCode()
      await stores.grants.issueCode(code)
      expect((await stores.grants.redeemCode(redemptionOf(code, over))).outcome).toBe('redeemed')
    }
  })

  test('a family that opens bound says so, and refreshes with that key alone', async () => {
    const code = aCode()
    await stores.grants.issueCode(code)
    const [first, next, lineage] = [aToken(), aToken(), aHash()]
    const redemption = redemptionOf(code, { family: { token: first, lineage, boundTo: ours } }, ROTATE)
    const opened = { ...redemption, family: { token: first, lineage, boundTo: ours } }
    expect((await stores.grants.redeemCode(opened)).outcome).toBe('redeemed')
    const before = await stores.grants.readFamily(code.grant.id)
    expect(before).toMatchObject({ boundTo: ours, generation: 0, tokenHash: first.hash, grant: code.grant })
    const family = await openFamily(stores, ROTATE)
    const request = {
      ...family.refresh(0),
      grantId: code.grant.id,
      tokenHash: first.hash,
      lineage,
      next,
    }
    for (const boundTo of [undefined, theirs, 'unproven'] as const) {
      const refused = await stores.grants.refresh({ ...request, ...(boundTo && { boundTo }) })
      expect(refused).toEqual({ outcome: 'sender_mismatch', grant: code.grant })
    }
    expect(await stores.grants.readFamily(code.grant.id)).toEqual(before)
    expect(await stores.grants.refresh({ ...request, boundTo: ours })).toMatchObject({
      outcome: 'rotated',
      grant: code.grant,
      keyId: next.keyId,
    })
  })

  test('a family without a key takes the first that is proven, and no other from then on', async () => {
    for (const policy of [ROTATE, KEEP]) {
      const { outcome, view } = await openBound(policy)
      expect((await view())?.boundTo).toBe(ours)
      const current = policy === KEEP ? 0 : 1
      const before = await view()
      for (const over of [{}, { boundTo: theirs }, { boundTo: 'unproven' as const }])
        expect(await outcome(current, over)).toBe('sender_mismatch')
      expect(await view()).toEqual(before)
      expect(await outcome(current, { boundTo: ours })).toBe(policy === KEEP ? 'kept' : 'rotated')
      expect((await view())?.boundTo).toBe(ours)
    }
  })

  test('a bad proof gets nothing of a family without a key either', async () => {
    const { outcome, view } = await openBound(ROTATE, false)
    const before = await view()
    expect(before).not.toHaveProperty('boundTo')
    expect(await outcome(0, { boundTo: 'unproven' })).toBe('sender_mismatch')
    expect(await view()).toEqual(before)
    expect(await outcome(0)).toBe('rotated')
  })

  test('a retry in the grace window needs the key; without it nothing changes', async () => {
    const { outcome, view } = await openBound()
    clock.advance(1)
    const before = await view()
    for (const over of [{}, { boundTo: theirs }, { boundTo: 'unproven' as const }])
      expect(await outcome(0, over)).toBe('sender_mismatch')
    expect(await view()).toEqual(before)
    expect(await outcome(0, { boundTo: ours })).toBe('retried')
  })

  test('a retry with the first key that is proven binds the family to it', async () => {
    const { outcome, view } = await openBound(ROTATE, false)
    expect(await outcome(0)).toBe('rotated')
    expect(await outcome(0, { boundTo: ours })).toBe('retried')
    expect((await view())?.boundTo).toBe(ours)
  })

  test('a spent token ends the family, whatever is proven beside it', async () => {
    for (const boundTo of [ours, theirs, 'unproven', undefined] as const) {
      const { outcome, view } = await openBound()
      clock.advance(11)
      expect(await outcome(0, boundTo && { boundTo })).toBe('reused')
      expect((await view())?.ended).toBe('reused')
      expect(await outcome(1, { boundTo: ours })).toBe('ended')
    }
  })

  test('the same run again gets the same answer, and an end is seen', async () => {
    const { family, outcome } = await openBound()
    const request = family.refresh(1, { boundTo: ours })
    const once = await stores.grants.refresh(request)
    expect(once.outcome).toBe('rotated')
    expect(await stores.grants.refresh(request)).toEqual(once)
    expect(await stores.grants.end(family.grant.id, 'revoked')).toEqual({
      outcome: 'ended',
      grant: family.grant,
    })
    expect(await outcome(2, { boundTo: ours })).toBe('ended')
  })
}
