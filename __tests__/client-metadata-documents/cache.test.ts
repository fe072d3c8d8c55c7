import { afterEach, describe, expect, test } from '@jest/globals'
import { createRemoteDocuments } from '../../lib/clients/remote-documents.ts'
import { memoryStores } from '../../lib/index.ts'
import { sha256 } from '../../lib/protocol/digest.ts'
import { recordingStores } from '../support/recording-stores.ts'
import { makeSharedStores } from '../support/stores.ts'
import { HOST, type StrangersHost, startStrangersHost } from '../support/strangers-host.ts'
import { until } from '../support/until.ts'
import { Browser, manualClock } from '../support/world.ts'
import { aDocument, CACHED, CALLBACK, CLIENT_ID, type Site, startSite } from './site.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})
async function start(options: Parameters<typeof startSite>[0] = {}): Promise<Site> {
  const site = await startSite(options)
  closing.push(site.close)
  return site
}
async function startHost(): Promise<StrangersHost> {
  const host = await startStrangersHost()
  closing.push(host.close)
  return host
}
const away = (site: Site) => site.host.connectBy(() => Promise.reject(new Error('nobody is there')))

describe('how long a document is used', () => {
  test.each([
    ['max-age=600', 600],
    ['max-age=5', 60],
    ['no-store', 60],
    ['max-age=9999999', 86_400],
    ['public', 3600],
  ])('%s: %d seconds', async (cacheControl, seconds) => {
    const site = await start()
    site.host.answerJson(aDocument(), { 'Cache-Control': cacheControl })
    await site.ask()
    site.world.clock.advance(seconds - 1)
    await site.ask()
    expect(site.host.requests).toHaveLength(1)
    site.host.answerJson(aDocument({ redirect_uris: [`${CALLBACK}/new`] }))
    site.world.clock.advance(1)
    expect((await site.ask()).status).toBe(400)
    expect((await site.ask({ redirect_uri: `${CALLBACK}/new` })).status).toBe(303)
    expect(site.host.requests).toHaveLength(2)
  })
})

test('CIM-020: a thousand authorizations at once of a client that nobody knows: one fetch, good or not', async () => {
  const site = await start({ authorize: { rateLimit: false } })
  const thousand = async (clientId: string) => {
    const answers = await Promise.all(Array.from({ length: 1000 }, () => site.ask({ client_id: clientId })))
    return new Set(answers.map(({ status }) => status))
  }
  expect(await thousand(CLIENT_ID)).toEqual(new Set([303]))
  expect(site.host.requests).toHaveLength(1)
  away(site)
  expect(await thousand(`${CLIENT_ID}?other`)).toEqual(new Set([503]))
  expect(site.host.connections).toHaveLength(2)
})

test('CIM-020: after a failure the next attempt is 15 seconds later, and good', async () => {
  const site = await start()
  site.host.resolveTo(() => {
    throw new Error('SERVFAIL')
  })
  expect((await site.ask()).status).toBe(503)
  site.host.resolveTo(() => ['93.184.215.14'])
  site.world.clock.advance(14)
  expect((await site.ask()).status).toBe(503)
  expect(site.host.lookups).toHaveLength(1)
  site.world.clock.advance(1)
  expect((await site.ask()).status).toBe(303)
  expect(site.world.eventsNamed('client.document_unavailable')).toMatchObject([
    { url: CLIENT_ID, kind: 'metadata', went: 'unavailable', reason: 'its name could not be resolved' },
  ])
})

