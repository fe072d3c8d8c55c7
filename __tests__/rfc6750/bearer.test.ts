import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import express from 'express'
import express4 from 'express4'
import { memoryStores, requireAat } from '../../lib/index.ts'
import { DPOP_CHALLENGE } from '../support/dpop.ts'
import { jtiOf } from '../support/forge.ts'
import { requestText, sendRaw, splitResponses } from '../support/wire.ts'
import { headerOf, manualClock, startWorld, type World } from '../support/world.ts'

let world: World
let token: string
/** Runs of handlers behind the guard, by route. */
const runs: Record<string, number> = {}
let release: () => void = () => undefined
let entered: Promise<void>

beforeAll(async () => {
  const clock = manualClock()
  world = await startWorld({
    clock,
    stores: memoryStores({ clock }),
    before: (app) => {
      app.use('/form', express.urlencoded())
    },
    after: (app, aat) => {
      const count =
        (name: string): express.RequestHandler =>
        (_req, res) => {
          runs[name] = (runs[name] ?? 0) + 1
          res.json({ ok: name })
        }
      app.post('/form', requireAat(aat, { scope: 'a' }), count('form'))
      app.get('/api/admin', requireAat(aat, { scope: 'a' }), count('admin'))
      app.use('/api/area', requireAat(aat, { scope: 'a' }))
      app.get('/api/area/admin', count('area'))
      app.use('/api/cors', (req, res, next) => {
        res.setHeader('Access-Control-Allow-Origin', 'https://spa.example')
        if (req.method !== 'OPTIONS') return next()
        res.setHeader('Access-Control-Allow-Headers', 'Authorization')
        res.sendStatus(204)
      })
      app.get('/api/cors', requireAat(aat, { scope: 'a' }), count('cors'))
      let enter: () => void
      entered = new Promise((resolve) => {
        enter = resolve
      })
      app.get('/api/slow', requireAat(aat, { scope: 'a' }), (_req, res) => {
        release = () => void res.json({ ok: 'slow' })
        enter()
      })
    },
  })
  token = (await world.signInAndGetTokens({ scope: 'a b' })).body.access_token
})
afterAll(() => world.close())

const challengeOf = ({ headers }: { headers: Headers }) => headers.get('www-authenticate') ?? ''
const metadataUrl = () => `${world.issuer}/.well-known/oauth-protected-resource/api`

/** Answers to raw Authorization lines. */
async function statusesFor(...lines: string[]): Promise<{ status: number; headers: [string, string][] }> {
  const { host } = new URL(world.base)
  const head = ['GET /api/a HTTP/1.1', `Host: ${host}`, ...lines].join('\r\n')
  const { text } = await sendRaw(
    world.base,
    Buffer.from(`${head}\r\n\r\n`, 'latin1'),
    (answer) => answer.closed || answer.text.includes('\r\n\r\n'),
  )
  const [first] = splitResponses(text)
  return { status: first?.status ?? 0, headers: first?.headers ?? [] }
}

test('BRR-001: without credentials: 401, a challenge with the metadata and no error, and a body that tells nothing', async () => {
  for (const headers of [
    {},
    { Authorization: 'Basic YTpi' },
    { Authorization: 'Negotiate abc' },
    { Authorization: 'Bearers x' },
  ] as Record<string, string>[]) {
    const answer = await world.call('/api/ab', undefined, headers)
    expect(answer.status).toBe(401)
    expect(challengeOf(answer)).toBe(
      `Bearer scope="a b", resource_metadata="${metadataUrl()}", ${DPOP_CHALLENGE}`,
    )
    expect(answer.body).toEqual({ error: 'unauthorized', error_description: 'an access token is required' })
    expect(answer.headers.get('cache-control')).toBe('no-store')
  }
})

test('BRR-002: a bad token: invalid_token, and nothing of the token comes back', async () => {
  for (const bad of ['x', 'CANARY', `${token}CANARY`, 'a.b.CANARY', 'CANARY=="']) {
    const answer = await world.call('/api/a', bad)
    expect(answer.status).toBe(401)
    expect(challengeOf(answer)).toBe(
      `Bearer error="invalid_token", error_description="the access token is malformed, expired, revoked, not for this resource, or its binding to a key does not fit", scope="a", resource_metadata="${metadataUrl()}", ${DPOP_CHALLENGE}`,
    )
    expect(answer.text + challengeOf(answer)).not.toContain('CANARY')
  }
})

