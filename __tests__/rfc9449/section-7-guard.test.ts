import { afterEach, beforeEach, expect, test } from '@jest/globals'
import express from 'express'
import { type Aat, getAat, requireAat, StoreUnavailable } from '../../lib/index.ts'
import { athOf, DPOP_CHALLENGE, type DpopKey, dpopKey } from '../support/dpop.ts'
import { forge } from '../support/forge.ts'
import { recordingStores, verbsOfRequests } from '../support/recording-stores.ts'
import { makeSharedStores, makeStores } from '../support/stores.ts'
import { requestText, sendRaw } from '../support/wire.ts'
import {
  basic,
  CONFIDENTIAL,
  claimsOf,
  type ManualClock,
  manualClock,
  startWorld,
  type World,
  type WorldOptions,
} from '../support/world.ts'

const BASIC = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
const worlds: World[] = []
let clock: ManualClock
let world: World
let key: DpopKey
let token: string
beforeEach(async () => {
  clock = manualClock()
  key = await dpopKey(clock)
  world = await start()
  token = await bound(world)
})
afterEach(async () => {
  for (const one of worlds.splice(0)) await one.close()
})

async function start(options: WorldOptions = {}): Promise<World> {
  const one = await startWorld({ clock, ...options })
  worlds.push(one)
  return one
}

async function tokenOf(one: World, proof?: string, more: Record<string, string> = {}): Promise<string> {
  const headers = { ...BASIC, ...(proof !== undefined && { DPoP: proof }) }
  return (await one.token({ grant_type: 'client_credentials', ...more }, headers)).body.access_token
}
const bound = (one: World, by = key, claims = {}) =>
  tokenOf(one, by.proof('POST', `${one.issuer}/oauth/token`, claims))

interface Presentation {
  by?: DpopKey
  method?: string
  uri?: string
  claims?: Record<string, unknown>
  path?: string
  scheme?: string
  at?: World
  accessToken?: string
}
/** A good request with a bound token, and what is said to be other in it. */
function present({
  by = key,
  method = 'GET',
  claims,
  path = '/api/a',
  at = world,
  ...more
}: Presentation = {}) {
  const { scheme = 'DPoP', accessToken = token, uri = at.base + path } = more
  const proof = by.proof(method, uri, { ath: athOf(accessToken), ...claims })
  return at.call(path, undefined, { Authorization: `${scheme} ${accessToken}`, DPoP: proof })
}

const challengeOf = ({ headers }: { headers: Headers }) => headers.get('www-authenticate') ?? ''

test('a bound token with its proof is good, in whatever case the scheme is written', async () => {
  const { status, body } = await present()
  expect([status, body.subject]).toEqual([200, 'client:confidential'])
  expect(body.claims.cnf).toEqual({ jkt: key.jkt })
  for (const scheme of ['dpop', 'DPOP']) expect((await present({ scheme })).status).toBe(200)
  expect((await present({ uri: `${world.base}/api/a?x=1#y` })).status).toBe(200)
  expect((await present({ path: '/api/a?x=1', uri: `${world.base}/api/a` })).status).toBe(200)
})

