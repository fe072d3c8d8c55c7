import { afterEach, expect, test } from '@jest/globals'
import { type Site, type SiteBrowser, startSite } from './site.ts'
import { type StubProvider, signInWith, startStubProvider } from './stub-provider.ts'

let site: Site
let stub: StubProvider | undefined
afterEach(async () => {
  await site.close()
  await stub?.close()
  stub = undefined
})

/** Ends the session at the provider, by its own page. */
async function signOutAtProvider(browser: SiteBrowser): Promise<Response> {
  const page = await browser.get(`${site.provider.issuer}/sign-out`)
  return browser.submit(page, { logout: 'yes' })
}

test('sign-out at the provider: it calls, and refresh tokens and access tokens are over', async () => {
  site = await startSite()
  const browser = site.browser()
  const { body } = await site.getTokens(browser)
  expect((await site.call('/api/a', body.access_token)).status).toBe(200)
  expect((await signOutAtProvider(browser)).status).toBe(303)
  expect(site.eventsNamed('idp_session.ended')).toMatchObject([
    { issuer: site.provider.issuer, by: 'back-channel logout' },
  ])
  const refused = await site.refresh(body.refresh_token)
  expect([refused.status, refused.body.error]).toEqual([400, 'invalid_grant'])
  expect((await site.call('/api/a', body.access_token)).status).toBe(401)
  expect(await site.who(browser)).toBeNull()
  // The provider begins another session.
  expect((await site.signIn(browser)).status).toBe(303)
  expect((await site.who(browser)).subject).toBe('alice')
})

test('two sessions of one user: the one that ends takes nothing from the other', async () => {
  site = await startSite()
  const [desk, phone] = [site.browser(), site.browser()]
  const atDesk = await site.getTokens(desk)
  const onPhone = await site.getTokens(phone)
  await signOutAtProvider(desk)
  expect((await site.refresh(atDesk.body.refresh_token)).status).toBe(400)
  expect((await site.refresh(onPhone.body.refresh_token)).status).toBe(200)
  expect((await site.call('/api/a', onPhone.body.access_token)).status).toBe(200)
  expect((await site.who(phone)).subject).toBe('alice')
})

test('a provider that ends sessions by user: all of this one, none of another', async () => {
  site = await startSite({ client: { backchannel_logout_session_required: false } })
  const [desk, phone, other] = [site.browser(), site.browser(), site.browser()]
  const tokens = [await site.getTokens(desk), await site.getTokens(phone)]
  const ofBob = await site.getTokens(other, 'bob')
  await signOutAtProvider(desk)
  for (const { body } of tokens) expect((await site.refresh(body.refresh_token)).status).toBe(400)
  expect((await site.refresh(ofBob.body.refresh_token)).status).toBe(200)
})

test('sign-out here: ended here, then at the provider, then back (RP-Initiated Logout 1.0)', async () => {
  site = await startSite({ signIn: { afterSignOut: '/bye' } })
  const browser = site.browser()
  const { body } = await site.getTokens(browser)
  const page = await browser.get(`${site.url}/sign-out`)
  expect(page.headers.get('content-security-policy')).toContain(`form-action 'self' ${site.provider.issuer}`)
  const out = await browser.submit(page, {})
  const url = new URL(out.headers.get('location') ?? '')
  expect(url.origin + url.pathname).toBe(`${site.provider.issuer}/sign-out`)
  expect([...url.searchParams.keys()].sort()).toEqual([
    'client_id',
    'id_token_hint',
    'post_logout_redirect_uri',
    'state',
  ])
  // Whatever the user does at the provider.
  expect(await site.who(browser)).toBeNull()
  expect((await site.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
  expect((await site.call('/api/a', body.access_token)).status).toBe(401)

  const atProvider = await browser.get(url.href)
  const back = await browser.follow(
    await browser.submit(atProvider, { logout: 'yes' }),
    (address) => !address.endsWith('/bye'),
  )
  expect(back.headers.get('location')).toBe('/bye')
  // Signed out there too: it asks for the password.
  const again = await browser.follow(await browser.get(site.url), () => true)
  expect(await again.text()).toContain('Password')
})

test('state of a sign-out works once, and in this browser', async () => {
  stub = await startStubProvider()
  site = await startSite({ issuer: stub.issuer })
  const browser = site.browser()
  await signInWith(site, stub, browser)
  const out = await browser.send(`${site.url}/sign-out`, { method: 'POST' })
  const state = new URL(out.headers.get('location') ?? '').searchParams.get('state')
  const url = `${site.url}/signed-out?state=${state}`
  expect((await site.browser().get(url)).status).toBe(400)
  expect((await browser.get(`${site.url}/signed-out`)).status).toBe(400)
  expect((await browser.get(url)).headers.get('location')).toBe('/')
  expect((await browser.get(url)).status).toBe(400)
})

test('a provider without end_session_endpoint, or that is away: signed out here all the same', async () => {
  stub = await startStubProvider()
  delete stub.metadata.end_session_endpoint
  site = await startSite({ issuer: stub.issuer, signIn: { afterSignOut: '/bye' } })
  const browser = site.browser()
  await signInWith(site, stub, browser)
  expect((await browser.get(`${site.url}/sign-out`)).status).toBe(200)
  const out = await browser.send(`${site.url}/sign-out`, { method: 'POST' })
  expect([out.status, out.headers.get('location')]).toEqual([303, '/bye'])
  expect(await site.who(browser)).toBeNull()
  expect(site.eventsNamed('idp_session.ended')).toMatchObject([{ by: 'sign-out' }])
  // Nobody is signed in any more.
  expect((await browser.send(`${site.url}/sign-out`, { method: 'POST' })).headers.get('location')).toBe(
    '/bye',
  )
})

test('the store is away while signing out: 503, and the user is still signed in', async () => {
  stub = await startStubProvider()
  const { memoryStores } = await import('../../../lib/index.ts')
  const { StoreUnavailable } = await import('../../../lib/protocol/oauth-error.ts')
  const { clockOfNow } = await import('./site.ts')
  const clock = clockOfNow()
  const stores = memoryStores({ clock })
  let isAway = false
  const revocations = {
    ...stores.revocations,
    append: (entry: never) =>
      isAway ? Promise.reject(new StoreUnavailable('away')) : stores.revocations.append(entry),
  }
  site = await startSite({ issuer: stub.issuer, clock, aat: { stores: { ...stores, revocations } } })
  const browser = site.browser()
  await signInWith(site, stub, browser)
  isAway = true
  const refused = await browser.send(`${site.url}/sign-out`, { method: 'POST' })
  expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true])
  expect((await site.who(browser)).subject).toBe('alice')
  isAway = false
  expect((await browser.send(`${site.url}/sign-out`, { method: 'POST' })).status).toBe(303)
})
