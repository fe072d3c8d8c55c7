import { expect, test } from '@jest/globals'
import { expectSwitchesUnderLoad } from './switches.ts'

test('FLT-023: three switches by Sentinel under load: no session lost, no false reuse, away no longer than needed', async () => {
  const { refreshes, longestWait } = await expectSwitchesUnderLoad(['kill', 'handover', 'pause'])
  expect(refreshes).toBeGreaterThan(100)
  expect(longestWait).toBeGreaterThan(0)
}, 60_000)
