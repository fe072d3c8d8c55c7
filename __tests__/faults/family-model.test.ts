import { describe, expect, test } from '@jest/globals'
import { inMemory, inRedis, walkLanes } from '../support/walk-lanes.ts'

const OPERATIONS = 100_000

/** Other scenarios each time; FAMILY_SEED=… takes those of a run before, of which the seed was printed. */
const seed = Number(process.env.FAMILY_SEED ?? Math.floor(Math.random() * 1_000_000) * 1000)

/** Every row of the tables, and what is beside them. */
const ROWS = [
  ...['rotated', 'kept', 'retried', 'run again', 'fast-forwarded', 'listed', 'unknown', 'foreign', 'ended'],
  ...['reused', 'expired', 'scope_exceeded', 'resource_exceeded', 'nothing_left', 'code unknown'],
  ...['code redeemed', 'code foreign', 'code reused', 'code burnt', 'code expired', 'code nothing_left'],
  ...[
    'code redirect_uri_mismatch',
    'code verifier_mismatch',
    'code resource_exceeded',
    'code scope_exceeded',
  ],
]

describe.each([
  ['memory', inMemory, 1],
  ['Redis', inRedis, 24],
] as const)('grants in %s', (name, open, lanes) => {
  test(`${OPERATIONS} operations by random scenarios go as the ledger says`, async () => {
    const startedAt = performance.now()
    const { operations, outcomes, goneForReal } = await walkLanes(open, {
      lanes,
      operations: OPERATIONS,
      seed,
    })
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    const seen = [...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ')
    process.stdout.write(
      `${name}: FAMILY_SEED=${seed}: ${operations} operations in ${seconds} s, ended by the real clock: ${goneForReal}; ${seen}\n`,
    )
    expect(operations).toBeGreaterThanOrEqual(OPERATIONS)
    expect(ROWS.filter((row) => !((outcomes.get(row) ?? 0) >= 50))).toEqual([])
    expect(goneForReal).toBeLessThan(operations / 1000)
  }, 180_000)
})
