import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { type Shop, startShop } from '../example/start-shop.ts'
import { type Launched, launchChromium } from './launch.ts'
import { expectNoSidewaysScroll, expectReadable, screenshot, watch } from './watch.ts'

jest.setTimeout(60_000)

let shop: Shop
let client: Server
let redirectUri: string
let clientId: string
beforeAll(async () => {
  shop = await startShop()
  client = createServer((_req, res) => {
    res
      .setHeader('Content-Type', 'text/html; charset=utf-8')
      .end('<!doctype html><title>Back</title>Back at the client')
  })
  await new Promise<void>((resolve) => client.listen(0, '127.0.0.1', resolve))
  redirectUri = `http://127.0.0.1:${(client.address() as AddressInfo).port}/callback`
  clientId = await shop.register(
    redirectUri,
    'A notebook with a rather long name that has to be wrapped somewhere',
  )
})
afterAll(async () => {
  client.closeAllConnections()
  client.close()
  await shop.close()
})

const requestUrl = (parameters: Record<string, string> = {}) =>
  shop.authorizeUrl({
    client_id: clientId,
    redirect_uri: redirectUri,
    scope: 'orders:read orders:write',
    resource: `${shop.base}/mcp`,
    ...parameters,
  })

async function signIn(page: Page): Promise<void> {
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('wonderland')
  await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
}

async function toConsent(page: Page): Promise<void> {
  await page.goto(requestUrl())
  if (await page.getByLabel('User name').isVisible()) await signIn(page)
  await page.getByRole('button', { name: 'Allow' }).waitFor()
}

/** What the client got, in the browser's address bar. */
function answerOf(page: Page): Record<string, string> {
  const url = new URL(page.url())
  expect(url.origin + url.pathname).toBe(redirectUri)
  return Object.fromEntries(url.searchParams)
}

const watched = (browser: Launched) => watch(browser.context, [shop.base, new URL(redirectUri).origin])