test('CLM-017: a bound token without a proof is refused, as Bearer too, and DPoP is offered', async () => {
  const asBearer = await world.call('/api/a', token)
  expect([asBearer.status, asBearer.body.error]).toEqual([401, 'invalid_token'])
  expect(challengeOf(asBearer)).toMatch(/^Bearer error="invalid_token"/)
  expect(challengeOf(asBearer).endsWith(`, ${DPOP_CHALLENGE}`)).toBe(true)
  expect((await present({ scheme: 'Bearer' })).body.error).toBe('invalid_token')
  const without = await world.call('/api/a', undefined, { Authorization: `DPoP ${token}` })
  expect([without.status, without.body.error]).toEqual([401, 'invalid_dpop_proof'])
  expect(challengeOf(without)).toMatch(/^DPoP error="invalid_dpop_proof", .*algs="ES256 /)
  expect(challengeOf(without)).toContain('resource_metadata="')
})

test('a bearer token in the DPoP scheme is refused, with a proof and without', async () => {
  const accessToken = await tokenOf(world)
  expect((await world.call('/api/a', accessToken)).status).toBe(200)
  const answer = await present({ accessToken })
  expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
  expect(challengeOf(answer)).toMatch(/^DPoP error="invalid_token"/)
  const bare = await world.call('/api/a', undefined, { Authorization: `DPoP ${accessToken}` })
  expect(bare.body.error).toBe('invalid_token')
})

test('DPO-010: ath that is missing, wrong, of another token or no text', async () => {
  const other = await bound(world)
  for (const ath of [
    undefined,
    '',
    'x',
    athOf(other),
    athOf(`${token} `),
    athOf(token).slice(1),
    1,
    [athOf(token)],
  ]) {
    const { status, body } = await present({ claims: { ath } })
    expect([ath, status, body.error]).toEqual([ath, 401, 'invalid_dpop_proof'])
  }
  expect(world.eventsNamed('dpop_proof.refused').at(-1)).toMatchObject({
    at: 'resource',
    clientId: CONFIDENTIAL.id,
    reason: 'ath is not of this access token',
  })
})

test('another key than the token is bound to: invalid_token', async () => {
  const { status, body } = await present({ by: await dpopKey(clock) })
  expect([status, body.error]).toEqual([401, 'invalid_token'])
  expect((await present()).status).toBe(200)
})

test('another method, another address, another time', async () => {
  for (const wrong of [
    { method: 'POST' },
    { method: 'HEAD' },
    { uri: `${world.base}/api/ab` },
    { uri: `${world.base}/api/a/` },
    { uri: `${world.base}/api/api/a/` },
    { uri: 'https://evil.example/api/a' },
    { uri: `${world.issuer}/oauth/token` },
    { claims: { iat: clock() - 60 } },
    { claims: { iat: clock() + 31 } },
  ]) {
    const { status, body } = await present(wrong)
    expect([wrong, status, body.error]).toEqual([wrong, 401, 'invalid_dpop_proof'])
  }
})

test('DPO-004: Host and the headers of proxies have no say in the address', async () => {
  const proof = key.proof('GET', 'http://evil.example/api/a', { ath: athOf(token) })
  const headers = { Authorization: `DPoP ${token}`, DPoP: proof, 'X-Forwarded-Host': 'evil.example' }
  const text = requestText(world.base, '/api/a', headers, '', 'GET').replace(
    /Host: [^\r]*/,
    'Host: evil.example',
  )
  const answer = await sendRaw(world.base, text, ({ statuses }) => statuses.length > 0)
  expect(answer.statuses).toEqual([401])
  const absolute = requestText(
    world.base,
    'http://evil.example/api/a',
    { ...headers, DPoP: key.proof('GET', 'http://evil.example/api/a', { ath: athOf(token) }) },
    '',
    'GET',
  )
  const other = await sendRaw(world.base, absolute, ({ statuses }) => statuses.length > 0)
  expect(other.statuses).toEqual([401])
})

test('DPO-011: two DPoP headers', async () => {
  const two = [1, 2].map(() => key.proof('GET', `${world.base}/api/a`, { ath: athOf(token) }))
  const headers = { Authorization: `DPoP ${token}`, DPoP: two[0] ?? '', dpop: two[1] ?? '' }
  const text = requestText(world.base, '/api/a', headers, '', 'GET')
  const answer = await sendRaw(world.base, text, ({ statuses }) => statuses.length > 0)
  expect(answer.statuses).toEqual([401])
  expect(answer.text).toContain('invalid_dpop_proof')
})

test('DPO-002: a proof works once: again, at another instance, and fifty at once', async () => {
  const stores = await makeSharedStores(clock)
  const one = await start({ stores: stores() })
  const two = await start({ stores: stores(), issuer: one.issuer })
  token = await bound(one)
  const once = () => {
    const proof = key.proof('GET', `${one.base}/api/a`, { ath: athOf(token) })
    return (at: World) => at.call('/api/a', undefined, { Authorization: `DPoP ${token}`, DPoP: proof })
  }
  const send = once()
  expect((await send(one)).status).toBe(200)
  for (const instance of [one, two]) {
    const again = await send(instance)
    expect([again.status, again.body.error]).toEqual([401, 'invalid_dpop_proof'])
  }
  const another = once()
  const answers = await Promise.all(Array.from({ length: 50 }, (_, index) => another(index % 2 ? one : two)))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
})

test('what is refused for another reason leaves the proof good', async () => {
  const claims = { jti: 'used for two requests' }
  const accessToken = await tokenOf(world, key.proof('POST', `${world.issuer}/oauth/token`), { scope: 'b' })
  expect((await present({ accessToken, claims })).body.error).toBe('insufficient_scope')
  expect((await present({ claims })).status).toBe(200)
  expect((await present({ claims })).status).toBe(401)
})

test('a bound token asks the store once a request, a bearer token never; with local replays nobody does', async () => {
  const { stores, calls } = recordingStores(await makeStores(clock))
  const shared = await start({ stores })
  const bearer = await tokenOf(shared)
  token = await bound(shared)
  calls.length = 0
  expect((await shared.call('/api/a', bearer)).status).toBe(200)
  expect(verbsOfRequests(calls)).toEqual([])
  expect((await present({ at: shared })).status).toBe(200)
  expect(verbsOfRequests(calls)).toEqual(['replays.claim'])

  const recorded = recordingStores(await makeStores(clock))
  const local = await start({ stores: recorded.stores, aat: { dpop: { replays: 'local' } } })
  token = await bound(local)
  recorded.calls.length = 0
  const claims = { jti: 'once' }
  expect((await present({ at: local, claims })).status).toBe(200)
  expect((await present({ at: local, claims })).body.error).toBe('invalid_dpop_proof')
  expect(verbsOfRequests(recorded.calls)).toEqual([])
})

test('DPO-017: where replays cannot be told: 503 for bound tokens, and bearer tokens go on', async () => {
  const stores = await makeStores(clock)
  let isAway = false
  const claim: typeof stores.replays.claim = async (...claimed) => {
    if (isAway) throw new StoreUnavailable('away')
    return stores.replays.claim(...claimed)
  }
  const at = await start({ stores: { ...stores, replays: { claim } } })
  const bearer = await tokenOf(at)
  token = await bound(at)
  isAway = true
  const answer = await present({ at })
  expect([answer.status, answer.body.error]).toEqual([503, 'temporarily_unavailable'])
  expect(answer.headers.get('retry-after')).toBeTruthy()
  expect((await at.call('/api/a', bearer)).status).toBe(200)
  isAway = false
  expect((await present({ at })).status).toBe(200)
})

test('an opaque access token is bound like any other', async () => {
  const at = await start({
    aat: (base) => ({
      resources: { [`${base}/api`]: { scopes: ['a'], defaultScopes: ['a'], accessTokenFormat: 'opaque' } },
    }),
    routes: false,
    after: (app, aat) => app.get('/api/a', requireAat(aat), (req, res) => void res.json(getAat(req).claims)),
  })
  token = (
    await at.token(
      { grant_type: 'client_credentials', resource: `${at.base}/api` },
      { ...BASIC, DPoP: key.proof('POST', `${at.issuer}/oauth/token`) },
    )
  ).body.access_token
  expect(token).toMatch(/^aat_at_/)
  const { status, body } = await present({ at })
  expect([status, body.cnf]).toEqual([200, { jkt: key.jkt }])
  expect((await at.call('/api/a', token)).body.error).toBe('invalid_token')
  expect((await present({ at, by: await dpopKey(clock) })).body.error).toBe('invalid_token')
})

test('a use of a token whose uses are limited is counted for a good proof only', async () => {
  const { jti } = claimsOf(token)
  await world.aat.denyList.add({ jti: String(jti), maxUses: 1 })
  expect((await present({ by: await dpopKey(clock) })).status).toBe(401)
  expect((await present({ uri: 'https://evil.example/' })).status).toBe(401)
  expect((await present()).status).toBe(200)
  expect((await present()).body.error).toBe('invalid_token')
})

test("dpop: 'require' takes bound tokens only, and offers nothing else", async () => {
  const strict = await start({
    after: (app, aat: Aat) => {
      const guard = requireAat(aat, { scope: 'a', dpop: 'require', resource: `${aat.issuer}/api` })
      app.get('/api/strict', guard, (req, res) => void res.json(getAat(req).subject))
    },
  })
  token = await bound(strict)
  expect((await present({ at: strict, path: '/api/strict' })).status).toBe(200)
  const none = await strict.call('/api/strict')
  expect([none.status, none.body.error]).toEqual([401, 'unauthorized'])
  expect(challengeOf(none)).toMatch(/^DPoP scope="a", resource_metadata=".*", algs="/)
  for (const bearer of [await tokenOf(strict), token]) {
    const answer = await strict.call('/api/strict', bearer)
    expect([answer.status, answer.body.error]).toEqual([401, 'invalid_token'])
    expect(challengeOf(answer)).toMatch(/^DPoP error="invalid_token"/)
  }
})

test('a server that issues bound tokens only takes no other, but where a route says so', async () => {
  const stores = await makeSharedStores(clock)
  const before = await start({ stores: stores() })
  const strict = await start({
    stores: stores(),
    issuer: before.issuer,
    aat: { dpop: { required: true } },
    after: (app, aat) => {
      const guard = requireAat(aat, { scope: 'a', dpop: 'accept' })
      app.get('/api/lax', guard, (req, res) => void res.json(getAat(req).subject))
    },
  })
  const bearer = await tokenOf(before)
  const refused = await strict.call('/api/a', bearer)
  expect([refused.status, refused.body.error]).toEqual([401, 'invalid_token'])
  expect(challengeOf(refused)).toMatch(/^DPoP /)
  expect((await strict.call('/api/lax', bearer)).status).toBe(200)
  token = await bound(strict)
  expect((await present({ at: strict, uri: `${before.base}/api/a` })).status).toBe(200)
})

test('section 9: nonces at the guard, from the token endpoint or from another instance', async () => {
  const stores = await makeSharedStores(clock)
  const aat = { dpop: { nonces: 'required' as const } }
  const one = await start({ stores: stores(), aat })
  const two = await start({ stores: stores(), aat, issuer: one.issuer })
  const asked = await one.token(
    { grant_type: 'client_credentials' },
    { ...BASIC, DPoP: key.proof('POST', `${one.issuer}/oauth/token`) },
  )
  const nonce = asked.headers.get('dpop-nonce') ?? ''
  token = await bound(one, key, { nonce })
  const uri = `${one.base}/api/a`
  for (const at of [one, two]) {
    const without = await present({ at, uri })
    expect([without.status, without.body.error]).toEqual([401, 'use_dpop_nonce'])
    expect(challengeOf(without)).toMatch(/^DPoP error="use_dpop_nonce"/)
    expect(without.headers.get('dpop-nonce')).toBe(nonce)
    const good = await present({ at, uri, claims: { nonce } })
    expect([good.status, good.headers.get('dpop-nonce')]).toEqual([200, nonce])
  }
  expect((await one.call('/api/a')).headers.has('dpop-nonce')).toBe(false)
})

test('behind a mount, and behind a proxy that takes a part of the path', async () => {
  const inner = express.Router()
  const app = express()
  const site = await start({
    aat: (base) => ({ resources: { [`${base}/v1/api`]: { scopes: ['a'], defaultScopes: ['a'] } } }),
    routes: false,
    after: (outer, aat) => {
      inner.get('/things/:id', requireAat(aat), (req, res) => void res.json(getAat(req).subject))
      app.use('/api', inner)
      outer.use('/v1', app)
      outer.use('/api', inner)
      outer.use('/stripped', inner)
    },
  })
  token = (
    await site.token(
      { grant_type: 'client_credentials', resource: `${site.base}/v1/api` },
      { ...BASIC, DPoP: key.proof('POST', `${site.issuer}/oauth/token`) },
    )
  ).body.access_token
  const uri = `${site.base}/v1/api/things/1`
  expect((await present({ at: site, path: '/v1/api/things/1' })).status).toBe(200)
  expect((await present({ at: site, path: '/api/things/1', uri })).status).toBe(200)
  expect((await present({ at: site, path: '/api/things/2', uri })).status).toBe(401)
  expect(
    (await present({ at: site, path: '/v1/api/things/1', uri: `${site.base}/v2/api/things/1` })).status,
  ).toBe(401)
})

test('malformed credentials in the DPoP scheme', async () => {
  for (const value of ['DPoP', 'DPoP ', 'DPoP,x', 'DPoP x y', `DPoP ${'x'.repeat(9000)}`, `DPoP  ${token}`]) {
    const { status, body } = await world.call('/api/a', undefined, { Authorization: value })
    expect([value.slice(0, 20), status, body.error]).toEqual([value.slice(0, 20), 401, 'invalid_token'])
  }
  const jws = forge({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk }, 'no JSON', 'ES256', key.privateKey)
  for (const DPoP of ['', 'x', jws, 'x'.repeat(10_000)]) {
    const { status, body } = await world.call('/api/a', undefined, { Authorization: `DPoP ${token}`, DPoP })
    expect([status, body.error]).toEqual([401, 'invalid_dpop_proof'])
  }
})

test('resource metadata tells that proofs are understood', async () => {
  const { body } = await world.call('/.well-known/oauth-protected-resource/api')
  expect(body.dpop_signing_alg_values_supported).toContain('ES256')
  expect(body).not.toHaveProperty('dpop_bound_access_tokens_required')
  const strict = await start({ aat: { dpop: { required: true } } })
  const { body: stricter } = await strict.call('/.well-known/oauth-protected-resource/api')
  expect(stricter.dpop_bound_access_tokens_required).toBe(true)
})
