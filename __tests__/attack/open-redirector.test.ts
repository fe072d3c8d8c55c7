import { expect, test } from '@jest/globals'
import { Browser, startWorld } from '../support/world.ts'

// RFC 9700 section 4.11.2, SECURITY.md: "users are asked before an error goes to a stranger's client".
test("acr_values that no user can meet do not send a user to a stranger's site without a click", async () => {
  const world = await startWorld()
  try {
    const { body: client } = await world.register({
      redirect_uris: ['https://evil.example/phish'],
      token_endpoint_auth_method: 'none',
    })
    const browser = new Browser(world.base)
    await browser.get(`${world.base}/sign-in?as=alice&return_to=/`)
    const response = await browser.follow(
      await browser.get(
        world.authorizeUrl({
          client_id: client.client_id,
          redirect_uri: 'https://evil.example/phish',
          acr_values: 'no-such-class',
        }),
      ),
      (url) => url.startsWith(world.base),
    )
    expect(response.headers.get('location') ?? 'a page').toBe('a page')
  } finally {
    await world.close()
  }
})

test('a redirect URI whose query ends in a question mark still gets its code parameter', async () => {
  const { withParameters } = await import('../../lib/protocol/redirect-uri.ts')
  const url = new URL(withParameters('https://client.example/cb?next=?', { code: 'c' }))
  expect(url.searchParams.get('code')).toBe('c')
})

// RFC 8252 section 8.6; next-step.ts's isIdentified says the same, but stands behind the first-party rule.
test('a first-party public client on a private-use scheme gets no code without the user', async () => {
  const world = await startWorld({
    aat: { clients: [{ clientId: 'app', redirectUris: ['com.shop.app:/cb'], firstParty: true }] },
  })
  try {
    const browser = new Browser(world.base)
    await browser.get(`${world.base}/sign-in?as=alice&return_to=/`)
    const response = await browser.get(
      world.authorizeUrl({ client_id: 'app', redirect_uri: 'com.shop.app:/cb', prompt: 'none' }),
    )
    expect(new URL(response.headers.get('location') ?? 'error:none').searchParams.has('code')).toBe(false)
  } finally {
    await world.close()
  }
})
