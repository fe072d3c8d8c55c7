import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { FamilyLimits, GrantStore, RefreshPolicy, Stores } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import {
  aCode,
  aGrant,
  aHash,
  anId,
  aToken,
  KEEP,
  openFamily,
  RESET,
  ROTATE,
  redemptionOf,
  type StoresFactory,
  T,
  type TestFamily,
} from './contract.ts'
import { familyListContract } from './family-list.contract.ts'

/** What any store of grants must do: authorization codes and the decision table of refresh-token families. */
export function grantStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let stores: Stores
  let grants: GrantStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    ;({ stores, close } = await make(clock))
    grants = stores.grants
  })
  afterEach(() => close())

  const at = (seconds: number) => {
    clock.now = T + seconds
  }
  const open = (policy: RefreshPolicy = ROTATE, over = {}) => openFamily(stores, policy, over, clock.now + 60)
  const refresh = (family: TestFamily, generation: number, over = {}) =>
    grants.refresh(family.refresh(generation, over))
  /** Neither the generation nor the token nor the end of a family has changed by what is run in between. */
  async function unchanged(family: TestFamily, run: () => Promise<void>) {
    const before = await grants.readFamily(family.grant.id)
    expect(before).toBeDefined()
    await run()
    expect(await grants.readFamily(family.grant.id)).toEqual(before)
  }

  describe('issueCode and readCode', () => {
    test('a code is read as it was issued, any number of times', async () => {
      const code = aCode()
      await grants.issueCode(code)
      expect(await grants.readCode(code.grant.id)).toEqual(code)
      expect(await grants.readCode(code.grant.id)).toEqual(code)
      expect((await grants.redeemCode(redemptionOf(code))).outcome).toBe('redeemed')
    })

    test('members that are absent stay absent', async () => {
      const { acr: _acr, amr: _amr, ...grant } = aCode().grant
      const code = aCode({ grant })
      await grants.issueCode(code)
      const read = await grants.readCode(code.grant.id)
      expect(read?.grant).toStrictEqual(grant)
    })

    test('it can be read while now < expiresAt, and not once it is redeemed or burnt', async () => {
      const [late, used, burnt] = [aCode(), aCode(), aCode()]
      for (const code of [late, used, burnt]) await grants.issueCode(code)
      await grants.redeemCode(redemptionOf(used))
      await grants.end(burnt.grant.id, 'revoked')
      expect(await grants.readCode(used.grant.id)).toBeUndefined()
      expect(await grants.readCode(burnt.grant.id)).toBeUndefined()
      at(59.5)
      expect(await grants.readCode(late.grant.id)).toBeDefined()
      at(60)
      expect(await grants.readCode(late.grant.id)).toBeUndefined()
    })

    test('an unknown one is undefined', async () => {
      expect(await grants.readCode(anId())).toBeUndefined()
    })
  })

  describe('redeemCode', () => {
    test('redeemed without a family: the grant, no limits, and no family to be found', async () => {
      const code = aCode()
      await grants.issueCode(code)
      expect(await grants.redeemCode(redemptionOf(code))).toEqual({
        outcome: 'redeemed',
        grant: code.grant,
        limits: undefined,
      })
      expect(await grants.readFamily(code.grant.id)).toBeUndefined()
    })

    test('redeemed with a family: generation 0 and its limits', async () => {
      const code = aCode()
      const token = aToken()
      await grants.issueCode(code)
      at(7)
      const lineage = aHash()
      const answer = await grants.redeemCode(redemptionOf(code, {}, ROTATE, token, lineage))
      expect(answer).toEqual({
        outcome: 'redeemed',
        grant: code.grant,
        limits: { openedAt: T + 7, expiresAt: T + 107, bound: undefined, now: T + 7 },
      })
      expect(await grants.readFamily(code.grant.id)).toEqual({
        grant: code.grant,
        generation: 0,
        tokenHash: token.hash,
        lineage,
        openedAt: T + 7,
        periodStart: T + 7,
        lastUsedAt: T + 7,
        ended: undefined,
      })
    })

    test('the cap is the bound of everything, and the expiry where it is nearer', async () => {
      const [near, far] = [aCode(), aCode()]
      for (const code of [near, far]) await grants.issueCode(code)
      const nearer = await grants.redeemCode(redemptionOf(near, {}, { ...ROTATE, absoluteLifetime: 40 }))
      const farther = await grants.redeemCode(redemptionOf(far, {}, { ...ROTATE, absoluteLifetime: 250 }))
      expect(nearer).toMatchObject({ limits: { expiresAt: T + 40, bound: T + 40 } })
      expect(farther).toMatchObject({ limits: { expiresAt: T + 100, bound: T + 250 } })
    })

    test('unknown: another id, or the id with another code', async () => {
      const code = aCode()
      await grants.issueCode(code)
      expect(await grants.redeemCode(redemptionOf(code, { grantId: anId() }))).toEqual({ outcome: 'unknown' })
      expect(await grants.redeemCode(redemptionOf(code, { codeHash: aHash() }))).toEqual({
        outcome: 'unknown',
      })
      expect((await grants.redeemCode(redemptionOf(code))).outcome).toBe('redeemed')
    })

    test('foreign: another client takes nothing away, before and after the code is used', async () => {
      const code = aCode()
      await grants.issueCode(code)
      const foreign = () => grants.redeemCode(redemptionOf(code, { clientId: 'another' }, ROTATE))
      expect(await foreign()).toEqual({ outcome: 'foreign', grant: code.grant })
      expect((await grants.redeemCode(redemptionOf(code, {}, ROTATE))).outcome).toBe('redeemed')
      expect(await foreign()).toEqual({ outcome: 'foreign', grant: code.grant })
      expect((await grants.readFamily(code.grant.id))?.ended).toBeUndefined()
    })

    test('reused: a second use ends the family, with no grace', async () => {
      const code = aCode()
      await grants.issueCode(code)
      await grants.redeemCode(redemptionOf(code, {}, ROTATE))
      expect(await grants.redeemCode(redemptionOf(code, {}, ROTATE))).toEqual({
        outcome: 'reused',
        grant: code.grant,
      })
      expect((await grants.readFamily(code.grant.id))?.ended).toBe('code_reused')
      expect((await grants.redeemCode(redemptionOf(code, {}, ROTATE))).outcome).toBe('reused')
    })

    test.each([
      ['a wrong verifier', { challenge: aHash() }],
      ['a wrong redirect URI', { redirectUri: 'https://evil.example/' }],
      ['too wide a scope', { scope: ['z'] }],
      ['another resource', { resource: 'https://api.example/three' }],
    ])('reused: a used code is seen as used with %s beside it', async (_, wrong) => {
      const code = aCode()
      await grants.issueCode(code)
      await grants.redeemCode(redemptionOf(code, {}, ROTATE))
      expect((await grants.redeemCode(redemptionOf(code, wrong, ROTATE))).outcome).toBe('reused')
      expect((await grants.readFamily(code.grant.id))?.ended).toBe('code_reused')
    })

    test('reused: also after the code has expired', async () => {
      const code = aCode()
      await grants.issueCode(code)
      await grants.redeemCode(redemptionOf(code, {}, ROTATE))
      at(61)
      expect((await grants.redeemCode(redemptionOf(code, {}, ROTATE))).outcome).toBe('reused')
      expect((await grants.readFamily(code.grant.id))?.ended).toBe('code_reused')
    })

    test('the same redemption run again gets the first answer, and opens no second family', async () => {
      const code = aCode()
      await grants.issueCode(code)
      const redemption = redemptionOf(code, {}, ROTATE)
      const first = await grants.redeemCode(redemption)
      clock.advance(3)
      expect(await grants.redeemCode(redemption)).toEqual(first)
      expect(await grants.readFamily(code.grant.id)).toMatchObject({
        generation: 0,
        openedAt: T,
        ended: undefined,
      })
    })

    test('expired: at expiresAt, not before, and it stays so', async () => {
      const [inTime, late] = [aCode(), aCode()]
      for (const code of [inTime, late]) await grants.issueCode(code)
      at(59.5)
      expect((await grants.redeemCode(redemptionOf(inTime))).outcome).toBe('redeemed')
      at(60)
      expect(await grants.redeemCode(redemptionOf(late, {}, ROTATE))).toEqual({
        outcome: 'expired',
        grant: late.grant,
      })
      expect(await grants.readFamily(late.grant.id)).toBeUndefined()
    })

    test('a redirect URI must be the same, and be there where the request had one; the code stays', async () => {
      const [required, optional] = [aCode(), aCode({ redirectUriRequired: false })]
      for (const code of [required, optional]) await grants.issueCode(code)
      const without = (code: typeof required) => {
        const { redirectUri: _, ...rest } = redemptionOf(code)
        return grants.redeemCode(rest)
      }
      const wrong = { redirectUri: 'https://client.example/other' }
      for (const code of [required, optional])
        expect((await grants.redeemCode(redemptionOf(code, wrong))).outcome).toBe('redirect_uri_mismatch')
      expect((await without(required)).outcome).toBe('redirect_uri_mismatch')
      expect((await grants.redeemCode(redemptionOf(required))).outcome).toBe('redeemed')
      expect((await without(optional)).outcome).toBe('redeemed')
    })

    test('scope and resource beyond the grant are refused and the code stays', async () => {
      const code = aCode()
      await grants.issueCode(code)
      expect((await grants.redeemCode(redemptionOf(code, { scope: ['a', 'z'] }))).outcome).toBe(
        'scope_exceeded',
      )
      expect(
        (await grants.redeemCode(redemptionOf(code, { resource: 'https://api.example/three' }))).outcome,
      ).toBe('resource_exceeded')
      const within = redemptionOf(code, { scope: ['b'], resource: 'https://api.example/two' })
      expect((await grants.redeemCode(within)).outcome).toBe('redeemed')
    })

    test('verifier_mismatch burns the code: the right verifier is refused from then on', async () => {
      const code = aCode()
      await grants.issueCode(code)
      expect(await grants.redeemCode(redemptionOf(code, { challenge: aHash() }, ROTATE))).toEqual({
        outcome: 'verifier_mismatch',
        grant: code.grant,
      })
      expect(await grants.redeemCode(redemptionOf(code, {}, ROTATE))).toEqual({
        outcome: 'burnt',
        grant: code.grant,
      })
      expect(await grants.readFamily(code.grant.id)).toBeUndefined()
    })

    test('of many redemptions at once one is redeemed', async () => {
      const code = aCode()
      await grants.issueCode(code)
      const answers = await Promise.all(
        Array.from({ length: 50 }, () => grants.redeemCode(redemptionOf(code, {}, ROTATE))),
      )
      expect(answers.filter(({ outcome }) => outcome === 'redeemed')).toHaveLength(1)
      expect(answers.filter(({ outcome }) => outcome === 'reused')).toHaveLength(49)
    })
  })

  describe('refresh: the decision table', () => {
    test('family absent → unknown', async () => {
      const family = await open()
      expect(await refresh(family, 0, { grantId: anId() })).toEqual({ outcome: 'unknown' })
    })

    test("another client's → foreign, nothing changes: current, spent and ended alike", async () => {
      const family = await open()
      const foreign = (generation: number) => refresh(family, generation, { clientId: 'another' })
      await unchanged(family, async () => {
        expect(await foreign(0)).toEqual({ outcome: 'foreign', grant: family.grant })
      })
      await refresh(family, 0)
      at(50)
      await unchanged(family, async () => {
        expect((await foreign(0)).outcome).toBe('foreign')
        expect((await foreign(1)).outcome).toBe('foreign')
      })
      expect((await refresh(family, 1)).outcome).toBe('rotated')
      await grants.end(family.grant.id, 'revoked')
      expect((await foreign(2)).outcome).toBe('foreign')
    })

    test('family ended → ended for every generation, and the reason stays the first', async () => {
      const family = await open()
      await refresh(family, 0)
      await grants.end(family.grant.id, 'revoked')
      for (const generation of [0, 1, 2])
        expect(await refresh(family, generation)).toEqual({ outcome: 'ended', grant: family.grant })
      expect((await grants.readFamily(family.grant.id))?.ended).toBe('revoked')
    })

    test('current → rotated: the next generation, previous spent', async () => {
      const family = await open()
      at(10)
      expect(await refresh(family, 0)).toEqual({
        outcome: 'rotated',
        grant: family.grant,
        generation: 1,
        keyId: 'key-1',
        limits: { openedAt: T, expiresAt: T + 100, bound: undefined, now: T + 10 },
        fastForwarded: false,
      })
      expect(await grants.readFamily(family.grant.id)).toEqual({
        grant: family.grant,
        generation: 1,
        tokenHash: family.tokens[1]?.hash,
        lineage: family.lineage,
        openedAt: T,
        periodStart: T,
        lastUsedAt: T + 10,
        ended: undefined,
      })
    })

    test.each([0, 1, 2, 3, 6])(
      'generation %d of another lineage is unknown and changes nothing',
      async (generation) => {
        const family = await open()
        await refresh(family, 0)
        await refresh(family, 1)
        const before = await grants.readFamily(family.grant.id)
        const own = { tokenHash: family.tokens[2]?.hash ?? aHash() }
        for (const over of [{}, own])
          expect(await refresh(family, generation, { ...over, lineage: aHash(), generation })).toEqual({
            outcome: 'unknown',
          })
        expect(await grants.readFamily(family.grant.id)).toEqual(before)
      },
    )

    test('a grant of which nothing is to be had any more is refused, and nothing changes', async () => {
      const [one = '', two = ''] = aGrant().resources
      const family = await open()
      const before = await grants.readFamily(family.grant.id)
      const gone = new Map([[two, new Set(['a', 'b', 'c'])]])
      const left = new Map([[one, new Set(['b'])]])
      for (const over of [
        { obtainable: gone },
        { obtainable: left, scope: ['a'] },
        { obtainable: left, resource: two },
      ])
        expect(await refresh(family, 0, over)).toEqual({ outcome: 'nothing_left', grant: family.grant })
      expect(await grants.readFamily(family.grant.id)).toEqual(before)
      expect((await refresh(family, 0, { obtainable: left, scope: ['a', 'b'] })).outcome).toBe('rotated')

      const code = aCode()
      await grants.issueCode(code)
      expect(await grants.redeemCode(redemptionOf(code, { obtainable: gone }))).toEqual({
        outcome: 'nothing_left',
        grant: code.grant,
      })
      expect((await grants.redeemCode(redemptionOf(code))).outcome).toBe('redeemed')
    })

    test('the secret that derived the token in force is remembered', async () => {
      const family = await open()
      family.tokens[1] = aToken('key-2')
      expect(await refresh(family, 0)).toMatchObject({ outcome: 'rotated', keyId: 'key-2' })
      // A retry that would derive with another secret is told which one was used.
      expect(await refresh(family, 0, { next: aToken('key-1') })).toMatchObject({
        outcome: 'retried',
        generation: 1,
        keyId: 'key-2',
      })
      expect((await refresh(family, 1)).outcome).toBe('rotated')
    })

    test('current → kept: the same generation and token, again and again', async () => {
      const family = await open(KEEP)
      for (const seconds of [0, 10, 50, 99.5]) {
        at(seconds)
        expect(await refresh(family, 0)).toEqual({
          outcome: 'kept',
          grant: family.grant,
          generation: 0,
          keyId: 'key-1',
          limits: { openedAt: T, expiresAt: T + 100, bound: undefined, now: T + seconds },
          fastForwarded: false,
        })
      }
      expect(await grants.readFamily(family.grant.id)).toMatchObject({ generation: 0, lastUsedAt: T + 99.5 })
    })

    test('what is granted one by one is not granted as one text', async () => {
      const [one = '', two = ''] = aGrant().resources
      const code = aCode()
      await grants.issueCode(code)
      const family = await open()
      for (const [over, outcome] of [
        [{ scope: ['a b'] }, 'scope_exceeded'],
        [{ scope: ['a', 'b c'] }, 'scope_exceeded'],
        [{ resource: `${one} ${two}` }, 'resource_exceeded'],
      ] as const) {
        expect((await grants.redeemCode(redemptionOf(code, over))).outcome).toBe(outcome)
        expect((await refresh(family, 0, over)).outcome).toBe(outcome)
      }
      expect((await grants.redeemCode(redemptionOf(code))).outcome).toBe('redeemed')
    })

    test('current, scope or resource too wide → refused, nothing changes', async () => {
      const family = await open()
      at(5)
      await unchanged(family, async () => {
        expect(await refresh(family, 0, { scope: ['a', 'z'] })).toEqual({
          outcome: 'scope_exceeded',
          grant: family.grant,
        })
        expect(await refresh(family, 0, { scope: [''] })).toMatchObject({ outcome: 'scope_exceeded' })
        expect(await refresh(family, 0, { resource: 'https://api.example/three' })).toEqual({
          outcome: 'resource_exceeded',
          grant: family.grant,
        })
      })
      const within = { scope: ['c'], resource: 'https://api.example/two' }
      expect((await refresh(family, 0, within)).outcome).toBe('rotated')
      expect((await grants.readFamily(family.grant.id))?.grant.scope).toEqual(['a', 'b', 'c'])
    })

    test('current, now ≥ limit → expired (or forgotten), nothing is revived', async () => {
      const family = await open()
      at(100)
      expect(['expired', 'unknown']).toContain((await refresh(family, 0)).outcome)
      at(101)
      expect(['expired', 'unknown']).toContain((await refresh(family, 0, { policy: RESET })).outcome)
    })

    test('current, within the limit by lifetime but over by today’s shorter one → expired', async () => {
      const family = await open()
      at(50)
      await unchanged(family, async () => {
        const shorter = { policy: { ...ROTATE, lifetime: 50 } }
        expect(await refresh(family, 0, shorter)).toEqual({ outcome: 'expired', grant: family.grant })
      })
      expect((await refresh(family, 0)).outcome).toBe('rotated')
    })

    test('predecessor within the grace window → retried: the same successor, any number of times', async () => {
      const family = await open()
      await refresh(family, 0)
      for (const seconds of [0, 1, 5, 9.5]) {
        at(seconds)
        expect(await refresh(family, 0)).toEqual({
          outcome: 'retried',
          grant: family.grant,
          generation: 1,
          keyId: 'key-1',
          limits: { openedAt: T, expiresAt: T + 100, bound: undefined, now: T + seconds },
          fastForwarded: false,
        })
      }
      expect(await grants.readFamily(family.grant.id)).toMatchObject({
        generation: 1,
        tokenHash: family.tokens[1]?.hash,
        ended: undefined,
      })
      expect((await refresh(family, 1)).outcome).toBe('rotated')
    })

    test('a retry is a use: it moves lastUsedAt, and nothing else of the family', async () => {
      const family = await open()
      at(20)
      await refresh(family, 0)
      const before = await grants.readFamily(family.grant.id)
      at(27.125)
      expect((await refresh(family, 0)).outcome).toBe('retried')
      expect(await grants.readFamily(family.grant.id)).toEqual({ ...before, lastUsedAt: T + 27.125 })
    })

    test('the grace window counts from the first use, is half-open, and retries do not prolong it', async () => {
      const family = await open()
      at(20)
      await refresh(family, 0)
      at(29)
      expect((await refresh(family, 0)).outcome).toBe('retried')
      at(30)
      expect(await refresh(family, 0)).toEqual({ outcome: 'reused', grant: family.grant })
      expect((await grants.readFamily(family.grant.id))?.ended).toBe('reused')
      expect((await refresh(family, 1)).outcome).toBe('ended')
    })

    test.each([0, 1, 60])('grace of %d s: retried before its end, reused at it', async (grace) => {
      if (grace > 0) {
        const early = await open()
        await refresh(early, 0, { grace })
        clock.advance(grace - 0.5)
        expect((await refresh(early, 0, { grace })).outcome).toBe('retried')
      }
      const late = await open()
      await refresh(late, 0, { grace })
      clock.advance(grace)
      expect((await refresh(late, 0, { grace })).outcome).toBe('reused')
      expect((await grants.readFamily(late.grant.id))?.ended).toBe('reused')
    })

    test('a retry is within the grant too: too wide a scope is refused, and ends nothing', async () => {
      const family = await open()
      await refresh(family, 0)
      await unchanged(family, async () => {
        expect((await refresh(family, 0, { scope: ['z'] })).outcome).toBe('scope_exceeded')
        expect((await refresh(family, 0, { resource: 'https://api.example/three' })).outcome).toBe(
          'resource_exceeded',
        )
      })
      expect((await refresh(family, 0, { scope: ['b'] })).outcome).toBe('retried')
    })

    test('the predecessor in grace but past its own expiry → expired; its successor lives', async () => {
      const family = await open(RESET)
      at(99)
      expect(await refresh(family, 0)).toMatchObject({ outcome: 'rotated', limits: { expiresAt: T + 199 } })
      at(101)
      expect(await refresh(family, 0)).toEqual({ outcome: 'expired', grant: family.grant })
      expect((await refresh(family, 1)).outcome).toBe('rotated')
    })

    test('older than the predecessor → reused, in the grace window too', async () => {
      const family = await open()
      await refresh(family, 0)
      await refresh(family, 1)
      expect(await refresh(family, 0, { grace: 60 })).toEqual({ outcome: 'reused', grant: family.grant })
      expect((await grants.readFamily(family.grant.id))?.ended).toBe('reused')
      expect((await refresh(family, 2)).outcome).toBe('ended')
    })

    test('the predecessor’s generation with another hash is no retry → reused', async () => {
      const family = await open()
      await refresh(family, 0)
      expect((await refresh(family, 0, { tokenHash: aHash() })).outcome).toBe('reused')
    })

    test.each([
      ['scope', { scope: ['z'] }],
      ['resource', { resource: 'https://api.example/three' }],
    ])('a spent token is seen as spent with a bad %s beside it', async (_, wrong) => {
      const family = await open()
      await refresh(family, 0)
      at(11)
      expect((await refresh(family, 0, wrong)).outcome).toBe('reused')
      expect((await refresh(family, 1)).outcome).toBe('ended')
    })

    test('the current generation with another hash says nothing of the family', async () => {
      const family = await open()
      await unchanged(family, async () => {
        expect(await refresh(family, 0, { tokenHash: aHash() })).toEqual({ outcome: 'unknown' })
      })
    })

    test.each([1, 2, 5])('a generation %d ahead → rotated, after fast-forward', async (generation) => {
      const family = await open()
      at(10)
      expect(await refresh(family, generation)).toEqual({
        outcome: 'rotated',
        grant: family.grant,
        generation: generation + 1,
        keyId: 'key-1',
        limits: { openedAt: T, expiresAt: T + 100, bound: undefined, now: T + 10 },
        fastForwarded: true,
      })
      // From there on it is a family like any other: retry, and every rolled-back token is caught.
      expect(await refresh(family, generation)).toMatchObject({ outcome: 'retried', fastForwarded: false })
      expect((await refresh(family, generation - 1)).outcome).toBe('reused')
    })

    test('a generation ahead under keep is adopted and kept', async () => {
      const family = await open(KEEP)
      expect(await refresh(family, 3)).toMatchObject({ outcome: 'kept', generation: 3, fastForwarded: true })
      expect(await refresh(family, 3)).toMatchObject({ outcome: 'kept', generation: 3, fastForwarded: false })
      expect((await refresh(family, 0)).outcome).toBe('reused')
    })

    test('a generation ahead: too wide a scope, a limit that has passed, an ended family', async () => {
      const family = await open()
      await unchanged(family, async () => {
        expect((await refresh(family, 2, { scope: ['z'] })).outcome).toBe('scope_exceeded')
        expect((await refresh(family, 2, { policy: { ...ROTATE, lifetime: 0 } })).outcome).toBe('expired')
      })
      await grants.end(family.grant.id, 'revoked')
      expect((await refresh(family, 2)).outcome).toBe('ended')
    })
  })

  describe('refresh: the same run again', () => {
    test.each([0, 10])('gets the first answer, with grace %d', async (grace) => {
      const family = await open(RESET)
      at(10)
      const request = family.refresh(0, { grace })
      const first = await grants.refresh(request)
      expect(await grants.refresh(request)).toEqual(first)
      expect(await grants.readFamily(family.grant.id)).toMatchObject({
        generation: 1,
        periodStart: T + 10,
        ended: undefined,
      })
      expect((await refresh(family, 1, { grace })).outcome).toBe('rotated')
    })

    test('of a kept token and of a fast-forward as well', async () => {
      const kept = await open(KEEP)
      const keep = kept.refresh(0, { grace: 0 })
      expect(await grants.refresh(keep)).toEqual(await grants.refresh(keep))
      const lost = await open()
      const forward = lost.refresh(4, { grace: 0 })
      const first = await grants.refresh(forward)
      expect(first).toMatchObject({ outcome: 'rotated', fastForwarded: true })
      expect(await grants.refresh(forward)).toEqual(first)
    })

    test('another request with the same token and grace 0 is reuse', async () => {
      const family = await open()
      await refresh(family, 0, { grace: 0 })
      expect((await refresh(family, 0, { grace: 0 })).outcome).toBe('reused')
    })

    test('does not outlive the end of the family', async () => {
      const family = await open()
      const request = family.refresh(0)
      await grants.refresh(request)
      await grants.end(family.grant.id, 'revoked')
      expect((await grants.refresh(request)).outcome).toBe('ended')
    })

    test('of many requests at once one rotates and the others are retries of it', async () => {
      const family = await open()
      const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(family, 0)))
      expect(answers.filter(({ outcome }) => outcome === 'rotated')).toHaveLength(1)
      expect(answers.filter(({ outcome }) => outcome === 'retried')).toHaveLength(99)
      expect(answers.every((answer) => 'generation' in answer && answer.generation === 1)).toBe(true)
    })
  })

  describe('refresh: expiry', () => {
    async function limits(family: TestFamily, generation: number, over = {}): Promise<FamilyLimits> {
      const answer = await refresh(family, generation, over)
      if (!('limits' in answer)) throw new Error(`no limits: ${answer.outcome}`)
      return answer.limits
    }

    test.each([
      ['keep', KEEP],
      ['rotate', ROTATE],
    ])('%s: the end is O + L whatever happens', async (issuance, policy) => {
      const family = await open(policy)
      for (const [step, seconds] of [10, 60, 99.5].entries()) {
        at(seconds)
        expect(await limits(family, issuance === 'keep' ? 0 : step)).toMatchObject({
          openedAt: T,
          expiresAt: T + 100,
        })
      }
      at(100)
      expect(['expired', 'unknown']).toContain((await refresh(family, issuance === 'keep' ? 0 : 3)).outcome)
    })

    test('rotate-and-reset: each refresh begins a period; a retry does not', async () => {
      const family = await open(RESET)
      at(90)
      expect(await limits(family, 0)).toMatchObject({ openedAt: T, expiresAt: T + 190, now: T + 90 })
      at(95)
      expect(await limits(family, 0)).toMatchObject({ openedAt: T, expiresAt: T + 190, now: T + 95 })
      at(180)
      expect(await limits(family, 1)).toMatchObject({ expiresAt: T + 280 })
      at(279.5)
      expect(await limits(family, 2)).toMatchObject({ expiresAt: T + 379.5 })
    })

    test('rotate-and-reset with a cap: ends 190, 250, 250, and over at the cap', async () => {
      const policy = { ...RESET, absoluteLifetime: 250 }
      const family = await open(policy)
      const ends: number[] = []
      for (const [generation, seconds] of [90, 180, 240].entries()) {
        at(seconds)
        const { expiresAt, bound } = await limits(family, generation)
        expect(bound).toBe(T + 250)
        ends.push(expiresAt - T)
      }
      expect(ends).toEqual([190, 250, 250])
      at(250)
      expect(['expired', 'unknown']).toContain((await refresh(family, 3)).outcome)
    })

    test.each([
      ['keep', KEEP],
      ['rotate', ROTATE],
      ['rotate-and-reset', RESET],
    ])(
      '%s under a cap is over as soon as less than a second is left for an access token',
      async (_, policy) => {
        const capped = { ...policy, absoluteLifetime: 40 }
        const [inTime, late] = [await open(capped), await open(capped)]
        at(39)
        expect(await limits(inTime, 0)).toMatchObject({ expiresAt: T + 40, bound: T + 40 })
        at(39.5)
        await unchanged(late, async () => {
          expect((await refresh(late, 0)).outcome).toBe('expired')
        })
      },
    )

    test('the lifetime is the one in force at this refresh', async () => {
      const family = await open()
      at(60)
      expect(await limits(family, 0, { policy: { ...ROTATE, lifetime: 400 } })).toMatchObject({
        expiresAt: T + 400,
      })
      at(300)
      expect(await limits(family, 1, { policy: { ...ROTATE, lifetime: 301 } })).toMatchObject({
        expiresAt: T + 301,
      })
    })

    test('what an answer says of the end holds: a retry under a longer lifetime prolongs, too', async () => {
      const family = await open()
      at(95)
      await refresh(family, 0)
      const longer = { policy: { ...ROTATE, lifetime: 400 } }
      expect(await limits(family, 0, longer)).toMatchObject({ expiresAt: T + 400 })
      at(399)
      expect((await refresh(family, 1, longer)).outcome).toBe('rotated')
    })

    test('switch keep → rotate: the next refresh rotates, the end is unchanged', async () => {
      const family = await open(KEEP)
      at(30)
      await refresh(family, 0)
      at(60)
      const answer = await refresh(family, 0, { policy: ROTATE })
      expect(answer).toMatchObject({ outcome: 'rotated', generation: 1, limits: { expiresAt: T + 100 } })
      at(71)
      expect((await refresh(family, 0, { policy: ROTATE })).outcome).toBe('reused')
    })

    test('switch rotate → keep: the current token is kept, spent ones are still reuse', async () => {
      const family = await open()
      at(10)
      await refresh(family, 0)
      at(30)
      expect(await refresh(family, 1, { policy: KEEP })).toMatchObject({
        outcome: 'kept',
        generation: 1,
        limits: { expiresAt: T + 100 },
      })
      expect(await refresh(family, 1, { policy: KEEP })).toMatchObject({ outcome: 'kept', generation: 1 })
      expect((await refresh(family, 0, { policy: KEEP })).outcome).toBe('reused')
      expect((await refresh(family, 1, { policy: KEEP })).outcome).toBe('ended')
    })

    test('switch rotate-and-reset → rotate: the end of the last period stays', async () => {
      const family = await open(RESET)
      at(50)
      await refresh(family, 0)
      at(70)
      expect(await limits(family, 1, { policy: ROTATE })).toMatchObject({ expiresAt: T + 150 })
      at(90)
      expect(await limits(family, 2, { policy: RESET })).toMatchObject({ expiresAt: T + 190 })
    })

    test('EXP-017: a lifetime of 2^31 s overflows nothing, and every millisecond is exact', async () => {
      const policy = { ...RESET, lifetime: 2 ** 31, absoluteLifetime: 2 ** 31 }
      const family = await open(policy)
      at(0.5)
      expect(await limits(family, 0)).toEqual({
        openedAt: T,
        expiresAt: T + 2 ** 31,
        bound: T + 2 ** 31,
        now: T + 0.5,
      })
    })
  })

  describe('refresh: a clock that jumps back', () => {
    test('extends nothing: the family’s time stands still until the clock is there again', async () => {
      const family = await open(RESET)
      at(90)
      await refresh(family, 0)
      at(90 - 3600)
      const answer = await refresh(family, 1)
      expect(answer).toMatchObject({ outcome: 'rotated', limits: { expiresAt: T + 190, now: T + 90 } })
      expect(await grants.readFamily(family.grant.id)).toMatchObject({
        periodStart: T + 90,
        lastUsedAt: T + 90,
      })
    })

    test('a retry moves the family’s time too, and a refusal does not', async () => {
      const family = await open(RESET)
      at(20)
      await refresh(family, 0)
      at(25)
      expect((await refresh(family, 0)).outcome).toBe('retried')
      at(28)
      expect((await refresh(family, 0, { scope: ['z'] })).outcome).toBe('scope_exceeded')
      at(21)
      expect(await refresh(family, 1)).toMatchObject({ outcome: 'rotated', limits: { now: T + 25 } })
    })

    test('does not open the grace window again', async () => {
      const family = await open()
      at(20)
      await refresh(family, 0)
      at(29)
      expect((await refresh(family, 0)).outcome).toBe('retried')
      at(45)
      expect((await refresh(family, 1, { policy: KEEP })).outcome).toBe('kept')
      at(21)
      expect((await refresh(family, 0, { policy: KEEP })).outcome).toBe('reused')
    })
  })

  describe('end and readFamily', () => {
    test('ending twice is ended again, with the first reason', async () => {
      const family = await open()
      const ended = { outcome: 'ended', grant: family.grant }
      expect(await grants.end(family.grant.id, 'revoked')).toEqual(ended)
      expect(await grants.end(family.grant.id, 'reused')).toEqual(ended)
      expect((await grants.readFamily(family.grant.id))?.ended).toBe('revoked')
    })

    test('an unknown grant is unknown', async () => {
      expect(await grants.end(anId(), 'revoked')).toEqual({ outcome: 'unknown' })
      expect(await grants.readFamily(anId())).toBeUndefined()
    })

    test('a code that was not redeemed is burnt', async () => {
      const code = aCode()
      await grants.issueCode(code)
      expect(await grants.end(code.grant.id, 'revoked')).toEqual({ outcome: 'ended', grant: code.grant })
      expect((await grants.redeemCode(redemptionOf(code, {}, ROTATE))).outcome).toBe('burnt')
    })

    test('the tombstone is kept until the family’s limit', async () => {
      const family = await open(RESET)
      at(50)
      await refresh(family, 0)
      await grants.end(family.grant.id, 'revoked')
      at(149)
      for (const generation of [0, 1]) expect((await refresh(family, generation)).outcome).toBe('ended')
      expect((await grants.readFamily(family.grant.id))?.ended).toBe('revoked')
    })

    test('reading a family changes nothing, however often', async () => {
      const family = await open()
      await refresh(family, 0)
      at(5)
      const first = await grants.readFamily(family.grant.id)
      for (let time = 0; time < 20; time++) expect(await grants.readFamily(family.grant.id)).toEqual(first)
      expect((await refresh(family, 0)).outcome).toBe('retried')
      expect((await refresh(family, 1)).outcome).toBe('rotated')
    })

    test('a refresh beside an end: the family is over afterwards, whichever came first', async () => {
      for (let round = 0; round < 50; round++) {
        const family = await open()
        const [answer] = await Promise.all(
          round % 2 === 0
            ? [refresh(family, 0), grants.end(family.grant.id, 'revoked')]
            : [grants.end(family.grant.id, 'revoked').then(() => refresh(family, 0))],
        )
        expect(['rotated', 'ended']).toContain((answer as { outcome: string }).outcome)
        expect((await refresh(family, 0)).outcome).toBe('ended')
        expect((await refresh(family, 1)).outcome).toBe('ended')
      }
    })
  })

  describe('listFamilies', () => familyListContract(make))
}
