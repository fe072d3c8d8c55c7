import { afterAll, beforeAll, expect, jest, test } from '@jest/globals'
import { aDocument, CALLBACK, CLIENT_ID, type Site, startSite } from '../client-metadata-documents/site.ts'
import { HOST } from '../support/strangers-host.ts'
import { launchChromium } from './launch.ts'
import { expectNoSidewaysScroll, expectReadable, screenshot, watch } from './watch.ts'

jest.setTimeout(60_000)

const ELSEWHERE = 'https://elsewhere.example/callback'
const LOOPBACK = 'http://127.0.0.1:33418/callback'
let site: Site
beforeAll(async () => {
  site = await startSite({ after: (app) => app.get('/favicon.ico', (_req, res) => res.status(204).end()) })
  site.host.answerJson(aDocument({ redirect_uris: [CALLBACK, ELSEWHERE, LOOPBACK] }))
})
afterAll(() => site.close())

test.each([
  ['light', { colorScheme: 'light' }],
  [
    'phone-dark',
    { colorScheme: 'dark', viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true },
  ],
] as const)(
  '%s: the consent page of a client by its document says who publishes it and where it leads',
  async (look, options) => {
    const browser = await launchChromium(options)
    try {
      const seen = watch(browser.context, [site.world.base])
      const page = await browser.context.newPage()
      await page.goto(`${site.world.base}/sign-in?as=alice&return_to=/.well-known/oauth-authorization-server`)
      for (const [name, redirectUri, words] of [
        ['own', CALLBACK, 'Allow it only if you know that address'],
        ['elsewhere', ELSEWHERE, 'would send you to another place, elsewhere.example'],
        ['loopback', LOOPBACK, 'any program could pass for it'],
      ] as const) {
        await page.goto(site.world.authorizeUrl({ client_id: CLIENT_ID, redirect_uri: redirectUri }))
        await page.getByRole('button', { name: 'Allow' }).waitFor()
        await screenshot(page, `document-client-${name}-${look}`)
        await expectReadable(page)
        await expectNoSidewaysScroll(page)
        const note = await page.getByRole('note').textContent()
        expect(note).toContain(HOST)
        expect(note).toContain(words)
      }
      seen.expectClean()
    } finally {
      await browser.close()
    }
  },
)
