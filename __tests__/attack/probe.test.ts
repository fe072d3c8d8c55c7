import { createPublicKey, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { connect } from 'node:net'
import { expect, test } from '@jest/globals'
import { problemOfClientJwks } from '../../lib/clients/client-jwks.ts'
import { memoryStores } from '../../lib/index.ts'
import { judgeRedirectUri, matchesRedirectUri, redirectHost, withParameters } from '../../lib/protocol/redirect-uri.ts'
import { basic, Browser, manualClock, pkce, startWorld } from '../support/world.ts'

const out: string[] = []
const log = (...p: unknown[]) => out.push(p.map((x) => (typeof x === 'string' ? x : JSON.stringify(x))).join(' '))
import { writeFileSync } from 'node:fs'
const flush = (n: string) => writeFileSync(`/tmp/probe-${n}.txt`, out.splice(0).join('\n'))

test('raw', async () => {
  const w = await startWorld({
    after: (app) =>
      app.use(((e: any, _q: any, s: any, _n: any) => { s.statusCode = 599; s.end(String(e?.stack)) }) as never),
  })
  const port = Number(new URL(w.base).port)
  const raw = (t: string) =>
    new Promise<string>((r) => {
      const s = connect(port, '127.0.0.1'); let d = ''
      s.on('data', (x) => (d += x)); s.on('close', () => r(d)); s.on('error', () => r(d)); s.write(t)
      setTimeout(() => s.destroy(), 500)
    })
  for (const p of ['//', 'http://[', 'http://[/', '///oauth/token', '/oauth/authorize?%', '/oauth/authorize?a=%ff', '//oauth/authorize', '/oauth/authorize/%', '/oauth/token/..%2f', 'http://[::1/oauth/token', '*', '/.well-known/oauth-authorization-server?%E0', '/oauth/authorize/consent?request=%00', '//[oauth', '/%c0%ae', '/oauth/authorize?client_id=public&client_id=public', 'http://a:b@c:99999/oauth/authorize', '/oauth/authorize/consent', '/api/a'])
    for (const m of ['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'TRACE']) {
      const a = await raw(`${m} ${p} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
      const st = a.split('\r\n')[0] ?? ''
      if (/ 5\d\d/.test(st) || st === '') log(m, p, st, a.slice(-300))
    }
  log('faults', w.eventsNamed('fault').length)
  await w.close()
  flush('raw')
}, 120_000)

test('fuzz', () => {
  const frag = ['https:', 'http:', '//', '/', '\\', 'a.example', 'evil.com', 'localhost', '127.0.0.1', '[::1]', '@', ':', '80', '443', '?', '&', '=', '.', '..', '%2e', '%2f', '%5c', '%00', '%0a', ';', '#', 'x', 'A', '0x7f.1', '127.1', 'com.app', 'com.app:', '//user', 'javascript', '\t', '\n', ' ', '%20', '*', 'code', 'state', 'iss=', 'xn--', 'é', '(', ')', '!', '$', ',', '%63ode=', '+code=']
  const odd = new Map<string, string[]>()
  let n = 0
  const add = (k: string, v: string) => { const l = odd.get(k) ?? []; if (l.length < 6) l.push(v); odd.set(k, l) }
  const rnd = (k: number) => Math.floor(Math.random() * k)
  for (let i = 0; i < 1_500_000; i++) {
    let u = ['https://', 'http://', 'com.app:', 'https://a.example/', 'http://127.0.0.1'][rnd(5)]!
    for (let j = rnd(7); j >= 0; j--) u += frag[rnd(frag.length)]
    let r
    try { r = judgeRedirectUri(u) } catch { add('throws', u); continue }
    if ('problem' in r) continue
    n++
    const url = new URL(u)
    if (r.kind === 'loopback' && !['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)) add('loopback-host', u)
    if (r.kind === 'https' && !/^[a-z0-9.-]+$|^\[/.test(url.hostname)) add('odd-https-host', u)
    if (r.kind === 'https' && url.href !== u) add('https-not-canonical', u)
    try { redirectHost(u) } catch { add('redirectHost throws', u) }
    try {
      const w = withParameters(u, { code: 'c', state: 's', iss: 'i' })
      const p = new URL(w)
      if (p.host !== url.host || p.pathname !== url.pathname) add('changed', u)
      if (p.searchParams.getAll('code').length !== 1 || p.searchParams.getAll('iss').length !== 1) add('param', u)
    } catch { add('bad-with', u) }
    if (u !== 'http://127.0.0.1:3000/cb' && matchesRedirectUri('http://127.0.0.1:3000/cb', u, false) && (url.hostname !== '127.0.0.1' || url.pathname !== '/cb' || url.search)) add('match', u)
  }
  log(n, [...odd]); flush('fuzz')
}, 120_000)

test('rsa', () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 3072 })
  const j: any = publicKey.export({ format: 'jwk' })
  const e = randomBytes(383); e[382]! |= 1; e[0]! |= 0x80
  for (const [n, k] of [['normal', j], ['big e', { ...j, e: e.toString('base64url') }]] as const) {
    log(n, problemOfClientJwks({ keys: [k] }) ?? 'accepted')
    const key = createPublicKey({ key: k as any, format: 'jwk' })
    const s = randomBytes(384); s[0] = 0
    const t = performance.now()
    for (let i = 0; i < 20; i++) verify('sha256', Buffer.from('x'), key, s)
    log((performance.now() - t) / 20, 'ms')
  }
  flush('rsa')
})

test('quad', async () => {
  const clock = manualClock(); const stores = memoryStores({ clock }); const w = await startWorld({ clock, stores })
  const { body } = await w.signInAndGetTokens()
  const one = () => w.post(w.endpoint('revoke'), { token: body.refresh_token }, basic('confidential', 'a-secret-of-the-test-suite-0123456789'))
  const lap = async (l: string) => { const t = performance.now(); for (let i = 0; i < 50; i++) await one(); log(l, (performance.now() - t) / 50, 'ms/request', (await stores.revocations.since(0)).entries.length) }
  await lap('start')
  await w.aat.close() // no listener, only to fill quickly what 60,000 such requests would leave
  for (let i = 0; i < 60_000; i++) await stores.revocations.append({ kind: 'grant', id: 'g', until: clock() + 420 })
  await w.close()
  const w2 = await startWorld({ clock, stores, issuer: w.issuer })
  const t = performance.now(); for (let i = 0; i < 50; i++) await w2.post(w2.endpoint('revoke'), { token: body.refresh_token }, basic('confidential', 'a-secret-of-the-test-suite-0123456789'))
  log('after 60k', (performance.now() - t) / 50)
  await w2.close()
  flush('quad')
}, 60_000)

test('first-party public client on a private-use scheme is not answered silently', async () => {
  const w = await startWorld({ aat: { clients: [{ clientId: 'app', redirectUris: ['com.shop.app:/cb'], firstParty: true }] } })
  const b = new Browser(w.base)
  await b.get(`${w.base}/sign-in?return_to=/`)
  const r = await b.get(w.authorizeUrl({ client_id: 'app', redirect_uri: 'com.shop.app:/cb', code_challenge: pkce().challenge, prompt: 'none' }))
  log(r.status, r.headers.get('location') ?? ''); 
  await w.close(); flush('first')
  expect(1).toBe(1)
})

test('cross-site POST replaces browser cookie', async () => {
  const w = await startWorld()
  const b = new Browser(w.base)
  let r = await b.get(w.authorizeUrl({ client_id: 'public' }))
  const before = b.cookies.get('aat_browser')
  const ev = await fetch(w.endpoint('authorize'), { method: 'POST', redirect: 'manual', body: new URLSearchParams({ client_id: 'public', redirect_uri: 'https://client.example/cb', response_type: 'code', code_challenge: pkce().challenge, code_challenge_method: 'S256' }) })
  log(r.status, before ?? '', ev.status, ev.headers.get('set-cookie') ?? '')
  await w.close(); flush('cookie')
})

test('smuggle bodies', async () => {
  const { default: express } = await import('express')
  const w = await startWorld({ before: (app) => { app.use(express.urlencoded({ extended: true })); app.use(express.json()) } })
  const p = async (body: string) => { const r = await fetch(w.endpoint('token'), { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...basic('confidential', 'a-secret-of-the-test-suite-0123456789') }, body }); log(body.slice(0, 60), r.status, (await r.text()).slice(0, 90)) }
  await p('grant_type=client_credentials&scope=a')
  await p('grant_type[]=client_credentials&scope=a')
  await p('grant_type=client_credentials&scope=a&__proto__[client_id]=x&constructor[prototype][x]=1')
  await p('grant_type=client_credentials&scope=a&toString=1&hasOwnProperty=2')
  await p('grant_type=client_credentials&grant_type[x]=1&scope=a')
  await p('grant_type=client_credentials&scope[]=a&scope[]=b')
  await p('grant_type[0]=client_credentials&grant_type[1]=client_credentials&scope=a')
  await p('grant_type.x=1')
  await p(`${'a[b]'.repeat(1)}=1&`.repeat(2000))
  const d = await fetch(w.endpoint('register'), { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"__proto__":{"grant_types":["client_credentials"]},"redirect_uris":["https://a.example/cb"]}' })
  log(d.status, await d.text())
  await w.close(); flush('smuggle')
})
