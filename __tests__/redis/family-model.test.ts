import { describe, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import type { GrantStore, RefreshRequest } from '../../lib/stores/ports.ts'
import { anId, T } from '../contracts/contract.ts'
import { inMemory, inRedis, walkLanes } from '../support/walk-lanes.ts'
import { manualClock } from '../support/world.ts'

/** A few thousand operations; `__tests__/faults/family-model.test.ts` runs very many, by other seeds each time. */
describe.each([
  ['memory', inMemory, 1],
  ['Redis', inRedis, 8],
] as const)('grants in %s', (_, open, lanes) => {
  test('go as the ledger says, whatever is asked, in any order', async () => {
    const { operations, outcomes } = await walkLanes(open, { lanes, operations: 5000, seed: 6749 })
    expect(operations).toBeGreaterThanOrEqual(5000)
    for (const outcome of [
      'rotated',
      'kept',
      'retried',
      'reused',
      'expired',
      'ended',
      'sender_mismatch',
      'listed',
      'run again',
    ])
      expect([outcome, (outcomes.get(outcome) ?? 0) >= 20]).toEqual([outcome, true])
  })
})

describe('the walk notices a store', () => {
  const refreshing =
    (change: (request: RefreshRequest) => Partial<RefreshRequest>) =>
    (grants: GrantStore): Partial<GrantStore> => ({
      refresh: (request) => grants.refresh({ ...request, ...change(request) }),
    })

  test.each<[string, (grants: GrantStore) => Partial<GrantStore>]>([
    ['with a longer grace', refreshing(({ grace }) => ({ grace: grace + 0.5 }))],
    [
      'with a longer lifetime',
      refreshing(({ policy }) => ({ policy: { ...policy, lifetime: policy.lifetime + 0.5 } })),
    ],
    [
      'that takes a cap for its lifetime',
      refreshing(({ policy: { issuance, lifetime } }) => ({ policy: { issuance, lifetime } })),
    ],
    ['that never keeps', refreshing(({ policy }) => ({ policy: { ...policy, issuance: 'rotate' } }))],
    ['that forgets nonces', refreshing(() => ({ nonce: anId() }))],
    [
      'that asks nobody for a lineage',
      (grants) => ({
        async refresh(request) {
          const view = await grants.readFamily(request.grantId)
          return grants.refresh({ ...request, ...(view !== undefined && { lineage: view.lineage }) })
        },
      }),
    ],
    [
      'that asks nobody for a key',
      (grants) => ({
        async refresh(request) {
          const { boundTo, ...rest } = request
          const view = await grants.readFamily(request.grantId)
          return grants.refresh({ ...rest, ...(view?.boundTo !== undefined && { boundTo: view.boundTo }) })
        },
      }),
    ],
    ['that forgets keys', refreshing(() => ({ boundTo: 'unproven' }))],
    [
      'that rotates where nothing is left',
      refreshing(() => ({
        obtainable: new Map([
          ['https://api.example/one', new Set(['a'])],
          ['https://api.example/two', new Set(['a'])],
        ]),
      })),
    ],
    [
      'that redeems a code again',
      (grants) => ({
        async redeemCode(redemption) {
          const answer = await grants.redeemCode(redemption)
          return answer.outcome === 'reused' ? { ...answer, outcome: 'redeemed', limits: undefined } : answer
        },
      }),
    ],
    [
      'that does not end',
      (grants) => ({ end: async () => ({ outcome: 'unknown' }), read: grants.readFamily }),
    ],
    ['that lists nobody', () => ({ listFamilies: async () => ({ families: [], cursor: undefined }) })],
  ])('%s', async (_, broken) => {
    const clock = manualClock(T)
    const stores = memoryStores({ clock })
    const lane = { clock, expiresForReal: false, close: async () => undefined }
    const open = async () => ({
      ...lane,
      stores: { ...stores, grants: { ...stores.grants, ...broken(stores.grants) } },
    })
    await expect(walkLanes(open, { lanes: 1, operations: 5000, seed: 6749 })).rejects.toThrow(
      'Property failed',
    )
  })
})
