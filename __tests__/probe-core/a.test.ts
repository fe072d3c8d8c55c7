import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { Router } from 'express'
import { oidcSignIn } from '../../lib/idp.ts'
import { startWorld, claimsOf, CONFIDENTIAL } from '../support/world.ts'
import { CLIENT, clockOfNow, type Site, type SiteBrowser, startSite } from '../idp/oidc/site.ts'
import { type StubProvider, signInWith, startStubProvider, begin, idToken, answerUrl } from '../idp/oidc/stub-provider.ts'
import { bound, signedIn, sessionOf, IDP } from '../idp-sessions/sessions.ts'

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
let stub: StubProvider
let site: Site
let browser: SiteBrowser
let n = 0
beforeEach(async () => {
  stub = await startStubProvider()
  site = await startSite({ issuer: stub.issuer })
  browser = site.browser()
})
afterEach(async () => { await site.close(); await stub.close() })
const logout = async (more: Record<string, unknown>, header = {}) => {
  const now = Math.floor(site.clock())
  const token = await stub.sign(JSON.parse(JSON.stringify({ iss: stub.issuer, aud: CLIENT.id, iat: now, exp: now + 120, jti: `l${++n}`, events: { [EVENT]: {} }, ...more })), header)
  return fetch(`${site.url}/backchannel-logout`, { method: 'POST', body: new URLSearchParams({ logout_token: token }) })
}
const say = (label: string, value: unknown) => process.stderr.write(`PROBE ${label}: ${JSON.stringify(value)}\n`)

test('P3 sub logout during the sign-in', async () => {
  const sent = await begin(site, browser)
  stub.claims = JSON.parse(JSON.stringify({ ...idToken(site, stub, sent), sid: undefined }))
  const usual = stub.token
  stub.token = async () => {
    const answer = await usual()
    const res = await logout({ sub: 'alice' })
    say('P3 logout status', res.status)
    site.clock.advance(2)
    return answer
  }
  const res = await browser.get(answerUrl(site, stub, sent))
  say('P3 callback', res.status)
  say('P3 who', await site.who(browser))
  const t = await site.getTokens(browser)
  say('P3 tokens', [t.status, Object.keys(t.body ?? {})])
})

test('P1 auth_time stripped', async () => {
  await signInWith(site, stub, browser, { auth_time: undefined })
  site.clock.advance(3000)
  // client wants prompt=login; browser thief strips
  const asked = await browser.get(site.authorizeUrl({ prompt: 'login', max_age: '10' }))
  const at = new URL(asked.headers.get('location') ?? '', site.base)
  say('P1 sent to', at.pathname + at.search)
  const rt = at.searchParams.get('return_to') ?? ''
  const r = await signInWith(site, stub, browser, { auth_time: undefined }, `?${new URLSearchParams({ return_to: rt })}`)
  say('P1 cb', [r.status, r.headers.get('location')])
  const page = await browser.get(r.headers.get('location') ?? '')
  say('P1 consent', [page.status, page.headers.get('location')])
})

test('P2 loop', async () => {
  await signInWith(site, stub, browser, { session_expiry: undefined })
  await site.aat.idpSessions.update({ issuer: stub.issuer, sid: 'session-1', expiresAt: site.clock() + 10 })
  site.clock.advance(20)
  let res = await browser.get(site.authorizeUrl({}))
  let hops = 0
  for (; hops < 5; hops++) {
    const loc = new URL(res.headers.get('location') ?? 'error:none', site.base)
    const rt = loc.searchParams.get('return_to')
    if (rt === null) break
    const cb = await signInWith(site, stub, browser, { session_expiry: undefined }, `?${new URLSearchParams({ return_to: rt })}`)
    say('P2 hop', [cb.status, cb.headers.get('location')])
    if (cb.status !== 303) break
    res = await browser.get(cb.headers.get('location') ?? '')
  }
  say('P2 hops', hops)
})

test('P6 sid+sub logout where ID token had no sid', async () => {
  await signInWith(site, stub, browser, { sid: undefined })
  const res = await logout({ sub: 'alice', sid: 'whatever' })
  say('P6', [res.status, await site.who(browser)])
})

test('P7 growth', async () => {
  const before = site.eventsNamed('revocation.recorded').length
  for (let i = 0; i < 10; i++) { site.clock.advance(1); await signInWith(site, stub, browser) }
  say('P7 entries of 10 sign-ins', site.eventsNamed('revocation.recorded').length - before)
})

test('P8 kid', async () => {
  const out = []
  for (let i = 0; i < 4; i++) out.push((await logout({ sid: 'x' }, { kid: `k${i}` })).status)
  say('P8', [out, site.faults().map((f) => String(f.error?.message ?? f.error).slice(0, 120))])
})

test('P5 two mounts one issuer', async () => {
  const idp2 = oidcSignIn(site.aat, { url: `${site.base}/staff`, issuer: stub.issuer, clientId: 'staff-app', clientSecret: 'x'.repeat(20), subject: (c) => `staff:${c.sub}` })
  site.app.use('/staff', idp2.router as Router)
  site.app.get('/whostaff', (req, res) => void res.json(idp2.resolveUser(req) ?? null))
  await signInWith(site, stub, browser)
  const r = await browser.get(`${site.base}/whostaff`)
  say('P5', [r.status, await r.text()])
})

