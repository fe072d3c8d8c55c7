import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Site, startSite } from '../idp/saml/site.ts'
import { REDIRECT_URI } from '../support/world.ts'
import { type Launched, launchChromium } from './launch.ts'

let site: Site
const launched: Launched[] = []
beforeAll(async () => {
  // To a browser `localhost` is another site than 127.0.0.1, so `SameSite` holds between them.
  site = await startSite({ provider: { host: 'localhost' } })
})
afterAll(async () => {
  await Promise.all(launched.map((one) => one.close()))
  await site.close()
})

test.each([
  ['with JavaScript', true, 'alice', 'wonderland'],
  ['without JavaScript', false, 'bob', 'builder'],
])(
  'the answer of another site finds the session by way of our own page, %s',
  async (_, javaScriptEnabled, name, password) => {
    const chromium = await launchChromium({ javaScriptEnabled })
    launched.push(chromium)
    const page = await chromium.context.newPage()
    // The client is somewhere else; that it is reached is what counts.
    await page.route(`${REDIRECT_URI}**`, (route) => route.fulfill({ body: 'back at the client' }))
    await page.goto(site.world.authorizeUrl({}))
    expect(page.url()).toMatch('http://localhost:')
    await page.fill('[name=username]', name)
    await page.fill('[name=password]', password)
    await page.click('button')
    if (!javaScriptEnabled) {
      await page.click('text=Continue')
      expect(page.url()).toBe(`${site.url}/callback`)
      await page.click('text=Continue')
    }
    await page.click('button[value=allow]')
    await page.waitForURL(`${REDIRECT_URI}**`)

    // Signed in there and known here: the second way asks nothing, through both forms, to the client.
    await chromium.context.clearCookies({ name: 'connect.sid' })
    await page.goto(site.world.authorizeUrl({}))
    if (!javaScriptEnabled) {
      await page.click('text=Continue')
      await page.click('text=Continue')
    }
    await page.waitForURL(`${REDIRECT_URI}**`)

    await page.goto(`${site.url}/sign-out`)
    await page.click('text=Sign out >> nth=-1')
    await page.waitForURL(`${site.world.base}/`)
  },
)
