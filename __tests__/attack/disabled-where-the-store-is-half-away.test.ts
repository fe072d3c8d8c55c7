import { expect, test } from '@jest/globals'
import { sha256 } from '../../lib/protocol/digest.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import { CLIENT_ID, startSite } from '../client-metadata-documents/site.ts'
import { makeSharedStores } from '../support/stores.ts'
import { manualClock } from '../support/world.ts'

// One shard of a cluster is away, say: the one that knows that the client is switched off.
test('a client by its document that is disabled stays so at an instance that cannot be told: 503', async () => {
  const clock = manualClock()
  const shared = await makeSharedStores(clock)
  const stores = shared()
  let isAway = false
  const { documents } = stores
  const read: typeof documents.read = async (key) => {
    if (isAway && key === sha256(`disabled ${CLIENT_ID}`)) throw new StoreUnavailable('this shard is away')
    return documents.read(key)
  }
  const first = await startSite({ stores: shared(), clock })
  const second = await startSite({
    stores: { ...stores, documents: { ...documents, read } },
    clock,
    host: first.host,
    issuer: first.world.issuer,
  })
  try {
    await first.signIn()
    expect(await first.world.aat.clients.disable(CLIENT_ID)).toBe('disabled')
    isAway = true
    expect((await second.ask()).status).toBe(503)
    isAway = false
    expect((await second.ask()).status).toBe(400)
    expect(await first.world.aat.clients.enable(CLIENT_ID)).toBe('enabled')
    clock.advance(16)
    expect((await second.ask()).status).toBe(303)
    // Who is known here goes on.
    isAway = true
    clock.advance(3601)
    expect((await second.ask()).status).toBe(303)
  } finally {
    await second.close()
    await first.close()
  }
})
