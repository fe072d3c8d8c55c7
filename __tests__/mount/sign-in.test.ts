import { expect, test } from '@jest/globals'
import * as oidc from '../idp/oidc/site.ts'
import * as saml from '../idp/saml/site.ts'

test('oidcSignIn: in, tokens, out', async () => {
  const site = await oidc.startSite()
  try {
    const browser = site.browser()
    const { status, body } = await site.getTokens(browser)
    expect(status).toBe(200)
    const page = await browser.get(`${site.url}/sign-out`)
    expect((await browser.submit(page, {})).headers.get('location')).toMatch(site.provider.issuer)
    expect((await site.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
    expect((await browser.get(`${site.url}/nothing`)).status).toBe(404)
    expect((await site.post(`${site.url}/callback`, {})).status).toBe(405)
  } finally {
    await site.close()
  }
})

test('samlSignIn: in, tokens, out', async () => {
  const site = await saml.startSite()
  try {
    const browser = site.newBrowser()
    const { status, body } = await site.tokens(browser)
    expect(status).toBe(200)
    const out = await site.submit(browser, await browser.get(`${site.url}/sign-out`))
    expect(out.headers.get('location')).toMatch(site.provider.logoutUrl)
    expect((await site.world.refresh(body.refresh_token)).body.error).toBe('invalid_grant')
  } finally {
    await site.close()
  }
})