test('BRR-002: why a token is refused is the same to the eye, whatever the reason', async () => {
  const other = (
    await world.signInAndGetTokens(
      { scope: 'x', resource: world.otherResource },
      { resource: world.otherResource },
    )
  ).body.access_token
  const answers = [
    await world.call('/api/a', other),
    await world.call('/api/a', `${token.slice(0, -2)}xx`),
    await world.call('/api/a', 'x'),
  ]
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  expect(new Set(answers.map(challengeOf)).size).toBe(1)
})

test('BRR-004: a token in the URL is not used', async () => {
  const answer = await world.call(`/api/a?access_token=${token}`)
  expect(answer.status).toBe(401)
  expect(challengeOf(answer)).not.toContain('error=')
  expect(answer.text + challengeOf(answer)).not.toContain(token)
  expect(JSON.stringify(world.events)).not.toContain(token)
  expect((await world.call('/api/a?access_token=x', token)).status).toBe(200)
})

test('BRR-005: a token in a form is not used', async () => {
  const answer = await world.post(`${world.base}/form`, { access_token: token })
  expect(answer.status).toBe(401)
  expect(runs.form).toBeUndefined()
  expect((await world.post(`${world.base}/form`, {}, { Authorization: `Bearer ${token}` })).status).toBe(200)
})

test('BRR-007: two Authorization headers are refused, whichever is good', async () => {
  const good = `Authorization: Bearer ${token}`
  for (const lines of [
    [good, 'Authorization: Bearer x'],
    ['Authorization: Bearer x', good],
    [good, good],
    [good, 'authorization: Basic YTpi'],
    [good, 'AUTHORIZATION:'],
  ]) {
    const { status, headers } = await statusesFor(...lines)
    expect(status).toBe(400)
    expect(headers.find(([name]) => name === 'www-authenticate')?.[1]).toMatch(
      /^Bearer error="invalid_request"/,
    )
  }
  expect((await statusesFor(good)).status).toBe(200)
})

test('BRR-008: the scheme in any case, one space, one token, nothing else', async () => {
  for (const good of [`bearer ${token}`, `BEARER ${token}`, `bEaReR ${token}`])
    expect((await statusesFor(`Authorization: ${good}`)).status).toBe(200)
  for (const bad of [
    `Bearer  ${token}`,
    `Bearer\t${token}`,
    `Bearer ${token},`,
    `Bearer ${token} x`,
    `Bearer ${token}\t`.trim().concat(' ;'),
    'Bearer',
    'Bearer ',
    `Bearer "${token}"`,
    `Bearer token=${token}`,
    `Bearer,${token}`,
    `Bearer${token}`,
    `Bearer ${token}, Bearer ${token}`,
    token,
  ])
    expect([bad.replace(token, 'T'), (await statusesFor(`Authorization: ${bad}`)).status]).toEqual([
      bad.replace(token, 'T'),
      401,
    ])
})

test('BRR-010: 8-bit bytes, NUL and 300 KiB in the header: an error, and the process stays up', async () => {
  expect((await statusesFor(`Authorization: Bearer ${token}\xe4`)).status).toBe(401)
  expect((await statusesFor('Authorization: Bearer \xff\xfe')).status).toBe(401)
  for (const [bytes, status] of [
    [`${token}\u0000`, 400],
    ['x'.repeat(300 * 1024), 431],
  ] as const) {
    const raw = Buffer.from(
      `GET /api/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${bytes}\r\n\r\n`,
      'latin1',
    )
    expect((await sendRaw(world.base, raw)).text).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  }
  expect((await world.call('/api/a', token)).status).toBe(200)
})

test("BRR-011: HEAD is guarded like GET; a preflight is the app's own and runs no handler", async () => {
  const head = (path: string, headers: Record<string, string> = {}) =>
    fetch(world.base + path, { method: 'HEAD', headers })
  const refused = await head('/api/a')
  expect([refused.status, await refused.text()]).toEqual([401, ''])
  expect(challengeOf(refused)).toContain('resource_metadata=')
  expect((await head('/api/a', { Authorization: `Bearer ${token}` })).status).toBe(200)
  const preflight = {
    method: 'OPTIONS',
    headers: { Origin: 'https://spa.example', 'Access-Control-Request-Method': 'GET' },
  }
  expect((await fetch(`${world.base}/api/cors`, preflight)).status).toBe(204)
  expect((await fetch(`${world.base}/api/area/admin`, preflight)).status).toBe(401)
  expect(
    (await fetch(`${world.base}/api/admin`, preflight)).headers.get('access-control-allow-origin'),
  ).toBeNull()
  expect([runs.cors, runs.area, runs.admin]).toEqual([undefined, undefined, undefined])
})

