import { expect, test } from '@jest/globals'
import { expectSwitchesUnderLoad } from '../redis/switches.ts'

test('FLT-023: a dozen switches by Sentinel under load', async () => {
  const turn = ['kill', 'handover', 'pause', 'handover'] as const
  const seen = await expectSwitchesUnderLoad([...turn, ...turn, ...turn])
  console.log(`FLT-023: ${JSON.stringify(seen)}`)
  expect(seen.refreshes).toBeGreaterThan(500)
}, 120_000)
