import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { memoryStores } from '../../lib/index.ts'
import { Browser, manualClock, PUBLIC, REDIRECT_URI, startWorld, type World } from '../support/world.ts'
import { expectPage, expectRedirect, signedIn, stranger } from './pages.ts'

const clock = manualClock()
const stores = memoryStores({ clock })
let world: World
beforeAll(async () => {
  world = await startWorld({
    stores,
    clock,
    // An app whose sign-in page sends a user who is signed in straight back.
    before: (app) =>
      app.get('/instant', (req, res) => {
        const url = new URL(req.originalUrl, 'http://x')
        res.redirect(303, url.searchParams.get('return_to') ?? '/')
      }),
    authorize: { signInUrl: '/instant' },
  })
})
afterAll(() => world.close())

const bounces: Record<string, string | undefined>[] = [
  { scope: 'nope' },
  { response_type: 'token' },
  { code_challenge: undefined },
  { resource: 'https://nope.example' },
  { prompt: 'none' },
  { prompt: 'nonsense' },
]

test("AUT-026: an error of a stranger's client is a page with a link, for everybody who never dealt with it", async () => {
  const { id, redirectUri } = await stranger(world)
  for (const browser of [new Browser(world.base), await signedIn(world)]) {
    for (const parameters of bounces) {
      const response = await browser.get(
        world.authorizeUrl({ client_id: id, redirect_uri: redirectUri, ...parameters }),
      )
      const text = await expectPage(response)
      const link =
        /<a class="button" href="([^"]+)" rel="noreferrer">/.exec(text)?.[1]?.replaceAll('&#38;', '&') ?? ''
      const target = new URL(link)
      expect(target.origin + target.pathname).toBe(redirectUri)
      expect(target.searchParams.get('error')).toMatch(/^[a-z_]+$/)
      expect(target.searchParams.get('iss')).toBe(world.issuer)
      expect(target.searchParams.get('state')).toBe('the-state')
      expect(text).toContain('<strong>stranger.example</strong>')
    }
  }
})

test('AUT-026: a sign-in that comes back by itself does not open the redirect', async () => {
  const { id, redirectUri } = await stranger(world)
  const browser = await signedIn(world)
  clock.advance(5)
  const response = await browser.follow(
    await browser.get(
      world.authorizeUrl({ client_id: id, redirect_uri: redirectUri, acr_values: 'impossible' }),
    ),
    (url) => url.startsWith(world.base),
  )
  await expectPage(response)
})

test('AUT-026: clients of the configuration and loopback redirects get their errors at once', async () => {
  const response = await new Browser(world.base).get(
    world.authorizeUrl({ client_id: PUBLIC.id, scope: 'nope' }),
  )
  expect(expectRedirect(response, `${REDIRECT_URI}?`).error).toBe('invalid_scope')
  const loopback = 'http://127.0.0.1:12345/cb'
  const { id } = await stranger(world, { redirect_uris: [loopback] })
  const local = await new Browser(world.base).get(
    world.authorizeUrl({ client_id: id, redirect_uri: loopback, scope: 'nope' }),
  )
  expect(expectRedirect(local, `${loopback}?`).error).toBe('invalid_scope')
})

test('AUT-026: once the user has agreed to it, its errors go back at once; another user still sees the page', async () => {
  const { id, redirectUri } = await stranger(world)
  const own = { client_id: id, redirect_uri: redirectUri }
  const { browser } = await world.authorize({ ...own, scope: 'a' })
  const bad = world.authorizeUrl({ ...own, scope: 'nope' })
  expect(expectRedirect(await browser.get(bad), `${redirectUri}?`).error).toBe('invalid_scope')
  await expectPage(await (await signedIn(world, 'bob')).get(bad))
  await expectPage(await new Browser(world.base).get(bad))
})

test('AUT-026: the no of a user goes back at once', async () => {
  const { id, redirectUri } = await stranger(world)
  const browser = await signedIn(world, 'dave')
  const page = await browser.follow(
    await browser.get(world.authorizeUrl({ client_id: id, redirect_uri: redirectUri })),
  )
  const answer = await browser.submitConsent(page, { decision: 'deny' })
  expect(expectRedirect(answer, `${redirectUri}?`).error).toBe('access_denied')
})

test('AUT-023: dangerous page links that a store was made to hold are not in the consent page', async () => {
  const id = `dcr_${'L'.repeat(22)}`
  await stores.clients.create({
    id,
    origin: 'registered',
    applicationType: 'web',
    redirectUris: ['https://l.example/cb'],
    grantTypes: ['authorization_code'],
    authenticationMethod: 'none',
    secrets: [],
    createdAt: 0,
    uri: 'javascript:alert(1)',
    policyUri: 'data:text/html,x',
    tosUri: 'https://l.example/terms',
  })
  const browser = await signedIn(world)
  const page = await browser.follow(
    await browser.get(world.authorizeUrl({ client_id: id, redirect_uri: 'https://l.example/cb' })),
  )
  const text = await expectPage(page, 200)
  expect(text).toContain('href="https://l.example/terms"')
  expect(text).not.toMatch(/javascript:|data:/)
})
