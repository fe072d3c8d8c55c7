import { afterEach, expect, test } from '@jest/globals'
import session, { MemoryStore } from 'express-session'
import { oidcSignIn, type SignIn } from '../../lib/idp.ts'
import { CLIENT, clockOfNow, type Site, startSite } from '../idp/oidc/site.ts'
import { makeSharedStores } from '../support/stores.ts'
import { startWorld, type World } from '../support/world.ts'
import { bound, learn } from './sessions.ts'

let site: Site
const others: World[] = []
afterEach(async () => {
  for (const world of others.splice(0)) await world.close()
  await site.close()
})

/** One app at three instances: one name, one store of sessions, one of tokens. */
async function startThree() {
  const clock = clockOfNow()
  const storesOf = await makeSharedStores(clock)
  const store = new MemoryStore()
  const sessions = session({ name: 'app', secret: 'shared', store, resave: false, saveUninitialized: false })
  site = await startSite({ clock, sessions, stores: storesOf() })
  const { issuer, provider, url } = site
  for (let index = 0; index < 2; index++) {
    let idp: SignIn | undefined
    const world = await startWorld({
      clock,
      issuer,
      aat: bound({ lifetime: undefined }),
      stores: storesOf(),
      before(app) {
        app.use(sessions)
        app.get('/whoami', (req, res) => void res.json(idp?.resolveUser(req) ?? null))
        app.use('/sso', (req, res, next) => idp?.router(req, res, next))
      },
    })
    idp = oidcSignIn(world.aat, {
      url,
      issuer: provider.issuer,
      clientId: CLIENT.id,
      clientSecret: CLIENT.secret,
    })
    others.push(world)
  }
  return [site.world, ...others] as World[]
}

test('signed in at one, refreshed at another; the provider tells one, and it is over at all of them', async () => {
  const worlds = await startThree()
  const [, two, three] = worlds as [World, World, World]
  const browser = site.browser()
  const { body } = await site.getTokens(browser)
  const cookie = `app=${browser.cookies.get('app')}`
  const who = async (world: World) => (await world.call('/whoami', undefined, { cookie })).body
  for (const world of worlds) expect(await who(world)).toMatchObject({ subject: 'alice' })
  const refreshed = await two.refresh(body.refresh_token)
  expect(refreshed.status).toBe(200)
  expect(refreshed.body.refresh_token_expires_in).toBe(body.refresh_token_expires_in)

  // What the provider posts to their one address arrives at one of them.
  let arrived = 0
  site.server.prependListener('request', (req) => {
    if (req.url === '/sso/backchannel-logout') arrived++
  })
  const page = await browser.get(`${site.provider.issuer}/sign-out`)
  const { sid } = (await who(three)).idpSession
  await browser.submit(page, { logout: 'yes' })
  expect(arrived).toBe(1)
  await learn(...worlds)
  for (const world of worlds) {
    expect(await who(world)).toBeNull()
    for (const { access_token: token } of [body, refreshed.body])
      expect((await world.call('/api/a', token)).status).toBe(401)
    expect((await world.refresh(refreshed.body.refresh_token)).body.error).toBe('invalid_grant')
    expect(
      (await world.aat.grants.list({ idpSession: { issuer: site.provider.issuer, sid } })).grants,
    ).toEqual([])
  }
})