describe('CIM-025: the host is away', () => {
  test('a family goes on by the copy, for as long as is configured, and is then 503 until the host is back', async () => {
    const site = await start({ aat: { outbound: { staleWhileAway: 7200 } } })
    let { body } = await site.signIn()
    away(site)
    site.world.clock.advance(3000)
    for (let round = 0; round < 3; round++) {
      const answer = await site.refresh(body.refresh_token)
      expect(answer.status).toBe(200)
      body = answer.body
      site.world.clock.advance(60)
    }
    expect(site.world.eventsNamed('client.document_unavailable')).toHaveLength(3)
    expect(site.world.eventsNamed('client.document_unavailable')[0]).toMatchObject({ went: 'on' })
    site.world.clock.advance(7200)
    const away503 = await site.refresh(body.refresh_token)
    expect([away503.status, away503.body.error]).toEqual([503, 'temporarily_unavailable'])
    expect(away503.headers.get('retry-after')).toBe('5')

    const { network } = await startHostWithDocument()
    site.host.connectBy((target, signal) => network.connect(target, signal))
    site.world.clock.advance(16)
    expect((await site.refresh(body.refresh_token)).status).toBe(200)
  })

  test('the same at an instance that has never fetched it: somebody relies on it, so the store has it', async () => {
    const clock = manualClock()
    const shared = await makeSharedStores(clock)
    const host = await startHost()
    const first = await start({ stores: shared(), clock, host })
    const { body } = await first.signIn()
    host.connectBy(() => Promise.reject(new Error('nobody is there')))
    clock.advance(3000)
    const second = await start({ stores: shared(), clock, host, issuer: first.world.issuer })
    const before = host.connections.length
    expect((await second.refresh(body.refresh_token)).status).toBe(200)
    expect(host.connections.length - before).toBe(1)
  })

  test('a document that is wrong by now is invalid_client, and the family goes on when it is mended', async () => {
    const site = await start()
    const { body } = await site.signIn()
    site.world.clock.advance(601)
    site.host.answerJson(aDocument({ client_id: 'https://elsewhere.example/' }))
    expect((await site.refresh(body.refresh_token)).body.error).toBe('invalid_client')
    site.host.answerJson(aDocument())
    site.world.clock.advance(16)
    expect((await site.refresh(body.refresh_token)).status).toBe(200)
  })

  test('lists and look-ups of the app do not depend on it', async () => {
    const site = await start({ aat: { outbound: { staleWhileAway: 0 } } })
    await site.signIn()
    away(site)
    site.world.clock.advance(601)
    const { grants } = await site.world.aat.grants.list({ subject: 'alice' })
    expect(grants).toMatchObject([{ clientId: CLIENT_ID }])
  })
})

describe('CIM-022: a document that changes its redirect URIs', () => {
  test('the user is asked again, and refresh tokens go on', async () => {
    const site = await start()
    const browser = new Browser(site.world.base)
    const { body } = await site.signIn({}, {}, { browser })
    const again = (redirectUri: string) =>
      browser.get(site.world.authorizeUrl({ client_id: CLIENT_ID, redirect_uri: redirectUri }))
    const remembered = await again(CALLBACK)
    expect(new URL(remembered.headers.get('location') ?? '').searchParams.get('code')).not.toBeNull()

    site.world.clock.advance(601)
    site.host.answerJson(aDocument({ redirect_uris: [CALLBACK, 'https://attacker.example/cb'] }), CACHED)
    for (const redirectUri of ['https://attacker.example/cb', CALLBACK]) {
      const asked = await again(redirectUri)
      expect(asked.headers.get('location')).toMatch(/^\/oauth\/authorize\/consent\?request=/)
    }
    expect((await site.refresh(body.refresh_token)).status).toBe(200)

    // Nor is it an open redirector for one who once trusted another place.
    const error = await browser.get(
      site.world.authorizeUrl({
        client_id: CLIENT_ID,
        redirect_uri: 'https://attacker.example/cb',
        prompt: 'none',
      }),
    )
    expect([error.status, error.headers.get('location')]).toEqual([400, null])
  })
})

