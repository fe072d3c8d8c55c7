import { afterAll, beforeAll, expect, jest, test } from '@jest/globals'
import { run } from '../example/run-example.ts'
import { type Launched, launchChromium } from './launch.ts'
import { expectNoSidewaysScroll, expectReadable, screenshot, watch } from './watch.ts'

jest.setTimeout(60_000)

let browser: Launched
beforeAll(async () => {
  browser = await launchChromium({ reducedMotion: 'reduce', viewport: { width: 1280, height: 900 } })
})
afterAll(() => browser.close())

test('the tour before three instances: each step says who answered, and all agree', async () => {
  const demo = run(['example-app/cluster.js'], { PORT: '0' })
  const [, base = ''] = await demo.said(/^(http:\S+) goes to the next of 3 instances[\s\S]*Ctrl-C stops/m)

  const watched = watch(browser.context, [base])
  const page = await browser.context.newPage()
  await page.goto(base)
  await page.getByRole('heading', { name: 'You are looking at 3 instances' }).waitFor()
  await screenshot(page, 'cluster-home')
  await expectReadable(page)
  await page.getByRole('button', { name: 'Run the whole flow' }).click()
  await page.getByRole('button', { name: 'Continue to sign in' }).click()
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('wonderland')
  await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Allow' }).click()
  await page.getByText('All 12 steps done').waitFor()
  await screenshot(page, 'cluster-tour')
  await expectReadable(page)
  await expectNoSidewaysScroll(page)

  const whoAnswered = async (number: number) =>
    (
      await page
        .locator('#steps > li')
        .nth(number - 1)
        .locator('.by')
        .allTextContents()
    ).map((text) => text.replace('from instance ', ''))
  const [issued] = await whoAnswered(5)
  const [refreshed, used] = await whoAnswered(9)
  expect([issued, refreshed, used].sort()).toEqual(['A', 'B', 'C'])
  for (const number of [6, 7]) expect(await whoAnswered(number)).toEqual(['A', 'B', 'C'])
  expect((await whoAnswered(10)).slice(1, 4)).toEqual(['A', 'B', 'C'])
  expect((await whoAnswered(12)).slice(0, 3)).toEqual(['A', 'B', 'C'])
  watched.expectClean()

  demo.child.kill('SIGINT')
  expect(await demo.exit).toMatchObject({ code: 0, err: '' })
})
