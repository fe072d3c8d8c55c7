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
