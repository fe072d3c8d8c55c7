import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { memoryStores } from '../../lib/index.ts'
import { aHash, aToken, openFamily, T } from '../contracts/contract.ts'
import { manualClock } from '../support/world.ts'

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