describe('instances', () => {
  test('what somebody relies on is fetched once for all; before that each fetches, and the store has nothing of it', async () => {
    const clock = manualClock()
    const shared = await makeSharedStores(clock)
    const host = await startHost()
    const recorded = recordingStores(shared())
    const first = await start({ stores: recorded.stores, clock, host })
    const second = await start({ stores: shared(), clock, host, issuer: first.world.issuer })
    expect((await first.ask()).status).toBe(303)
    const saves = () => recorded.calls.filter(({ store, verb }) => store === 'documents' && verb === 'save')
    expect(saves()).toEqual([])

    const { body } = await first.signIn()
    expect(saves()).toHaveLength(1)
    expect((await second.refresh(body.refresh_token)).status).toBe(200)
    expect(host.requests).toHaveLength(1)
    await first.signIn()
    expect(saves()).toHaveLength(1)
  })

  test('when the copy is over one instance fetches for all', async () => {
    const clock = manualClock()
    const shared = await makeSharedStores(clock)
    const host = await startHost()
    const first = await start({ stores: shared(), clock, host })
    const second = await start({ stores: shared(), clock, host, issuer: first.world.issuer })
    let { body } = await first.signIn()
    body = (await second.refresh(body.refresh_token)).body
    clock.advance(601)
    let finish: () => void = () => undefined
    const asked = new Promise<void>((resolve) => {
      host.answer((_req, res) => {
        finish = () => {
          res.writeHead(200, { 'Content-Type': 'application/json', ...CACHED })
          res.end(JSON.stringify(aDocument()))
        }
        resolve()
      })
    })
    const slow = first.ask()
    await asked
    // The other instance does not wait for the host, nor ask it.
    expect((await second.refresh(body.refresh_token)).status).toBe(200)
    finish()
    expect((await slow).status).toBe(303)
    expect((await second.ask()).status).toBe(303)
    expect(host.requests).toHaveLength(2)
  })

  test('a stricter instance refuses what the store has', async () => {
    const clock = manualClock()
    const shared = await makeSharedStores(clock)
    const host = await startHost()
    const first = await start({ stores: shared(), clock, host })
    const { body } = await first.signIn()
    const strict = await start({
      stores: shared(),
      clock,
      host,
      issuer: first.world.issuer,
      aat: { clientMetadataDocuments: { trust: () => false } },
    })
    expect((await strict.refresh(body.refresh_token)).body.error).toBe('invalid_client')
    expect((await first.refresh(body.refresh_token)).status).toBe(200)
  })
})

