import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import type { Page } from 'playwright-core'
import { type Shop, startShop } from '../example/start-shop.ts'
import { type Launched, launchChromium } from './launch.ts'
import { expectNoSidewaysScroll, expectReadable, screenshot, watch } from './watch.ts'

jest.setTimeout(60_000)

const STEPS = 12
let shop: Shop
beforeAll(async () => {
  shop = await startShop()
})
afterAll(() => shop.close())

const states = (page: Page) =>
  page.locator('#steps > li').evaluateAll((items) => items.map((item) => item.getAttribute('data-state')))
const step = (page: Page, number: number) => page.locator('#steps > li').nth(number - 1)

async function toSignIn(page: Page): Promise<void> {
  await page.goto(shop.base)
  await page.getByRole('button', { name: 'Run the whole flow' }).click()
  await page.getByRole('button', { name: 'Continue to sign in' }).click()
}

async function signIn(page: Page): Promise<void> {
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('wonderland')
  await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
}

const looks = [
  ['light', { colorScheme: 'light', viewport: { width: 1280, height: 900 } }],
  ['dark', { colorScheme: 'dark', viewport: { width: 1280, height: 900 } }],
  ['phone', { colorScheme: 'light', viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true }],
] as const

describe.each(looks)('the tour, %s', (look, options) => {
  let browser: Launched
  beforeAll(async () => {
    browser = await launchChromium({ ...options, reducedMotion: 'reduce' })
  })
  afterAll(() => browser.close())

  test('runs from the first request to the refused token, and every step is as it should be', async () => {
    const watched = watch(browser.context, [shop.base])
    const page = await browser.context.newPage()
    await page.goto(shop.base)
    await page.getByRole('button', { name: 'Run the whole flow' }).waitFor()
    await screenshot(page, `home-${look}`)
    await expectReadable(page)
    await expectNoSidewaysScroll(page)

    await page.getByRole('button', { name: 'Copy' }).first().click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()

    await page.getByRole('button', { name: 'Run the whole flow' }).click()
    const go = page.getByRole('button', { name: 'Continue to sign in' })
    await go.waitFor()
    expect(await states(page)).toEqual([
      'done',
      'done',
      'done',
      'asking',
      ...Array(STEPS - 4).fill('waiting'),
    ])
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Continue to sign in')
    await screenshot(page, `tour-asking-${look}`)
    await expectReadable(page)
    await go.click()

    await page.getByRole('heading', { name: 'Sign in' }).waitFor()
    await screenshot(page, `sign-in-${look}`)
    await expectReadable(page)
    await expectNoSidewaysScroll(page)
    await signIn(page)

    await page.getByRole('button', { name: 'Allow' }).waitFor()
    await screenshot(page, `tour-consent-${look}`)
    await page.getByRole('button', { name: 'Allow' }).click()

    await page.getByText('All 12 steps done').waitFor()
    expect(await states(page)).toEqual(Array(STEPS).fill('done'))
    expect(page.url()).toBe(`${shop.base}/`)
    expect(await page.getByRole('status').textContent()).toContain('All 12 steps done')
    await screenshot(page, `tour-done-${look}`)
    await expectReadable(page)
    await expectNoSidewaysScroll(page)

    // What the steps are about, as a reader sees it.
    const codes = await page.locator('#steps .code').allTextContents()
    expect(codes).toEqual(
      [401, 200, 200, 201, 303, 200, 200, 403, 200, 200, 200, 200, 400, 401, 400].map(String),
    )
    expect(await step(page, 6).textContent()).toContain('at+jwt')
    expect(await step(page, 6).textContent()).toContain(`${shop.base}/api`)
    expect(await step(page, 8).textContent()).toContain('scope="orders:write"')
    const [before, after] = await step(page, 10).locator('.claims dd:nth-of-type(1)').allTextContents()
    expect(before).toMatch(/^[\w-]{43}$/)
    expect(after).toMatch(/^[\w-]{43}$/)
    expect(after).not.toBe(before)
    expect(await step(page, 11).textContent()).toContain('invalid_grant')
    expect(await page.content()).not.toMatch(/eyJ[\w-]+\.eyJ|aat_rt_[\w-]{30}/)
    watched.expectClean()

    // A reload shows the same; starting over forgets it.
    await page.reload()
    await page.getByText('All 12 steps done').waitFor()
    await page.getByRole('button', { name: 'Start over' }).click()
    expect(await states(page)).toEqual(Array(STEPS).fill('waiting'))
    expect(await page.evaluate('sessionStorage.length')).toBe(0)
    await page.close()
  })
})

describe('the tour', () => {
  let browser: Launched
  beforeAll(async () => {
    browser = await launchChromium({ reducedMotion: 'reduce' })
  })
  afterAll(() => browser.close())

  test('runs a second time, signed in already: the consent page at once', async () => {
    const page = await browser.context.newPage()
    await toSignIn(page)
    await signIn(page)
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('All 12 steps done').waitFor()
    await page.getByRole('button', { name: 'Run it again' }).click()
    await page.getByRole('button', { name: 'Continue to sign in' }).click()
    await page.getByRole('button', { name: 'Allow' }).click()
    await page.getByText('All 12 steps done').waitFor()
    expect(await states(page)).toEqual(Array(STEPS).fill('done'))
    await page.close()
  })

  test('the user says no: the step says so, and nothing goes on', async () => {
    const page = await browser.context.newPage()
    await page.goto(shop.base)
    await page.getByRole('button', { name: /^Run/ }).click()
    await page.getByRole('button', { name: 'Continue to sign in' }).click()
    await page
      .getByRole('button', { name: /Allow|Sign in/ })
      .last()
      .waitFor()
    if (await page.getByLabel('User name').isVisible()) await signIn(page)
    await page.getByRole('button', { name: 'Cancel' }).click()
    await page.getByText('You said no, and the app got nothing.').first().waitFor()
    expect(await states(page)).toEqual([
      'done',
      'done',
      'done',
      'failed',
      ...Array(STEPS - 4).fill('waiting'),
    ])
    await screenshot(page, 'tour-denied')
    await expectReadable(page)
    await page.getByRole('button', { name: 'Run the whole flow' }).waitFor()
    await page.close()
  })

  test('an answer that belongs to another request is refused', async () => {
    const page = await browser.context.newPage()
    await page.goto(shop.base)
    await page.getByRole('button', { name: /^Run/ }).click()
    await page.getByRole('button', { name: 'Continue to sign in' }).waitFor()
    await page.goto(`${shop.base}/?code=of-somebody&state=of-somebody&iss=${encodeURIComponent(shop.base)}`)
    await page.getByText('The answer belongs to another request').first().waitFor()
    expect((await states(page))[3]).toBe('failed')
    await page.close()
  })

  test('the products page', async () => {
    const watched = watch(browser.context, [shop.base])
    const page = await browser.context.newPage()
    await page.goto(`${shop.base}/products`)
    await page.getByRole('button', { name: 'Order Teapot, short and stout' }).click()
    if (await page.getByLabel('User name').isVisible()) await signIn(page)
    await page.getByText('Sign out').waitFor()
    await screenshot(page, 'products')
    await expectReadable(page)
    watched.expectClean()
    await page.close()
  })
})
