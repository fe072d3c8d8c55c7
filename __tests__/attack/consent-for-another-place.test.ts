import { expect, test } from '@jest/globals'
import { manage } from '../rfc7592/manage.ts'
import { Browser, startWorld, type World } from '../support/world.ts'

const KNOWN = 'https://known.example/cb'
const EVIL = 'https://evil.example/cb'
const metadata = (...redirect_uris: string[]) => ({
  client_name: 'Known',
  redirect_uris,
  token_endpoint_auth_method: 'none',
})

async function withWorld(run: (world: World, browser: Browser) => Promise<void>): Promise<void> {
  const world = await startWorld()
  const browser = new Browser(world.base)
  try {
    await browser.get('/sign-in?as=alice&return_to=/')
    await run(world, browser)
  } finally {
    await world.close()
  }
}
const ask = async (world: World, browser: Browser, client_id: string, redirect_uri: string, more = {}) =>
  browser.follow(await browser.get(world.authorizeUrl({ client_id, redirect_uri, scope: 'a', ...more })))

// Whoever registers may name a place that people know, and be sent the code for it elsewhere the next time.
test('what was allowed to a stranger for one place is not allowed to it for another', () =>
  withWorld(async (world, browser) => {
    const { client_id } = (await world.register(metadata(KNOWN, EVIL))).body
    const page = await ask(world, browser, client_id, KNOWN)
    const allowed = await browser.submitConsent(page, { decision: 'allow' })
    expect(allowed.headers.get('location')).toMatch(`${KNOWN}?code=`)
    // Silently, for what the user was shown.
    const again = await ask(world, browser, client_id, KNOWN)
    expect(again.headers.get('location')).toMatch(`${KNOWN}?code=`)
    const elsewhere = await ask(world, browser, client_id, EVIL)
    expect([elsewhere.status, elsewhere.headers.get('location')]).toEqual([200, null])
    expect(await elsewhere.text()).toContain('evil.example')
    // Nor is the user sent there with an error, without being asked.
    const error = await ask(world, browser, client_id, EVIL, { prompt: 'none' })
    expect([error.status, error.headers.get('location')]).toEqual([400, null])
  }))

test('nor is it where the client changes what it registered while the page is open', () =>
  withWorld(async (world, browser) => {
    const { body } = await world.register(metadata(KNOWN))
    const { client_id } = body
    const page = await ask(world, browser, client_id, KNOWN)
    expect((await manage('PUT', body, { ...metadata(KNOWN, EVIL), client_id })).status).toBe(200)
    await browser.submitConsent(page, { decision: 'allow' })
    const elsewhere = await ask(world, browser, client_id, EVIL)
    expect([elsewhere.status, elsewhere.headers.get('location')]).toEqual([200, null])
  }))
