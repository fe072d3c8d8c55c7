import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import type { GrantStore, RefreshPolicy, Stores } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import {
  aCode,
  aGrant,
  aHash,
  anId,
  aToken,
  openFamily,
  redemptionOf,
  type StoresFactory,
  T,
  type TestFamily,
} from './contract.ts'

const ISSUANCES = ['keep', 'rotate', 'rotate-and-reset'] as const
const SESSION = { issuer: 'https://idp.example', sid: 'the-session', subject: 'idp-alice' }
/** Seconds that a family is kept after its last use. */
const KEPT = 1000
/** L of all policies here. */
const L = 100

const free = (issuance: RefreshPolicy['issuance'] = 'rotate'): RefreshPolicy => ({ issuance, lifetime: L })
const strict = (
  issuance: RefreshPolicy['issuance'] = 'rotate',
  absoluteLifetime?: number,
): RefreshPolicy => ({
  ...free(issuance),
  ...(absoluteLifetime !== undefined && { absoluteLifetime }),
  idpSession: { whenEndUnknown: 'no-refresh-token', keptFor: KEPT },
})
const lenient = (issuance: RefreshPolicy['issuance'] = 'rotate'): RefreshPolicy => ({
  ...free(issuance),
  idpSession: { whenEndUnknown: 'use-lifetime', keptFor: KEPT },
})
/** A session that ends so many seconds after the start. */
const until = (seconds: number) => ({ idpSession: { ...SESSION, expiresAt: T + seconds } })

