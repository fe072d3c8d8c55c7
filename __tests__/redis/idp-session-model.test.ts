import { isDeepStrictEqual } from 'node:util'
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { tokenHash } from '../../lib/protocol/digest.ts'
import type { NextToken, RefreshPolicy, RefreshRequest, Stores } from '../../lib/stores/ports.ts'
import { aCode, aGrant, aHash, anId, EVERYTHING, redemptionOf, T } from '../contracts/contract.ts'
import { inMemory, inRedis } from '../support/walk-lanes.ts'

/** Times of a half, a quarter, an eighth of a second too: all of them exact in milliseconds. */
const seconds = (max: number) => fc.integer({ min: 8, max: max * 8 }).map((eighths) => eighths / 8)
const end = fc.oneof(seconds(100), seconds(600))

const policy: fc.Arbitrary<RefreshPolicy> = fc
  .record({
    issuance: fc.constantFrom('keep' as const, 'rotate' as const, 'rotate-and-reset' as const),
    lifetime: fc.integer({ min: 60, max: 400 }),
    absoluteLifetime: fc.option(fc.integer({ min: 60, max: 600 }), { nil: undefined, freq: 3 }),
    whenEndUnknown: fc.constantFrom('unbound', 'no-refresh-token' as const, 'use-lifetime' as const),
    keptFor: fc.constantFrom(60, 300, 1000),
  })
  .map(({ issuance, lifetime, absoluteLifetime, whenEndUnknown, keptFor }) => ({
    issuance,
    lifetime,
    ...(absoluteLifetime !== undefined && { absoluteLifetime }),
    ...(whenEndUnknown !== 'unbound' && { idpSession: { whenEndUnknown, keptFor } }),
  }))

const scene = fc.record({
  session: fc.oneof(
    { weight: 6, arbitrary: end },
    { weight: 2, arbitrary: fc.constant('unknown') },
    { weight: 1, arbitrary: fc.constant('none') },
  ),
  /** A grant with nothing but a session, or with what else few grants have. */
  isPlain: fc.boolean(),
  policy,
  said: fc.option(end, { nil: undefined, freq: 4 }),
  steps: fc.array(
    fc.record({
      wait: fc.oneof(fc.constant(0), seconds(12), seconds(90)),
      behind: fc.constantFrom(0, 0, 0, 0, 0, 1, 1, 2, -1),
      said: fc.option(end, { nil: undefined, freq: 3 }),
      switchTo: fc.option(policy, { nil: undefined, freq: 4 }),
      again: fc.boolean(),
      flaw: fc.constantFrom({}, {}, {}, {}, {}, { scope: ['z'] }, { clientId: 'another' }),
    }),
    { minLength: 3, maxLength: 25 },
  ),
})

/** The token of a generation, always the same. */
const tokenOf = (id: string, generation: number): NextToken => ({
  hash: tokenHash(Buffer.from(`${id}.${generation}`)),
  keyId: 'key-1',
})

test('memory and Redis decide alike about families and sessions, whatever is asked, said and configured', async () => {
  const [memory, redis] = await Promise.all([inMemory(), inRedis()])
  const seen = new Map<string, number>()

  /** Asks both. `undefined` where the real clock, by which Redis forgets, has overtaken the test's. */
  async function same<R>(began: number, ask: (stores: Stores) => Promise<R>): Promise<R | undefined> {
    const [one, two] = [await ask(memory.stores), await ask(redis.stores)]
    const plain = (value: unknown) => JSON.parse(JSON.stringify({ value }))
    if (!isDeepStrictEqual(plain(one), plain(two)) && performance.now() - began > 800) return undefined
    expect(plain(two)).toEqual(plain(one))
    return one
  }

  try {
    await fc.assert(
      fc.asyncProperty(scene, async ({ session, isPlain, said, steps, ...rest }) => {
        const began = performance.now()
        memory.clock.now = T
        redis.clock.now = T
        let { policy } = rest
        const { acr: _acr, amr: _amr, ...bare } = aGrant()
        const grant = {
          ...(isPlain ? bare : aGrant()),
          id: anId(),
          ...(session !== 'none' && {
            idpSession: {
              issuer: 'https://idp.example',
              sid: 'one',
              ...(typeof session === 'number' && { expiresAt: T + session }),
            },
          }),
        }
        const code = aCode({ grant })
        const lineage = aHash()
        const redemption = redemptionOf(
          code,
          said === undefined ? {} : { idpSessionEnd: T + said },
          policy,
          tokenOf(grant.id, 0),
          lineage,
        )
        for (const { stores } of [memory, redis]) await stores.grants.issueCode(code)
        const redeemed = await same(began, ({ grants }) => grants.redeemCode(redemption))
        expect(redeemed?.outcome).toBe('redeemed')
        let held = 0
        for (const { wait, behind, said, switchTo, again, flaw } of steps) {
          memory.clock.advance(wait)
          redis.clock.advance(wait)
          policy = switchTo ?? policy
          const generation = Math.max(0, held - behind)
          const request: RefreshRequest = {
            grantId: grant.id,
            generation,
            tokenHash: tokenOf(grant.id, generation).hash,
            lineage,
            next: tokenOf(grant.id, generation + 1),
            nonce: anId(),
            clientId: grant.clientId,
            policy,
            grace: 10,
            obtainable: EVERYTHING,
            ...(said !== undefined && { idpSessionEnd: memory.clock.now + said }),
            ...flaw,
          }
          for (let run = 0; run < (again ? 2 : 1); run++) {
            const answer = await same(began, ({ grants }) => grants.refresh(request))
            if (answer === undefined) return
            seen.set(answer.outcome, (seen.get(answer.outcome) ?? 0) + 1)
            if ('generation' in answer) held = answer.generation
          }
          await same(began, ({ grants }) => grants.readFamily(grant.id))
        }
        seen.set('whole', (seen.get('whole') ?? 0) + 1)
      }),
      { numRuns: 300, seed: 4 },
    )
  } finally {
    await Promise.all([memory.close(), redis.close()])
  }
  for (const outcome of ['rotated', 'kept', 'retried', 'reused', 'expired', 'ended', 'unknown', 'foreign'])
    expect([outcome, (seen.get(outcome) ?? 0) >= 20]).toEqual([outcome, true])
  expect(seen.get('whole')).toBeGreaterThan(150)
})