describe('operators', () => {
  test('disable a client at all instances, at once, and enable it again; what it held is over', async () => {
    const clock = manualClock()
    const shared = await makeSharedStores(clock)
    const host = await startHost()
    const first = await start({ stores: shared(), clock, host })
    const second = await start({ stores: shared(), clock, host, issuer: first.world.issuer })
    const { body } = await first.signIn()
    expect((await second.ask()).status).toBe(303)
    const fetched = host.requests.length

    expect(await first.world.aat.clients.disable(CLIENT_ID)).toBe('disabled')
    await until('the other refuses it', async () => (await second.ask()).status === 400)
    for (const site of [first, second]) {
      expect((await site.ask()).status).toBe(400)
      expect((await site.refresh(body.refresh_token)).body.error).toBe('invalid_client')
      clock.advance(7200)
      expect((await site.ask()).status).toBe(400)
    }
    expect(host.requests).toHaveLength(fetched)
    expect(first.world.eventsNamed('client.disabled')).toMatchObject([{ clientId: CLIENT_ID }])

    expect(await second.world.aat.clients.enable(CLIENT_ID)).toBe('enabled')
    await until('the other takes it', async () => (await first.ask()).status === 303)
    expect((await second.ask()).status).toBe(303)
    expect((await first.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
    expect((await first.signIn()).status).toBe(200)
  })

  test('one that is disabled while it is fetched', async () => {
    const site = await start()
    let finish: () => void = () => undefined
    const asked = new Promise<void>((resolve) => {
      site.host.answer((_req, res) => {
        finish = () => {
          res.writeHead(200, { 'Content-Type': 'application/json', ...CACHED })
          res.end(JSON.stringify(aDocument()))
        }
        resolve()
      })
    })
    const early = site.ask()
    await asked
    await site.world.aat.clients.disable(CLIENT_ID)
    finish()
    expect((await early).status).toBe(400)
    expect((await site.ask()).status).toBe(400)
  })

  test('delete ends what it holds; there is nothing to delete, and it may come again', async () => {
    const site = await start()
    const { body } = await site.signIn()
    expect(await site.world.aat.clients.delete(CLIENT_ID)).toBe('unknown')
    expect((await site.world.call('/api/a', body.access_token)).status).toBe(401)
    expect((await site.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
    site.world.clock.advance(1)
    expect((await site.signIn()).status).toBe(200)
  })
})

describe('CIM-019: what is remembered is bounded', () => {
  function documents({ size = 10 } = {}) {
    const clock = manualClock()
    const stores = memoryStores({ clock })
    let fetched = 0
    const cache = createRemoteDocuments<string>({
      kind: 'metadata',
      fetchJson: async (url) => {
        fetched++
        return { body: { url, padding: 'x'.repeat(size) }, freshFor: 86_400 }
      },
      store: stores.documents,
      leases: stores.replays,
      clock,
      emit: () => true,
      times: { shortest: 60, longest: 86_400, unsaid: 60, whileAway: 86_400 },
      cut: (body) => body,
      read: (body) => body.url as string,
    })
    return { cache, stores, fetches: () => fetched }
  }

  test('twenty thousand URLs: a thousand stay, those of clients that are relied on among them', async () => {
    const { cache, fetches } = documents()
    await cache.get('https://relied-on.example/')
    await cache.keep('https://relied-on.example/')
    for (let index = 0; index < 20_000; index++) await cache.get(`https://a.example/${index}`)
    expect(cache.size()).toBe(1001)
    expect(fetches()).toBe(20_001)
    await cache.get('https://relied-on.example/')
    await cache.get('https://a.example/19999')
    expect(fetches()).toBe(20_001)
    await cache.get('https://a.example/5')
    expect(fetches()).toBe(20_002)
  })

  test('large ones are bounded in bytes', async () => {
    const { cache } = documents({ size: 60_000 })
    for (let index = 0; index < 500; index++) await cache.get(`https://a.example/${index}`)
    expect(cache.size()).toBe(139)
  })

  test('a source that names one URL after the other: 60 in a minute, and others are served meanwhile', async () => {
    const site = await start({
      before: (app) => app.set('trust proxy', 1),
      authorize: { rateLimit: false },
      aat: { outbound: { staleWhileAway: 0 } },
    })
    site.host.resolveTo(() => [])
    const askFrom = (source: string, id: string) =>
      fetch(site.world.authorizeUrl({ client_id: id, redirect_uri: CALLBACK }), {
        headers: { 'X-Forwarded-For': source },
        redirect: 'manual',
      })
    const nth = (index: number) => `https://h${index}.client-host.com/client.json`
    for (let index = 0; index < 100; index++) await askFrom('203.0.113.1', nth(index))
    expect(site.host.lookups).toHaveLength(60)
    const refused = await askFrom('203.0.113.1', CLIENT_ID)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '60'])
    // Nor by way of the token endpoint.
    const token = await fetch(site.world.endpoint('token'), {
      method: 'POST',
      headers: { 'X-Forwarded-For': '203.0.113.1' },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x', client_id: nth(500) }),
    })
    expect(token.status).toBe(503)
    expect(site.host.lookups).toHaveLength(60)
    site.host.resolveTo(() => ['93.184.215.14'])
    // The same client, of whom one was refused a moment ago, is another one's to ask for.
    expect((await askFrom('203.0.113.2', CLIENT_ID)).status).toBe(303)
    expect(site.host.requests).toHaveLength(1)
    site.world.clock.advance(61)
    expect((await askFrom('203.0.113.1', nth(501))).status).toBe(400)
  })

  test('nobody can keep an old copy alive by using up what there is', async () => {
    const site = await start({ authorize: { rateLimit: false } })
    const { body } = await site.signIn()
    site.world.clock.advance(601)
    site.host.answer((_req, res) => {
      res.statusCode = 404
      res.end()
    })
    for (let index = 0; index < 30; index++) await site.ask({ client_id: `${CLIENT_ID}?${index}` })
    site.host.answerJson(aDocument({ redirect_uris: [`${CALLBACK}/new`] }), CACHED)
    expect((await site.ask({ redirect_uri: `${CALLBACK}/new` })).status).toBe(303)
    expect((await site.refresh(body.refresh_token)).status).toBe(200)
  })

  test('nothing of a client that nobody relied on is in the store', async () => {
    const { cache, stores } = documents()
    await cache.get('https://a.example/1')
    expect(await stores.documents.read(sha256('metadata https://a.example/1'))).toBeUndefined()
    await cache.keep('https://a.example/1')
    expect((await stores.documents.read(sha256('metadata https://a.example/1')))?.body.url).toBe(
      'https://a.example/1',
    )
  })
})

async function startHostWithDocument(): Promise<StrangersHost> {
  const host = await startHost()
  host.answerJson(aDocument(), CACHED)
  return host
}

test('the host of a document that does not answer holds up nobody else', async () => {
  const site = await start()
  const other = 'https://hangs.client-host.com/client.json'
  const hanging = new Promise<void>((resolve) => {
    site.host.answer((req, res) => {
      if (req.headers.host !== HOST) return resolve()
      res.writeHead(200, { 'Content-Type': 'application/json', ...CACHED })
      res.end(JSON.stringify(aDocument()))
    })
  })
  const held = site.ask({ client_id: other })
  await hanging
  expect((await site.signIn()).status).toBe(200)
  site.host.pass(5)
  expect((await held).status).toBe(503)
})