const looks = [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['phone', { colorScheme: 'light', viewport: { width: 320, height: 640 }, isMobile: true, hasTouch: true }],
  [
    'phone-dark',
    { colorScheme: 'dark', viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  ],
] as const

test.each(looks)('%s: readable, names who asks and what for, and allows', async (look, options) => {
  const browser = await launchChromium(options)
  try {
    const seen = watched(browser)
    const page = await browser.context.newPage()
    await toConsent(page)
    await screenshot(page, `consent-${look}`)
    await expectReadable(page)
    await expectNoSidewaysScroll(page)
    const text = await page.getByRole('main').textContent()
    for (const words of [
      'A notebook with a rather long name',
      'Alice',
      'this device',
      'Teapot & Co. (MCP)',
      'See your orders',
      'Place orders in your name',
    ])
      expect(text).toContain(words)
    for (const button of await page.getByRole('button').all())
      expect((await button.boundingBox())?.height).toBeGreaterThanOrEqual(44)
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('Back at the client').waitFor()
    expect(answerOf(page)).toEqual({ code: expect.any(String), state: 'the-state', iss: shop.base })

    await page.goto(requestUrl({ redirect_uri: 'http://127.0.0.1/elsewhere' }))
    await page.getByRole('heading', { name: 'This sign-in cannot go on' }).waitFor()
    await screenshot(page, `error-${look}`)
    await expectReadable(page)
    await expectNoSidewaysScroll(page)
    seen.expectClean()
  } finally {
    await browser.close()
  }
})

describe('with the keyboard alone', () => {
  test('sign in, leave a scope out, allow', async () => {
    const browser = await launchChromium()
    try {
      const seen = watched(browser)
      const page = await browser.context.newPage()
      const focused = () =>
        page.evaluate<string>('document.activeElement.value || document.activeElement.textContent')
      await page.goto(requestUrl())
      await page.locator('#username:focus').waitFor()
      await page.keyboard.type('alice')
      await page.keyboard.press('Tab')
      await page.keyboard.type('wonderland')
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Allow' }).waitFor()
      const order: string[] = []
      for (let count = 0; count < 4; count++) {
        await page.keyboard.press('Tab')
        order.push(await focused())
        const outline = await page.evaluate<string>('getComputedStyle(document.activeElement).outlineStyle')
        expect(outline).toBe('solid')
        if (order.at(-1) === 'orders:write') await page.keyboard.press('Space')
        if (order.at(-1) === 'allow') await screenshot(page, 'consent-keyboard')
      }
      expect(order).toEqual(['orders:read', 'orders:write', 'allow', 'deny'])
      await page.keyboard.press('Shift+Tab')
      const [granted] = await Promise.all([
        new Promise<string>((resolve) => shop.aat.on('authorization.granted', ({ scope }) => resolve(scope))),
        page.keyboard.press('Enter'),
      ])
      expect(granted).toBe('orders:read')
      await page.getByText('Back at the client').waitFor()
      expect(answerOf(page).code).toEqual(expect.any(String))
      seen.expectClean()
    } finally {
      await browser.close()
    }
  })
})

describe('without JavaScript', () => {
  let browser: Launched
  beforeAll(async () => {
    browser = await launchChromium({ javaScriptEnabled: false })
  })
  afterAll(() => browser.close())

  test('allow', async () => {
    const seen = watched(browser)
    const page = await browser.context.newPage()
    await toConsent(page)
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('Back at the client').waitFor()
    expect(answerOf(page).code).toEqual(expect.any(String))
    seen.expectClean()
  })

  test('deny', async () => {
    const seen = watched(browser)
    const page = await browser.context.newPage()
    await toConsent(page)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('Back at the client').waitFor()
    expect(answerOf(page)).toEqual({
      error: 'access_denied',
      error_description: expect.any(String),
      state: 'the-state',
      iss: shop.base,
    })
    seen.expectClean()
  })

  test('a wrong password, and the home page without its tour', async () => {
    const seen = watched(browser)
    const page = await browser.context.newPage()
    await page.goto(`${shop.base}/sign-in`)
    await page.getByLabel('User name').fill('alice')
    await page.getByLabel('Password').fill('wrong')
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('alert').waitFor()
    expect(await page.getByLabel('User name').inputValue()).toBe('alice')
    await screenshot(page, 'sign-in-refused')
    await page.goto(shop.base)
    expect(await page.getByText('The tour needs JavaScript').isVisible()).toBe(true)
    expect(await page.getByRole('button', { name: 'Run the whole flow' }).isVisible()).toBe(false)
    await screenshot(page, 'home-without-javascript')
    seen.expectClean()
  })
})

test('going back and sending the form again: a page that says it is over', async () => {
  const browser = await launchChromium()
  try {
    const page = await browser.context.newPage()
    await toConsent(page)
    const consentUrl = page.url()
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('Back at the client').waitFor()
    await page.goto(consentUrl)
    await page.getByText('This sign-in is over').waitFor()
    expect(new URL(page.url()).origin).toBe(shop.base)
  } finally {
    await browser.close()
  }
})

test('signing in where the consent is remembered ends at the client, through one chain of redirects', async () => {
  const { body: confidential } = await shop.call('POST', '/oauth/register', undefined, {
    client_name: 'A program with a secret',
    redirect_uris: [redirectUri],
    application_type: 'native',
  })
  const browser = await launchChromium()
  try {
    const seen = watched(browser)
    const page = await browser.context.newPage()
    await page.goto(requestUrl({ client_id: confidential.client_id }))
    await signIn(page)
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('Back at the client').waitFor()
    // Chromium checks the sign-in page's form-action at each of these redirects.
    await page.goto(requestUrl({ client_id: confidential.client_id, prompt: 'login' }))
    await signIn(page)
    await page.getByText('Back at the client').waitFor()
    expect(answerOf(page).code).toEqual(expect.any(String))
    seen.expectClean()
  } finally {
    await browser.close()
  }
})
