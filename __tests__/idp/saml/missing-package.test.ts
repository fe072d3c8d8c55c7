import { expect, jest, test } from '@jest/globals'

jest.unstable_mockModule('@node-saml/node-saml', () => {
  throw Object.assign(new Error("Cannot find package '@node-saml/node-saml'"), {
    code: 'ERR_MODULE_NOT_FOUND',
  })
})

const { startSite } = await import('./site.ts')

test('without @node-saml/node-saml the first sign-in says what to install', async () => {
  const site = await startSite()
  try {
    const response = await fetch(`${site.url}/`, { redirect: 'manual' })
    expect(response.status).toBe(500)
    expect(site.world.eventsNamed('fault')).toMatchObject([
      { error: { message: 'samlSignIn: needs @node-saml/node-saml 5: npm install @node-saml/node-saml' } },
    ])
  } finally {
    await site.close()
  }
})