test('P10 fuzz', async () => {
  const bad: unknown[] = []
  const paths = ['?return_to=%', '?return_to=%ff', '?max_age=1&max_age=2', '?max_age=999999999', '?login_hint=%00%0d%0aX:y', '?acr_values=%0d%0a', '?return_to=/%0d%0aX:1', '?return_to=/a/..//evil.example', '?return_to=/%2e%2e//evil.example', '?return_to=/.%5cevil', '?return_to=/%255cevil', '?return_to=/%2fevil', '?return_to=/@evil.example', '?return_to=/;//evil', '?return_to=/..%2f/evil', '?return_to=/%E2%80%AE', '?__proto__=1', '?prompt=none', '?prompt=login%20none', '/callback', '/callback?state=%00', '/callback?state=a&state=b', '/callback?error=access_denied', '/signed-out?state=%00', '/signed-out', '/sign-out', '/../sso', '//', '/callback/', '/backchannel-logout']
  for (const p of paths) {
    const r = await browser.get(`${site.url}${p}`)
    if (r.status >= 500) bad.push([p, r.status])
  }
  const posts = ['', 'a', 'a.b.c', '..', 'e30.e30.e30', 'bnVsbA.bnVsbA.', 'W10.W10.AA', '\u0000.\u0000.\u0000', `${Buffer.from('{"alg":"ES256","kid":{"a":1}}').toString('base64url')}.e30.AA`, `${Buffer.from('{"alg":["ES256"]}').toString('base64url')}.e30.AA`, `${Buffer.from('{"alg":"__proto__"}').toString('base64url')}.e30.AA`, `${Buffer.from('{"alg":"ES256","kid":"one","b64":false}').toString('base64url')}.e30.AA`, `${Buffer.from('{"alg":"ES256","typ":5}').toString('base64url')}.e30.AA`, `${Buffer.from('{"alg":"ES256","jwk":{},"jku":"http://127.0.0.1:1/"}').toString('base64url')}.e30.AA`, `${Buffer.from('{"alg":"ES256","kid":"one"}').toString('base64url')}.e30.${'A'.repeat(86)}`]
  for (const t of posts) {
    const r = await fetch(`${site.url}/backchannel-logout`, { method: 'POST', body: new URLSearchParams({ logout_token: t }) })
    if (r.status >= 500 || r.status < 400) bad.push(['post', t, r.status, await r.text()])
  }
  for (const more of [{ sid: 5 }, { sid: null }, { sid: '' }, { sub: {} }, { sid: 'x', events: [] }, { sid: 'x', events: { [EVENT]: [] } }, { sid: 'x', events: { [EVENT]: null } }, { sid: 'x', iat: 1e308 }, { sid: 'x', iat: -1e308 }, { sid: 'x', exp: 1e308 }, { sid: 'x', iat: '1' }, { sid: 'x', aud: [] }, { sid: 'x', aud: [CLIENT.id, 'other'] }, { sid: 'x', jti: 5 }, { sid: 'x', jti: 'j'.repeat(600) }, { sid: '\ud800' }, { sid: 'x', nonce: null }, { sid: 'x', nonce: undefined, nbf: 1e10 }, { sid: 'x', iss: [stub.issuer] }, { sid: '__proto__' }, { sub: '__proto__' }]) {
    const r = await logout(more)
    bad.push([JSON.stringify(more).slice(0, 60), r.status])
  }
  say('P10', bad)
  say('P10 faults', site.faults().map((f) => String(f.error?.message ?? f.error).slice(0, 120)))
})

test('P4 refusal consumes on cut session', async () => {
  const world = await startWorld({ aat: bound() })
  try {
    for (const issuance of ['rotate']) {
      signedIn(world, sessionOf(world, 's4', 1000))
      const t = await world.signInAndGetTokens()
      say('P4 first', [t.status, t.body.refresh_token_expires_in])
      await world.aat.idpSessions.update({ issuer: IDP, sid: 's4', expiresAt: world.clock.now + 5 })
      world.clock.advance(4.5)
      const refused = await world.refresh(t.body.refresh_token)
      say('P4 refused', [refused.status, refused.text])
      world.clock.advance(100)
      const refused2 = await world.refresh(t.body.refresh_token)
      say('P4 refused2', [refused2.status, refused2.text])
      await world.aat.idpSessions.update({ issuer: IDP, sid: 's4', expiresAt: world.clock.now + 500 })
      const again = await world.refresh(t.body.refresh_token)
      say('P4 after prolonging', [again.status, again.text.slice(0, 120)])
      say('P4 events', world.events.map((e) => e.name).slice(-14))
    }
  } finally { await world.close() }
})

test('P13 AT accepted past S', async () => {
  const world = await startWorld({ aat: bound() })
  try {
    signedIn(world, sessionOf(world, 's13', 50))
    const t = await world.signInAndGetTokens({ scope: 'a' })
    const out: unknown[] = []
    for (const at of [49, 1, 5, 25]) { world.clock.advance(at); out.push([world.clock.now, (await world.call('/api/a', t.body.access_token)).status]) }
    say('P13', [claimsOf(t.body.access_token).exp, out])
  } finally { await world.close() }
})
