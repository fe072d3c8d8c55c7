import { expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { memoryRing } from '../../lib/stores/memory/ring.ts'
import { readRing } from '../support/read-ring.ts'
import { manualClock, startWorld } from '../support/world.ts'
import { ISSUER, START, signNow, startInstance, verifies } from './instances.ts'

const OTHER = 'https://other.example.com'

test('a ring belongs to one issuer: another on the same store says so, writes nothing and signs nothing', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const first = startInstance({ store, clock })
  await first.maintain()
  const before = await readRing(store)
  expect(before.issuer).toBe(ISSUER)
  const second = startInstance({ store, clock, issuer: OTHER })
  for (const run of [second.maintain, second.signer, second.rotate, () => second.revoke('x')])
    await expect((async () => run())()).rejects.toThrow()
  await expect(second.maintain()).rejects.toThrow(`these stores belong to ${ISSUER}; give each issuer stores`)
  expect(await readRing(store)).toEqual(before)
  expect(second.canSign()).toBe(false)
  expect(second.jwks().keys).toEqual([])
  clock.advance(1)
  await first.maintain()
  expect(await verifies(first, await signNow(first, clock))).toBe(true)
})

test('two issuers that start at once on one store: one has it, the other never gets a key', async () => {
  const store = memoryRing()
  const clock = manualClock(START)
  const both = [startInstance({ store, clock }), startInstance({ store, clock, issuer: OTHER })]
  const outcomes = await Promise.allSettled(both.map((instance) => instance.maintain()))
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  expect(both.filter((instance) => instance.canSign())).toHaveLength(1)
  expect((await readRing(store)).keys).toHaveLength(2)
})

test('over HTTP: not ready with a message, 503 for tokens, and no key of the other issuer is published', async () => {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  const first = await startWorld({ clock, stores })
  const second = await startWorld({ clock, stores, ready: false })
  try {
    await expect(second.aat.ready()).rejects.toThrow(`these stores belong to ${first.issuer}`)
    expect(second.aat.health()).toMatchObject({ ready: false, keys: { canSign: false } })
    const answer = await second.token({ grant_type: 'client_credentials', scope: 'a' })
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/)
    expect((await second.call('/.well-known/jwks.json')).body.keys).toBeUndefined()
    expect((await first.token({ grant_type: 'client_credentials', scope: 'a' })).status).toBe(200)
  } finally {
    await first.close()
    await second.close()
  }
})