test('BRR-013: whatever the path looks like, the handler never runs without the guard', async () => {
  const paths: string[] = []
  for (const name of ['/api/admin', '/api/area/admin']) {
    const [, first = '', ...rest] = name.split('/')
    const tail = rest.join('/')
    paths.push(
      name,
      `/${first}/..;/${tail}`,
      `/${first}//${tail}`,
      `//${first}/${tail}`,
      name.toUpperCase(),
      `/${first}/%61${tail.slice(1)}`,
      `${name}/`,
      `${name}//`,
      `/./${first}/${tail}`,
      `/x/../${first}/${tail}`,
      `/${first}/${tail};a=b`,
      `${name}%2f`,
      `/%61pi/${tail}`,
      `${name}?x`,
      `${name}#x`,
      `${name}%00`,
      `/${first}\\${tail}`,
      `${name}/.`,
      `/${first}/${tail}%20`,
      `http://other.example${name}`,
      `/API/Area/%41dmin`,
    )
  }
  for (const path of paths) {
    const before = JSON.stringify(runs)
    await sendRaw(world.base, `GET ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n`)
    expect([path, JSON.stringify(runs)]).toEqual([path, before])
  }
  expect((await world.call('/api/admin', token)).body).toEqual({ ok: 'admin' })
  expect((await world.call('/API/AREA/ADMIN/', token)).body).toEqual({ ok: 'area' })
})

describe('BRR-014: the challenge is built from the configuration', () => {
  test.each([
    ['express 5', express],
    ['express 4', express4],
  ] as const)('BRR-014: in a mounted router of %s, whatever Host and proxies say', async (_, make) => {
    const one = await startWorld({
      express: make as typeof express,
      before: (app) => app.set('trust proxy', true),
      after: (app, aat) => {
        const router = make.Router()
        router.get('/things', requireAat(aat, { scope: 'a' }), (_req, res) => void res.json({ ok: true }))
        app.use('/v1', router)
      },
    })
    try {
      const raw = requestText(
        one.base,
        '/v1/things',
        {
          'X-Forwarded-Host': 'evil.example',
          'X-Forwarded-Proto': 'https',
          Forwarded: 'host=evil.example',
          Connection: 'close',
        },
        '',
        'GET',
      )
      for (const request of [raw, raw.replace(/Host: .*/, 'Host: evil.example')]) {
        const { text } = await sendRaw(one.base, request)
        expect(splitResponses(text)[0]?.status).toBe(401)
        expect(text).toContain(`resource_metadata="${one.issuer}/.well-known/oauth-protected-resource/api"`)
        expect(text).not.toContain('evil')
      }
    } finally {
      await one.close()
    }
  })
})

test('BRR-016, BRR-017: the challenge leads to the metadata of the resource, and that to the issuer', async () => {
  const [, url = ''] = /resource_metadata="([^"]+)"/.exec(challengeOf(await world.call('/other/x'))) ?? []
  expect(url).toBe(`${world.base}/.well-known/oauth-protected-resource/other`)
  const answer = await fetch(url)
  expect(answer.status).toBe(200)
  const metadata = (await answer.json()) as { resource: string; authorization_servers: string[] }
  expect(metadata.resource).toBe(world.otherResource)
  expect(metadata.authorization_servers).toEqual([world.issuer])
})

test('BRR-019: a request that is under way may finish when its token is revoked; the next is refused', async () => {
  const mine = (await world.signInAndGetTokens({ scope: 'a' })).body.access_token
  const underWay = world.call('/api/slow', mine)
  await entered
  await world.aat.revoke({ jti: jtiOf(mine) })
  release()
  expect(await underWay).toMatchObject({ status: 200, body: { ok: 'slow' } })
  expect((await world.call('/api/a', mine)).status).toBe(401)
  expect(headerOf(mine).typ).toBe('at+jwt')
})

test('insufficient scope: 403 with every scope that the route needs, and what was missing is not told apart', async () => {
  const narrow = (await world.signInAndGetTokens({ scope: 'a' }, {}, { scopes: ['a'] })).body.access_token
  const answer = await world.call('/api/ab', narrow)
  expect(answer.status).toBe(403)
  expect(challengeOf(answer)).toBe(
    `Bearer error="insufficient_scope", error_description="the access token does not have the scope that this needs", scope="a b", resource_metadata="${metadataUrl()}"`,
  )
})
