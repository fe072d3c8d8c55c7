import { expect } from '@jest/globals'
import { Browser, type World } from '../support/world.ts'

/** A page that the user sees: nothing is sent anywhere, nothing is kept by caches, nothing can frame it. */
export async function expectPage(response: Response, status = 400): Promise<string> {
  const text = await response.text()
  expect({ status: response.status, location: response.headers.get('location') }).toEqual({
    status,
    location: null,
  })
  expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('referrer-policy')).toBe('no-referrer')
  expect(response.headers.get('x-frame-options')).toBe('DENY')
  expect(response.headers.get('x-content-type-options')).toBe('nosniff')
  const csp = response.headers.get('content-security-policy') ?? ''
  expect(csp).toContain("default-src 'none'")
  expect(csp).toContain("frame-ancestors 'none'")
  expect(csp).toContain("base-uri 'none'")
  expect(csp).not.toMatch(/unsafe|script-src|\*/)
  expect(text).not.toMatch(/<script|<img|<link|<iframe|\son[a-z]+=|\ssrc=/i)
  return text
}

/** The parameters of a redirect to the client, each there once. */
export function expectRedirect(response: Response, redirectUri: string): Record<string, string> {
  const location = response.headers.get('location') ?? ''
  expect({ status: response.status, location }).toEqual({
    status: 303,
    location: expect.stringMatching(/^[\x21-\x7e]+$/),
  })
  expect(location.slice(0, redirectUri.length)).toBe(redirectUri)
  expect(location).not.toContain('#')
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(response.headers.get('referrer-policy')).toBe('no-referrer')
  const parameters = new URLSearchParams(location.slice(location.indexOf('?') + 1))
  const names = [...parameters.keys()]
  expect(new Set(names).size).toBe(names.length)
  return Object.fromEntries(parameters)
}

export async function signedIn(world: World, as = 'alice'): Promise<Browser> {
  const browser = new Browser(world.base)
  await browser.get(`${world.base}/sign-in?as=${as}&return_to=/`)
  return browser
}

/** A client that anybody could have registered. */
export async function stranger(
  world: World,
  metadata: Record<string, unknown> = {},
): Promise<{ id: string; redirectUri: string }> {
  const redirectUri = 'https://stranger.example/cb'
  const { status, body } = await world.register({
    redirect_uris: [redirectUri],
    token_endpoint_auth_method: 'none',
    ...metadata,
  })
  expect(status).toBe(201)
  return { id: body.client_id, redirectUri: body.redirect_uris[0] }
}
