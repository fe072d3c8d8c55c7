import { expect, test } from '@jest/globals'
import { Browser, startWorld } from '../support/world.ts'

// Alice allows `a b` at /api, and later `x` at /other. Nobody ever asked her for `a` at /other.
test('remembered consent does not grant a scope at a resource at which the user never allowed it', async () => {
  const world = await startWorld()
  try {
    const browser = new Browser(world.base)
    await world.authorize({ resource: world.resource, scope: 'a b' }, { browser })
    await world.authorize({ resource: world.otherResource, scope: 'x' }, { browser })
    const response = await browser.get(
      world.authorizeUrl({ resource: world.otherResource, scope: 'a', prompt: 'none' }),
    )
    const location = new URL(response.headers.get('location') ?? 'error:none')
    expect({ error: location.searchParams.get('error'), code: location.searchParams.has('code') }).toEqual({
      error: 'consent_required',
      code: false,
    })
  } finally {
    await world.close()
  }
})

test('aat.revoke({ grantId }) of a grant without a refresh token makes the client ask again', async () => {
  const world = await startWorld({
    aat: () => ({
      clients: [
        {
          clientId: 'confidential',
          clientSecret: 'a-secret-of-the-test-suite-0123456789',
          redirectUris: ['https://client.example/cb'],
          grantTypes: ['authorization_code'],
        },
      ],
    }),
  })
  try {
    const browser = new Browser(world.base)
    const { body } = await world.signInAndGetTokens({}, {}, { browser })
    const { grant_id } = JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url').toString())
    await world.aat.revoke({ grantId: grant_id })
    const response = await browser.get(world.authorizeUrl({ prompt: 'none' }))
    expect(new URL(response.headers.get('location') ?? 'error:none').searchParams.get('error')).toBe(
      'consent_required',
    )
  } finally {
    await world.close()
  }
})

test('aat.revoke({ subject }) forgets what the user allowed: a client does not get back in silently', async () => {
  const world = await startWorld()
  try {
    const browser = new Browser(world.base)
    await world.signInAndGetTokens({}, {}, { browser })
    await world.aat.revoke({ subject: 'alice' })
    world.clock.advance(2)
    const response = await browser.get(world.authorizeUrl({ prompt: 'none' }))
    expect(new URL(response.headers.get('location') ?? 'error:none').searchParams.get('error')).toBe(
      'consent_required',
    )
  } finally {
    await world.close()
  }
})
