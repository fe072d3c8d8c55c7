import { expect } from '@jest/globals'
import { Browser, type World } from '../support/world.ts'

/**
 * The way of a user through an authorization URL that a client made: signs in as alice, decides on the real consent form,
 * and comes back with where the browser was sent. The page is looked at as Chromium would: a form that ends in a redirect
 * must be allowed to by `form-action`.
 */
export async function visit(
  world: Pick<World, 'base'>,
  url: URL,
  {
    browser = new Browser(world.base),
    decision = 'allow',
  }: { browser?: Browser; decision?: 'allow' | 'deny' } = {},
): Promise<{ callback: URL; asked: boolean }> {
  const inside = (target: string) => new URL(target).origin === world.base
  let response = await browser.follow(await browser.get(url.href), inside)
  const asked = response.status === 200
  const policy = response.headers.get('content-security-policy') ?? ''
  if (asked) response = await browser.submitConsent(response, { decision })
  const location = response.headers.get('location')
  if (location === null) throw new Error(`no redirect but ${response.status}: ${await response.text()}`)
  const callback = new URL(location)
  if (asked) {
    const formAction = /form-action ([^;]*)/.exec(policy)?.[1]?.split(' ')
    // An IPv6 address cannot be written as a source (CSP3 §2.3.1), nor a private-use scheme's host: there it is the scheme.
    const isNamed = callback.protocol.startsWith('http') && !callback.hostname.startsWith('[')
    expect(formAction).toContain(isNamed ? callback.origin : callback.protocol)
  }
  return { callback, asked }
}

/** Every member of a JSON answer, however deep: none is `null`, which clients' schemas refuse. */
export function expectNoNull(value: unknown): void {
  expect(JSON.stringify(value)).not.toMatch(/(?:[:[,])null(?=[,\]}])/)
}
