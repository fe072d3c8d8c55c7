import { expect, test } from '@jest/globals'
import { startWorld } from '../support/world.ts'

test('an authorization request that waits takes little of the store: over 8 KiB it is refused, and nothing is kept', async () => {
  const world = await startWorld()
  try {
    const acr_values = Array.from({ length: 20 }, () => 'x'.repeat(250)).join(' ')
    const ask = (more: Record<string, string>) =>
      fetch(world.authorizeUrl({ state: 'x'.repeat(4000), ...more }), { redirect: 'manual' })
    const kept = await ask({})
    expect(kept.headers.get('location')).toMatch(/\/sign-in\?/)
    const refused = new URL((await ask({ acr_values })).headers.get('location') ?? '')
    expect(refused.origin).toBe('https://client.example')
    expect(refused.searchParams.get('error')).toBe('invalid_request')
  } finally {
    await world.close()
  }
})
