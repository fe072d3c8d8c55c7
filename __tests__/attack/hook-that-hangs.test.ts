import { afterEach, expect, test } from '@jest/globals'
import { tokenEndpoint } from '../../lib/index.ts'
import { CLIENT_ID, startSite } from '../client-metadata-documents/site.ts'
import { until } from '../support/until.ts'
import { basic, CONFIDENTIAL } from '../support/world.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

test('a trust that never answers ends its own requests in time, and shuts out no other client of their address', async () => {
  let asked = 0
  const site = await startSite({
    aat: { clientMetadataDocuments: { trust: () => new Promise(() => asked++) } },
    // As many attempts at once as may still fail.
    after: (app, aat) =>
      app.use('/tight', tokenEndpoint(aat, { rateLimit: { windowSeconds: 600, limit: 2 } })),
  })
  cleanups.push(site.close)
  const { world } = site
  const post = async (parameters: Record<string, string>, headers = {}) =>
    (await world.post(`${world.base}/tight`, parameters, headers)).status
  const ofStranger = { client_id: CLIENT_ID, grant_type: 'refresh_token', refresh_token: 'x' }
  const hanging = [post(ofStranger), post(ofStranger)]
  await until('the question', () => asked === 1)
  const good = post({ grant_type: 'client_credentials' }, basic(CONFIDENTIAL.id, CONFIDENTIAL.secret))
  expect(await Promise.all(hanging)).toEqual([503, 503])
  expect(await good).toBe(200)
  // It is left alone for a moment.
  expect([await post(ofStranger), asked]).toEqual([503, 1])
  expect(world.eventsNamed('client.document_unavailable')).toMatchObject([
    { url: CLIENT_ID, reason: 'clientMetadataDocuments.trust took more than 5 s', went: 'unavailable' },
  ])
})
