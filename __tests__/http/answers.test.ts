import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { basic, CONFIDENTIAL, RESOURCE_SERVER, startWorld, type World } from '../support/world.ts'

let world: World
beforeAll(async () => {
  world = await startWorld({ aat: { corsOrigins: ['https://spa.example', 'http://localhost:5173'] } })
})
afterAll(() => world.close())

const json = ['token', 'revoke', 'introspect', 'register']
const corsHeaders = (headers: Headers) =>
  [...headers.keys()].filter((name) => name.startsWith('access-control'))

describe('CORS', () => {
  test('HTP-001, HTP-004: exact origins of the configuration, never null, never with credentials', async () => {
    for (const name of json) {
      for (const origin of ['https://spa.example', 'http://localhost:5173']) {
        const { headers } = await world.post(world.endpoint(name), { x: '1' }, { Origin: origin })
        expect(headers.get('access-control-allow-origin')).toBe(origin)
        expect(headers.get('access-control-allow-credentials')).toBeNull()
        expect(headers.get('vary')).toContain('Origin')
      }
      for (const origin of [
        'null',
        'https://evil.example',
        'https://spa.example.evil',
        'https://evil-spa.example',
        'http://spa.example',
        'https://spa.example:8443',
        'https://SPA.example',
        'https://spa.example/',
        '',
        '*',
      ]) {
        const { headers } = await world.post(world.endpoint(name), { x: '1' }, { Origin: origin })
        expect([origin, corsHeaders(headers)]).toEqual([origin, []])
        expect(headers.get('vary')).toContain('Origin')
      }
    }
  })

  test('HTP-002: preflights', async () => {
    for (const name of json) {
      const preflight = (origin: string, method = 'POST') =>
        fetch(world.endpoint(name), {
          method: 'OPTIONS',
          headers: {
            Origin: origin,
            'Access-Control-Request-Method': method,
            'Access-Control-Request-Headers': 'x-evil',
          },
        })
      const good = await preflight('https://spa.example')
      expect([good.status, await good.text()]).toEqual([204, ''])
      expect(good.headers.get('vary')).toContain('Origin')
      expect(good.headers.get('access-control-allow-methods')).toBe('POST, OPTIONS')
      expect(good.headers.get('access-control-allow-headers')).toBe(
        `Authorization, Content-Type${name === 'token' ? ', DPoP' : ''}`,
      )
      const evil = await preflight('https://evil.example')
      expect([evil.status, corsHeaders(evil.headers)]).toEqual([204, []])
    }
  })

  test('HTP-001: * is any origin but null, still without credentials; by default nobody', async () => {
    const open = await startWorld({ aat: { corsOrigins: '*' } })
    const shut = await startWorld()
    try {
      const ask = async (where: World, origin: string) =>
        (await where.post(where.endpoint('token'), {}, { Origin: origin })).headers
      expect((await ask(open, 'https://any.example')).get('access-control-allow-origin')).toBe('*')
      expect((await ask(open, 'https://any.example')).get('access-control-allow-credentials')).toBeNull()
      expect(corsHeaders(await ask(open, 'null'))).toEqual([])
      expect(corsHeaders(await ask(shut, 'https://any.example'))).toEqual([])
    } finally {
      await open.close()
      await shut.close()
    }
  })
})

