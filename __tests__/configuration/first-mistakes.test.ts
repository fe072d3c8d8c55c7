import { afterEach, describe, expect, jest, test } from '@jest/globals'
import express from 'express'
import request from 'supertest'
import { authorizeEndpoint, createAat, remoteIssuer, requireAat, tokenEndpoint } from '../../lib/index.ts'

/** What a newcomer gets wrong first, and what is said about it. */
const issuer = 'https://shop.example.com'
const resources = { [`${issuer}/api`]: { scopes: ['orders:read', 'orders:write'] } }

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})
function anAat(options: object = {}) {
  const aat = createAat({ issuer, resources, ...options })
  open.push(aat)
  return aat
}

test('a guard for a scope that its resource does not have is refused, with the nearest one', () => {
  expect(() => requireAat(anAat(), { scope: 'orders:raed' })).toThrow(
    /scope "orders:raed" is none of https:\/\/shop\.example\.com\/api; did you mean orders:read\?/,
  )
  const remote = remoteIssuer(issuer, { resources })
  expect(() => requireAat(remote, { scope: ['orders:read', 'write'] })).toThrow(/scope "write" is none of/)
})

test('a guard that could be for several resources says which it may name, and where a default is set', () => {
  const several = { [`${issuer}/api`]: { scopes: ['a'] }, [`${issuer}/admin`]: { scopes: ['a'] } }
  for (const source of [anAat({ resources: several }), remoteIssuer(issuer, { resources: several })])
    expect(() => requireAat(source, { scope: 'a' })).toThrow(
      `name one here, or set defaultResource where the resources are configured: ${issuer}/api, ${issuer}/admin`,
    )
})

test('secrets of an environment variable that is not set: a warning, which the app can listen to', async () => {
  const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const warningsOf = async (options: object) => {
    const warnings: string[] = []
    const written = warn.mock.calls.length
    anAat(options).on('configuration.warning', ({ message }) => warnings.push(message))
    await Promise.resolve()
    const lines = warn.mock.calls.slice(written).map(([line]) => line)
    expect(lines).toEqual(warnings.map((message) => `express-aat: ${message}`))
    return warnings
  }
  try {
    for (const secrets of [[undefined], [undefined, undefined]])
      expect(await warningsOf({ secrets })).toEqual([
        expect.stringMatching(
          /^secrets holds only undefined .* Set a random secret of at least 32 characters/,
        ),
      ])
    for (const options of [
      {},
      { secrets: [] },
      { secrets: [undefined, 's'.repeat(40)] },
      { secrets: [undefined], allowInProduction: ['generated-secret'] },
    ])
      expect(await warningsOf(options)).toEqual([])
  } finally {
    warn.mockRestore()
  }
})

test('the spelling that is advised for an issuer is accepted', () => {
  expect(() => anAat({ issuer: 'https://SHOP.example.com' })).toThrow(
    /issuer must be in its canonical spelling, "https:\/\/shop\.example\.com"/,
  )
  expect(() => anAat({ issuer: `${issuer}/?x=1` })).toThrow(/issuer must not have a query or fragment/)
  expect(() => anAat({ issuer: 'https://shop.example.com' })).not.toThrow()
})

test('a resource with a trailing slash is refused: clients would ask for another one', () => {
  expect(() => anAat({ resources: { [`${issuer}/api/`]: { scopes: ['a'] } } })).toThrow(
    /without a trailing slash/,
  )
})

test('a sign-in page that is relative to the authorization endpoint is refused', () => {
  for (const signInUrl of ['sign-in', '//evil.example/sign-in'])
    expect(() => authorizeEndpoint(anAat(), { signInUrl, resolveUser: () => undefined })).toThrow(
      /signInUrl must be a path like \/sign-in, a URL, or a function/,
    )
})

describe('mounted elsewhere', () => {
  async function warningsOf(options: object, path: string): Promise<unknown[]> {
    const warnings: unknown[] = []
    const aat = anAat(options)
    aat.on('configuration.warning', ({ message }) => warnings.push(message))
    const app = express().use(path, tokenEndpoint(aat))
    await request(app).post(path).type('form').send({ grant_type: 'x' })
    return warnings
  }

  test('a shorter path that ends alike is told', async () => {
    expect(await warningsOf({}, '/token')).toHaveLength(1)
  })

  test('the published path is not, nor where a proxy strips the path of the issuer', async () => {
    expect(await warningsOf({}, '/oauth/token')).toEqual([])
    expect(await warningsOf({ issuer: `${issuer}/auth` }, '/auth/oauth/token')).toEqual([])
    expect(await warningsOf({ issuer: `${issuer}/auth` }, '/oauth/token')).toEqual([])
  })
})

test('milliseconds for authTime: a warning that says what to do, where nobody listens to faults', async () => {
  const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined)
  const aat = createAat({
    issuer,
    resources,
    clients: [{ clientId: 'app', redirectUris: ['https://app.example/cb'] }],
  })
  open.push(aat)
  const app = express().use(
    '/oauth/authorize',
    authorizeEndpoint(aat, {
      signInUrl: '/sign-in',
      resolveUser: () => ({ subject: 'alice', authTime: Date.now() }),
    }),
  )
  try {
    const { status } = await request(app).get('/oauth/authorize').query({
      client_id: 'app',
      response_type: 'code',
      scope: 'orders:read',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
    })
    expect(status).toBe(303)
    expect(warn.mock.calls.map(([message]) => String(message)).join('\n')).toMatch(
      /resolveUser: authTime must be seconds since the epoch.*divide by 1000/,
    )
  } finally {
    warn.mockRestore()
  }
})