/** What any store of grants must do with families that are bound to a session at an identity provider. */
export function idpSessionContract(make: StoresFactory): void {
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
  const open = (policy: RefreshPolicy, over = {}) => openFamily(stores, policy, over, clock.now + 60)
  const refresh = (family: TestFamily, generation: number, over = {}) =>
    grants.refresh(family.refresh(generation, over))
  const sessionIn = async (family: TestFamily) => (await grants.readFamily(family.grant.id))?.grant.idpSession

  /** The end that each of some refreshes of the newest token says, in seconds, or why it was refused. */
  async function endsAt(family: TestFamily, times: readonly number[], policy: RefreshPolicy) {
    const ends: (number | string)[] = []
    let generation = 0
    for (const seconds of times) {
      at(seconds)
      const answer = await refresh(family, generation, { policy })
      if ('limits' in answer) {
        generation = answer.generation
        expect(answer.limits.now).toBe(clock.now)
        ends.push(answer.limits.expiresAt - T)
      } else ends.push(answer.outcome)
    }
    return ends
  }

  describe.each(ISSUANCES)('%s, bound to a session', (issuance) => {
    test.each<[string, number, number | undefined, readonly number[], readonly (number | string)[]]>([
      ['S before L', 40, undefined, [10, 30, 39, 39.5, 40], [40, 40, 40, 'expired', 'expired']],
      ['S after L', 500, undefined, [90, 180, 499, 500], [500, 500, 500, 'expired']],
      ['S at L', L, undefined, [99, 100], [L, 'expired']],
      ['A before S before L', 40, 30, [10, 29, 29.5], [30, 30, 'expired']],
      ['S before A before L', 40, 60, [10, 39, 40], [40, 40, 'expired']],
      ['A before S, both after L', 500, 450, [90, 300, 449, 450], [450, 450, 450, 'expired']],
      ['S before A, both after L', 500, 600, [90, 300, 499, 500], [500, 500, 500, 'expired']],
    ])('%s: exactly S, and A where one is set', async (_, s, a, times, ends) => {
      const policy = strict(issuance, a)
      expect(await endsAt(await open(policy, until(s)), times, policy)).toEqual(ends)
    })

    test('the first token has the same limits, which bound access tokens too', async () => {
      const [before, after, capped] = [aCode(), aCode(), aCode()].map((code, index) => ({
        ...code,
        grant: aGrant(until([40, 500, 500][index] as number)),
      })) as [ReturnType<typeof aCode>, ReturnType<typeof aCode>, ReturnType<typeof aCode>]
      for (const code of [before, after, capped]) await grants.issueCode(code)
      const limitsOf = async (code: ReturnType<typeof aCode>, policy: RefreshPolicy) =>
        grants.redeemCode(redemptionOf(code, {}, policy))
      const times = { openedAt: T, now: T }
      expect(await limitsOf(before, strict(issuance))).toMatchObject({
        limits: { ...times, expiresAt: T + 40, bound: T + 40 },
      })
      expect(await limitsOf(after, strict(issuance))).toMatchObject({
        limits: { ...times, expiresAt: T + 500, bound: T + 500 },
      })
      expect(await limitsOf(capped, strict(issuance, 450))).toMatchObject({
        limits: { ...times, expiresAt: T + 450, bound: T + 450 },
      })
    })

    test('S to the millisecond: a second before it is in time, a millisecond later is not', async () => {
      const family = await open(strict(issuance), until(40.125))
      at(39.125)
      const answer = await refresh(family, 0)
      expect(answer).toMatchObject({ limits: { expiresAt: T + 40.125, bound: T + 40.125, now: T + 39.125 } })
      at(39.126)
      expect((await refresh(family, issuance === 'keep' ? 0 : 1)).outcome).toBe('expired')
    })

    test.each([
      ['a session whose end nobody says', { idpSession: SESSION }, 'expired'],
      ['no session', {}, 'unknown'],
    ])('%s: no family, or one that lives by its lifetime', async (_, over, inTheEnd) => {
      const code = aCode({ grant: aGrant(over) })
      await grants.issueCode(code)
      expect(await grants.redeemCode(redemptionOf(code, {}, strict(issuance)))).toEqual({
        outcome: 'redeemed',
        grant: code.grant,
        limits: undefined,
      })
      expect(await grants.readFamily(code.grant.id)).toBeUndefined()
      const end = issuance === 'rotate-and-reset' ? 190 : L
      const family = await open(lenient(issuance), over)
      expect(await endsAt(family, [90, end - 0.5, 2 * end], lenient(issuance))).toEqual([
        end,
        issuance === 'rotate-and-reset' ? 289.5 : L,
        inTheEnd,
      ])
    })

    test('an end that is known by now holds instead, is recorded, and holds without being said again', async () => {
      const policy = strict(issuance)
      const family = await open(policy, until(40))
      const [second, third] = issuance === 'keep' ? [0, 0] : [1, 2]
      at(45)
      expect(await refresh(family, 0)).toEqual({ outcome: 'expired', grant: family.grant })
      const later = await refresh(family, 0, { idpSessionEnd: T + 300.5 })
      expect(later).toMatchObject({
        grant: { idpSession: { ...SESSION, expiresAt: T + 300.5 } },
        limits: { expiresAt: T + 300.5, bound: T + 300.5 },
      })
      expect(await sessionIn(family)).toStrictEqual({ ...SESSION, expiresAt: T + 300.5 })
      at(200)
      expect(await refresh(family, second)).toMatchObject({ limits: { expiresAt: T + 300.5 } })
      expect(await refresh(family, third, { idpSessionEnd: T + 210 })).toMatchObject({
        limits: { expiresAt: T + 210 },
      })
      expect(await sessionIn(family)).toStrictEqual({ ...SESSION, expiresAt: T + 210 })
    })

    test('an end that is said with a refresh that is refused changes nothing', async () => {
      const family = await open(strict(issuance), until(40))
      const before = await grants.readFamily(family.grant.id)
      for (const [over, outcome] of [
        [{ idpSessionEnd: T + 0.5 }, 'expired'],
        [{ idpSessionEnd: T + 300, scope: ['z'] }, 'scope_exceeded'],
        [{ idpSessionEnd: T + 300, resource: 'https://api.example/three' }, 'resource_exceeded'],
        [{ idpSessionEnd: T + 300, obtainable: new Map() }, 'nothing_left'],
        [{ idpSessionEnd: T + 300, clientId: 'another' }, 'foreign'],
        [{ idpSessionEnd: T + 300, lineage: aHash() }, 'unknown'],
      ] as const)
        expect((await refresh(family, 0, over)).outcome).toBe(outcome)
      expect(await grants.readFamily(family.grant.id)).toEqual(before)
      expect(await refresh(family, 0)).toMatchObject({ limits: { expiresAt: T + 40 } })
    })

    test('an end that is learnt for a session of which nobody said one is recorded as well', async () => {
      const family = await open(lenient(issuance), { idpSession: SESSION })
      at(99)
      const answer = await refresh(family, 0, { idpSessionEnd: T + 500 })
      expect(answer).toMatchObject({ limits: { expiresAt: T + 500, bound: T + 500 } })
      expect(await sessionIn(family)).toStrictEqual({ ...SESSION, expiresAt: T + 500 })
    })

    test('also after its lifetime: it is kept, as its session may have been given an end meanwhile', async () => {
      const family = await open(lenient(issuance), { idpSession: SESSION })
      at(L + 50)
      expect((await refresh(family, 0)).outcome).toBe('expired')
      expect(await refresh(family, 0, { idpSessionEnd: T + 500 })).toMatchObject({
        limits: { expiresAt: T + 500 },
      })
    })

    test('a clock that jumps back prolongs nothing', async () => {
      const family = await open(strict(issuance), until(40))
      at(30)
      await refresh(family, 0)
      at(-3600)
      const answer = await refresh(family, issuance === 'keep' ? 0 : 1)
      expect(answer).toMatchObject({ limits: { now: T + 30, expiresAt: T + 40 } })
    })

    test('a token of a generation that the store lost is adopted with the same limits', async () => {
      const family = await open(strict(issuance), until(40))
      at(20)
      expect(await refresh(family, 3)).toMatchObject({
        fastForwarded: true,
        limits: { expiresAt: T + 40, bound: T + 40 },
      })
      at(39.5)
      expect((await refresh(family, 5)).outcome).toBe('expired')
    })
  })

  describe('what it does not touch', () => {
    test('an unbound policy: S is nothing to it, and what is said of its end is not recorded', async () => {
      const family = await open(free(), until(40))
      at(60)
      const answer = await refresh(family, 0, { idpSessionEnd: T + 300 })
      expect(answer).toMatchObject({ outcome: 'rotated', limits: { expiresAt: T + L, bound: undefined } })
      expect(await sessionIn(family)).toStrictEqual({ ...SESSION, expiresAt: T + 40 })
      at(L)
      expect(await refresh(family, 1)).toEqual({ outcome: 'unknown' })
    })

    test('a grant without a session has no end, whatever is said of one', async () => {
      const family = await open(lenient(), {})
      const answer = await refresh(family, 0, { idpSessionEnd: T + 300 })
      expect(answer).toMatchObject({ outcome: 'rotated', limits: { expiresAt: T + L, bound: undefined } })
      expect(answer).toMatchObject({ grant: family.grant })
      expect(await grants.readFamily(family.grant.id)).toMatchObject({ grant: family.grant })
      expect(await sessionIn(family)).toBeUndefined()
    })
  })

  describe('redemption', () => {
    test.each([-1, 0, 0.5, 0.999])('session_over: S is %d s away, and nothing is consumed', async (s) => {
      const code = aCode({ grant: aGrant(until(s)) })
      await grants.issueCode(code)
      const redemption = redemptionOf(code, {}, strict())
      expect(await grants.redeemCode(redemption)).toEqual({ outcome: 'session_over', grant: code.grant })
      expect((await grants.redeemCode({ ...redemption, challenge: aHash() })).outcome).toBe('session_over')
      const { family: _, ...without } = redemption
      expect((await grants.redeemCode(without)).outcome).toBe('session_over')
      expect(await grants.readFamily(code.grant.id)).toBeUndefined()
      expect(await grants.readCode(code.grant.id)).toEqual(code)
    })

    test('exactly a second away is enough', async () => {
      const code = aCode({ grant: aGrant(until(1)) })
      await grants.issueCode(code)
      expect(await grants.redeemCode(redemptionOf(code, {}, strict()))).toMatchObject({
        outcome: 'redeemed',
        limits: { expiresAt: T + 1, bound: T + 1 },
      })
    })

    test('session_over says nothing of a code that is used, burnt or another client’s', async () => {
      const codes = [1, 2, 3].map(() => aCode({ grant: aGrant(until(5)) }))
      const [used, burnt, foreign] = codes as [(typeof codes)[0], (typeof codes)[0], (typeof codes)[0]]
      for (const code of codes) await grants.issueCode(code)
      await grants.redeemCode(redemptionOf(used, {}, strict()))
      await grants.redeemCode(redemptionOf(burnt, { challenge: aHash() }, strict()))
      at(6)
      expect((await grants.redeemCode(redemptionOf(used, {}, strict()))).outcome).toBe('reused')
      expect((await grants.readFamily(used.grant.id))?.ended).toBe('code_reused')
      expect((await grants.redeemCode(redemptionOf(burnt, {}, strict()))).outcome).toBe('burnt')
      expect((await grants.redeemCode(redemptionOf(foreign, { clientId: 'x' }, strict()))).outcome).toBe(
        'foreign',
      )
      expect((await grants.redeemCode(redemptionOf(foreign, {}, strict()))).outcome).toBe('session_over')
      // Unbound: the session is nothing to it.
      expect((await grants.redeemCode(redemptionOf(foreign, {}, free()))).outcome).toBe('redeemed')
    })

    test('an end that is known by now holds instead and goes into the family', async () => {
      const code = aCode({ grant: aGrant(until(0.5)) })
      await grants.issueCode(code)
      const redemption = redemptionOf(code, { idpSessionEnd: T + 300 }, strict())
      const first = await grants.redeemCode(redemption)
      const grant = { ...code.grant, idpSession: { ...SESSION, expiresAt: T + 300 } }
      expect(first).toEqual({
        outcome: 'redeemed',
        grant,
        limits: { openedAt: T, expiresAt: T + 300, bound: T + 300, now: T },
      })
      expect((await grants.readFamily(code.grant.id))?.grant).toStrictEqual(grant)
      clock.advance(5)
      // A driver that lost the reply.
      expect(await grants.redeemCode(redemption)).toEqual(first)
      expect((await grants.readFamily(code.grant.id))?.ended).toBeUndefined()
    })

    test('an end that is said for a session of which nobody said one opens a family', async () => {
      const code = aCode({ grant: aGrant({ idpSession: SESSION }) })
      await grants.issueCode(code)
      const answer = await grants.redeemCode(redemptionOf(code, { idpSessionEnd: T + 300 }, strict()))
      expect(answer).toMatchObject({ outcome: 'redeemed', limits: { expiresAt: T + 300 } })
    })
  })

  describe('run again, and retried', () => {
    test('the same run gets its answer also after S', async () => {
      const family = await open(strict(), until(40))
      at(39)
      const request = family.refresh(0)
      const first = await grants.refresh(request)
      expect(first.outcome).toBe('rotated')
      at(41)
      const again = await grants.refresh(request)
      expect(again).toMatchObject({ outcome: 'rotated', generation: 1, limits: { expiresAt: T + 40 } })
      expect((await refresh(family, 1)).outcome).toBe('expired')
    })

    test('a retry at the edge of S: while a second is left, and the family stays as it is', async () => {
      const family = await open(strict(), until(40))
      at(38)
      await refresh(family, 0)
      at(39)
      expect(await refresh(family, 0)).toMatchObject({
        outcome: 'retried',
        generation: 1,
        limits: { expiresAt: T + 40 },
      })
      for (const seconds of [39.5, 40, 47]) {
        at(seconds)
        expect((await refresh(family, 0)).outcome).toBe('expired')
      }
      expect((await grants.readFamily(family.grant.id))?.ended).toBeUndefined()
    })

    test('a retry of a token from before the session was prolonged gets its successor', async () => {
      const family = await open(strict(), until(40))
      at(38)
      await refresh(family, 0)
      at(41)
      expect((await refresh(family, 0)).outcome).toBe('expired')
      expect(await refresh(family, 0, { idpSessionEnd: T + 300 })).toMatchObject({
        outcome: 'retried',
        generation: 1,
        limits: { expiresAt: T + 300 },
      })
      expect(await sessionIn(family)).toMatchObject({ expiresAt: T + 300 })
      expect(await refresh(family, 1)).toMatchObject({ outcome: 'rotated', limits: { expiresAt: T + 300 } })
    })

    test('a retry after the grace is reuse, before S and after it', async () => {
      for (const seconds of [31, 60]) {
        at(0)
        const family = await open(strict(), until(40))
        at(20)
        await refresh(family, 0)
        at(seconds)
        expect((await refresh(family, 0)).outcome).toBe('reused')
        expect((await refresh(family, 1)).outcome).toBe('ended')
        expect((await refresh(family, 1, { idpSessionEnd: T + 300 })).outcome).toBe('ended')
      }
    })
  })

  describe('after S', () => {
    test('the family is kept for a while after its last use, and then forgotten', async () => {
      const family = await open(strict(), until(40))
      at(30)
      await refresh(family, 0)
      at(30 + KEPT - 1)
      expect((await refresh(family, 1)).outcome).toBe('expired')
      expect(await grants.readFamily(family.grant.id)).toMatchObject({ generation: 1, ended: undefined })
      at(30 + KEPT)
      expect(await grants.readFamily(family.grant.id)).toBeUndefined()
      expect(await refresh(family, 1, { idpSessionEnd: T + 5000 })).toEqual({ outcome: 'unknown' })
    })

    test('one whose session lives longer than that is kept until S', async () => {
      const family = await open(strict(), until(3 * KEPT))
      at(3 * KEPT - 10)
      expect(await refresh(family, 0)).toMatchObject({
        outcome: 'rotated',
        limits: { expiresAt: T + 3 * KEPT },
      })
    })

    test('it can be ended, and stays so', async () => {
      const family = await open(strict(), until(40))
      at(50)
      expect(await grants.end(family.grant.id, 'revoked')).toMatchObject({ outcome: 'ended' })
      expect((await refresh(family, 0, { idpSessionEnd: T + 300 })).outcome).toBe('ended')
    })
  })

  describe('a policy that changes', () => {
    test.each(ISSUANCES)('%s: unbound, bound, and unbound again: each as it says then', async (issuance) => {
      const family = await open(free(issuance), until(60))
      const next = issuance === 'keep' ? [0, 0, 0] : [1, 2, 3]
      at(20)
      expect(await refresh(family, 0, { policy: strict(issuance) })).toMatchObject({
        limits: { expiresAt: T + 60, bound: T + 60 },
      })
      at(50)
      expect(await refresh(family, next[0] as number, { policy: free(issuance) })).toMatchObject({
        limits: { expiresAt: issuance === 'rotate-and-reset' ? T + 150 : T + L, bound: undefined },
      })
      at(61)
      expect((await refresh(family, next[1] as number, { policy: strict(issuance) })).outcome).toBe('expired')
      expect(await refresh(family, next[1] as number, { policy: free(issuance) })).toMatchObject({
        limits: { bound: undefined },
      })
    })

    test('to bound, where nobody says when the session ends: over, until somebody does or it is unbound again', async () => {
      const family = await open(free(), { idpSession: SESSION })
      at(20)
      const before = await grants.readFamily(family.grant.id)
      expect((await refresh(family, 0, { policy: strict() })).outcome).toBe('expired')
      expect(await grants.readFamily(family.grant.id)).toEqual(before)
      expect(await refresh(family, 0, { policy: strict(), idpSessionEnd: T + 70 })).toMatchObject({
        outcome: 'rotated',
        limits: { expiresAt: T + 70 },
      })
      expect(await refresh(family, 1, { policy: free() })).toMatchObject({ limits: { expiresAt: T + L } })
    })

    test('to bound: lists still have it when the lifetime of before would be over twice', async () => {
      const family = await open(free(), until(900))
      at(50)
      await refresh(family, 0, { policy: strict() })
      at(5 * L)
      const { families } = await grants.listFamilies({ idpSession: SESSION })
      expect(families.map(({ grant }) => grant.id)).toEqual([family.grant.id])
      expect((await refresh(family, 1, { policy: strict() })).outcome).toBe('rotated')
    })
  })

  test('lists by session: bound ones for as long as they are kept', async () => {
    const one = await open(strict(), until(40))
    await open(strict(), { idpSession: { ...SESSION, sid: 'another', expiresAt: T + 40 } })
    const ids = async () =>
      (await grants.listFamilies({ idpSession: SESSION })).families.map(({ grant }) => grant.id)
    at(39)
    expect(await ids()).toEqual([one.grant.id])
    at(KEPT)
    expect(await ids()).toEqual([])
  })

  test.each([
    ['all there is', { idpSession: { ...SESSION, expiresAt: T + 40.125 }, sessionBegan: T - 30.5 }],
    ['no end', { idpSession: SESSION }],
    ['no user of the provider', { idpSession: { issuer: SESSION.issuer, sid: 'S', expiresAt: T + 40 } }],
    ['neither', { idpSession: { issuer: SESSION.issuer, sid: '{"S"}' } }],
    ['no session', {}],
    ['an end in the year 5138', { idpSession: { ...SESSION, expiresAt: 1e11 } }],
    [
      'names in other alphabets',
      { idpSession: { issuer: 'https://ü.example/ü', sid: '会話', expiresAt: T + 9 } },
    ],
  ])('a grant is read as it was written: %s', async (_, over) => {
    const { acr: _acr, amr: _amr, ...plain } = aGrant(over)
    for (const grant of [aGrant(over), { ...plain, id: anId() }]) {
      const code = aCode({ grant })
      await grants.issueCode(code)
      expect((await grants.readCode(grant.id))?.grant).toStrictEqual(grant)
      const token = aToken()
      await grants.redeemCode(redemptionOf(code, {}, lenient(), token, aHash()))
      expect((await grants.readFamily(grant.id))?.grant).toStrictEqual(grant)
    }
  })

  test('one that was ended when the grant was given is over, not unknown', async () => {
    const code = aCode({ grant: aGrant({ idpSession: { ...SESSION, expiresAt: 0 } }) })
    await grants.issueCode(code)
    expect((await grants.redeemCode(redemptionOf(code, {}, lenient()))).outcome).toBe('session_over')
    expect((await grants.redeemCode(redemptionOf(code, {}, strict()))).outcome).toBe('session_over')
  })
}