describe('caches', () => {
  test('HTP-005: no-store on every answer of every endpoint', async () => {
    const { body } = await world.signInAndGetTokens({ scope: 'a' })
    const client = basic(CONFIDENTIAL.id, CONFIDENTIAL.secret)
    const server = basic(RESOURCE_SERVER.id, RESOURCE_SERVER.secret)
    const answers: [string, number, Headers][] = []
    const add = async (name: string, answer: Promise<{ status: number; headers: Headers }>) => {
      const { status, headers } = await answer
      answers.push([name, status, headers])
    }
    await add('refresh', world.refresh(body.refresh_token))
    await add('client_credentials', world.token({ grant_type: 'client_credentials' }))
    await add('introspect', world.post(world.endpoint('introspect'), { token: body.access_token }, server))
    await add('introspect nothing', world.post(world.endpoint('introspect'), { token: 'x' }, server))
    await add('revoke', world.post(world.endpoint('revoke'), { token: body.access_token }, client))
    await add('register', world.register({ redirect_uris: ['https://a.example/cb'] }))
    expect(answers.map(([, status]) => status)).toEqual([200, 200, 200, 200, 200, 201])
    for (const name of json) {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE'])
        await add(`${method} ${name}`, fetch(world.endpoint(name), { method }))
      await add(`bad ${name}`, world.post(world.endpoint(name), { x: 'y' }))
      await add(`conditional ${name}`, world.post(world.endpoint(name), { x: 'y' }, { 'If-None-Match': '*' }))
      await add(`wrong type ${name}`, fetch(world.endpoint(name), { method: 'POST', body: 'x' }))
      await add(
        `huge ${name}`,
        fetch(world.endpoint(name), {
          method: 'POST',
          body: 'x'.repeat(70_000),
          headers: {
            'Content-Type': name === 'register' ? 'application/json' : 'application/x-www-form-urlencoded',
          },
        }),
      )
      await add(`below ${name}`, fetch(`${world.endpoint(name)}/x.css`))
    }
    await add('authorize', fetch(world.authorizeUrl({}), { redirect: 'manual' }))
    await add('HEAD authorize', fetch(world.authorizeUrl({}), { redirect: 'manual', method: 'HEAD' }))
    await add('authorize error', fetch(world.authorizeUrl({ scope: 'nope' }), { redirect: 'manual' }))
    await add('authorize page', fetch(world.authorizeUrl({ client_id: 'nope' })))
    await add('guard', world.call('/api/a'))
    await add('guard bad', world.call('/api/a', 'x'))
    for (const [name, status, headers] of answers) {
      expect([name, status, headers.get('cache-control'), headers.get('etag')]).toEqual([
        name,
        status,
        'no-store',
        null,
      ])
      expect([name, status]).not.toEqual([name, 304])
    }
  })

  test('HTP-007: nothing lives below an endpoint', async () => {
    for (const name of json)
      for (const path of ['/x.css', '/a.js', '/x', '/%2e%2e%2fx', '/..%2fx', ';/x.css'])
        for (const method of ['GET', 'POST'])
          expect([name, path, (await fetch(world.endpoint(name) + path, { method })).status]).toEqual([
            name,
            path,
            404,
          ])
  })
})

test('HTP-011: nothing of a request is in a page', async () => {
  const evil = '"><script>alert(1)</script>'
  for (const parameters of [
    { client_id: evil },
    { redirect_uri: `https://evil.example/${evil}` },
    { client_id: 'nope', state: evil, error: evil, error_description: evil },
  ] as Record<string, string>[]) {
    const response = await fetch(world.authorizeUrl(parameters))
    const text = await response.text()
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(text).not.toMatch(/<script|alert\(1\)|evil\.example/)
  }
})

test('HTP-023: too many and too large headers are refused, and the server goes on', async () => {
  const { port } = new URL(world.base)
  const send = (head: string) =>
    new Promise<string>((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () => socket.end(head))
      let text = ''
      socket.on('data', (data) => {
        text += data
      })
      socket.on('error', () => undefined)
      socket.on('close', () => resolve(text))
    })
  const many = Array.from({ length: 2000 }, (_, index) => `X-${index}: 1\r\n`).join('')
  for (const headers of [
    many,
    `X: ${'x'.repeat(17_000)}\r\n`,
    `Authorization: Basic ${'A'.repeat(17_000)}\r\n`,
  ])
    expect(
      await send(`POST /oauth/token HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: 0\r\n\r\n`),
    ).toMatch(/^HTTP\/1\.1 4(31|00) /)
  expect((await world.token({ grant_type: 'client_credentials' })).status).toBe(200)
})
