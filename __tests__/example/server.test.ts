import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, jest, test } from '@jest/globals'
import { server } from './run-example.ts'

jest.setTimeout(60_000)

test.each(['SIGTERM', 'SIGINT'] as const)(
  'prints its URL, serves, and exits with 0 on %s',
  async (signal) => {
    const { child, exit, url } = server({ PORT: '0' })
    const base = await url
    expect(base).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const metadata = await (await fetch(`${base}/.well-known/oauth-authorization-server`)).json()
    expect(metadata).toMatchObject({ issuer: base, registration_endpoint: `${base}/oauth/register` })
    expect((await fetch(`${base}/products`)).status).toBe(200)
    child.kill(signal)
    expect(await exit).toEqual({ code: 0, signal: null, out: `Listening on ${base}\n`, err: '' })
  },
)

test('probes: alive, and ready by the health of express-aat', async () => {
  const base = await server({ PORT: '0' }).url
  const [live, ready] = await Promise.all([fetch(`${base}/live`), fetch(`${base}/ready`)])
  expect([live.status, ready.status]).toEqual([200, 200])
  expect(await ready.json()).toMatchObject({ ready: true, problems: [], keys: { canSign: true } })
})

test.each(['oidc', 'saml'])('IDP=%s: a real provider beside it, where users sign in', async (IDP) => {
  const { child, exit, url } = server({ PORT: '0', IDP })
  const base = await url
  const begun = await fetch(`${base}/sign-in?return_to=/products`, { redirect: 'manual' })
  expect(begun.status).toBe(303)
  const provider = new URL(begun.headers.get('location') ?? '')
  expect(provider.hostname).toBe('127.0.0.1')
  expect(provider.origin).not.toBe(base)
  // It knows the shop: one shows its page, the other leads to it.
  expect((await fetch(provider, { redirect: 'manual' })).status).toBe(IDP === 'oidc' ? 303 : 200)
  child.kill('SIGTERM')
  const { code, out } = await exit
  expect(code).toBe(0)
  expect(out).toContain(
    `Identity provider (${IDP === 'oidc' ? 'OpenID Connect' : 'SAML 2.0'}) on ${provider.origin}\n`,
  )
})

test('takes issuer and secret from the environment', async () => {
  const { url } = server({ PORT: '0', ISSUER: 'https://shop.example.com/', AAT_SECRET: 'a'.repeat(40) })
  const metadata = await (await fetch(`${await url}/.well-known/oauth-authorization-server`)).json()
  expect(metadata).toMatchObject({ issuer: 'https://shop.example.com' })
})

test.each([
  [
    'a Redis that is not there',
    { REDIS_URL: 'redis://127.0.0.1:1' },
    /\nRedis (?:cannot be reached|did not answer within 500 ms) \(ECONNREFUSED\).*\n$/,
  ],
  ['an address of Redis that is none', { REDIS_CLUSTER: 'a:b:c' }, /^The address of Redis .*\n$/],
  ['a short AAT_SECRET', { AAT_SECRET: 'short' }, /secrets\[0\].*32/],
  ['an ISSUER with a path', { ISSUER: 'https://shop.example.com/auth' }, /^ISSUER must be .*\n$/],
  ['an IDP that is none', { IDP: 'ldap' }, /^IDP must be oidc or saml/],
  ['a PORT that is none', { PORT: 'http' }, /^PORT must be .*\n$/],
  ['production on in-memory stores', { NODE_ENV: 'production' }, /memory-stores/],
])('refuses %s with 1 and the reason', async (_, settings, reason) => {
  const { code, out, err } = await server({ PORT: '0', ...settings }).exit
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(err).toMatch(reason)
  expect(err).not.toMatch(/\n\s+at /)
})

test('a port that is taken is a clear line', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  try {
    const { code, err } = await server({ PORT: String((other.address() as AddressInfo).port) }).exit
    expect(code).toBe(1)
    expect(err).toMatch(/EADDRINUSE/)
    expect(err).not.toMatch(/\n\s+at /)
  } finally {
    other.close()
  }
})
