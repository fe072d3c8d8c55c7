import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { partsOf } from '../../../lib/http/aat.ts'
import { CLIENT, clockOfNow, type Site, startSite } from './site.ts'
import { type StubProvider, signInWith, startStubProvider } from './stub-provider.ts'

let stub: StubProvider
let site: Site
beforeEach(async () => {
  stub = await startStubProvider()
  site = await startSite({ issuer: stub.issuer, clock: clockOfNow() })
})
afterEach(async () => {
  await site.close()
  await stub.close()
})

const place = async () => {
  const { revocations } = partsOf(site.aat, 'a test').stores
  return (await revocations.since({ revision: 0, tip: '' })).place.revision
}

const tokenAt = (iat: number) =>
  stub.sign({
    iss: stub.issuer,
    aud: CLIENT.id,
    iat,
    exp: iat + 600,
    jti: 'once',
    sub: 'alice',
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  })

const logout = (token: string) => site.post(`${site.url}/backchannel-logout`, { logout_token: token })

test('told late: what was granted in between is over too, since its session began before', async () => {
  const browser = site.browser()
  await signInWith(site, stub, browser)
  const told = Math.floor(site.clock())
  site.clock.advance(60)
  const { body } = await site.getTokens(browser)
  expect((await site.call('/api/a', body.access_token)).status).toBe(200)
  site.clock.advance(60)
  expect((await logout(await tokenAt(told))).status).toBe(200)
  expect(await site.who(browser)).toBeNull()
  expect((await site.call('/api/a', body.access_token)).status).toBe(401)
  expect((await site.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
})

test('a sign-in after it is good, though the provider says an older auth_time', async () => {
  const browser = site.browser()
  await signInWith(site, stub, browser)
  expect((await logout(await tokenAt(Math.floor(site.clock())))).status).toBe(200)
  site.clock.advance(60)
  await signInWith(site, stub, browser, { sid: 'session-2', auth_time: Math.floor(site.clock()) - 3600 })
  expect(await site.who(browser)).toMatchObject({ subject: 'alice', idpSession: { sid: 'session-2' } })
  const { status, body } = await site.getTokens(browser)
  expect(status).toBe(200)
  expect((await site.call('/api/a', body.access_token)).status).toBe(200)
  expect((await site.refresh(body.refresh_token)).status).toBe(200)
})

test('the same logout token again and again adds nothing to the log', async () => {
  await signInWith(site, stub, site.browser())
  site.clock.advance(1)
  const token = await tokenAt(Math.floor(site.clock()) - 60)
  expect((await logout(token)).status).toBe(200)
  const after = await place()
  for (let again = 0; again < 3; again++) {
    site.clock.advance(1)
    expect((await logout(token)).status).toBe(400)
  }
  expect(await place()).toBe(after)
})

test('told while a sign-in is on its way: that one is over too', async () => {
  const browser = site.browser()
  const { token } = stub
  stub.token = async () => {
    expect((await logout(await tokenAt(Math.floor(site.clock())))).status).toBe(200)
    site.clock.advance(10)
    return token()
  }
  expect((await signInWith(site, stub, browser)).status).toBe(403)
  expect(await site.who(browser)).toBeNull()
})

test('an instance whose clock is a little behind is told: the sign-in is over all the same', async () => {
  const browser = site.browser()
  await signInWith(site, stub, browser)
  site.clock.advance(-3)
  expect((await logout(await tokenAt(Math.floor(site.clock())))).status).toBe(200)
  site.clock.advance(3)
  expect(await site.who(browser)).toBeNull()
})

test('a provider that does not say that its ID tokens name sessions: sid and sub end those without a name', async () => {
  stub.metadata.backchannel_logout_session_supported = undefined
  const browser = site.browser()
  await signInWith(site, stub, browser, { sid: undefined })
  const iat = Math.floor(site.clock())
  const both = {
    iss: stub.issuer,
    aud: CLIENT.id,
    iat,
    exp: iat + 60,
    jti: 'both',
    sub: 'alice',
    sid: 'its-name',
  }
  const token = await stub.sign({
    ...both,
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  })
  expect((await logout(token)).status).toBe(200)
  expect(await site.who(browser)).toBeNull()
})

test('a provider that goes on with a session whose end has passed, and says no other end, is not asked for ever', async () => {
  const browser = site.browser()
  await signInWith(site, stub, browser, { session_expiry: undefined })
  const { issuer, sid } = (await site.who(browser)).idpSession
  await site.aat.idpSessions.update({ issuer, sid, expiresAt: site.clock() + 10 })
  site.clock.advance(20)
  expect(await site.who(browser)).toBeNull()
  expect((await signInWith(site, stub, browser, { session_expiry: undefined })).status).toBe(403)
})

test('a session that is prolonged by a few seconds at each sign-in adds nothing to the log', async () => {
  const end = site.clock() + 1000
  const before = await place()
  for (const seconds of [0, 10, 20, 50])
    await signInWith(site, stub, site.browser(), { session_expiry: end + seconds })
  const browser = site.browser()
  await signInWith(site, stub, browser, { session_expiry: end })
  await signInWith(site, stub, browser, { session_expiry: end + 59 })
  expect(await place()).toBe(before)
  await signInWith(site, stub, browser, { session_expiry: end + 200 })
  expect(await place()).toBe(before + 1)
  // Shorter is always said.
  await signInWith(site, stub, browser, { session_expiry: end + 190 })
  expect(await place()).toBe(before + 2)
})
