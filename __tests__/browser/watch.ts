import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from '@jest/globals'
import type { BrowserContext, Page } from 'playwright-core'

const folder = join(import.meta.dirname, '../../.tmp/screenshots')

/**
 * Writes down what a page must not do: errors in the console (violations of its Content-Security-Policy are some), scripts
 * that throw, and requests to anywhere but the given origins.
 */
export function watch(context: BrowserContext, origins: string[]) {
  const faults: string[] = []
  let requests = 0
  context.on('request', (request) => {
    requests++
    if (!origins.includes(new URL(request.url()).origin)) faults.push(`request to ${request.url()}`)
  })
  context.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return
    // Chromium logs each refusal that a script asked for; the tour shows them, and tests look at them there.
    if (/^Failed to load resource: the server responded with a status of 40[013] /.test(message.text()))
      return
    faults.push(`console: ${message.text()}`)
  })
  context.on('weberror', (error) => faults.push(`thrown: ${error.error().message}`))
  return {
    faults,
    expectClean() {
      expect(requests).toBeGreaterThan(0)
      expect(faults).toEqual([])
    },
  }
}

/** For people to look at: `.tmp/screenshots/<name>.png`, the whole page. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
}

/** Nothing on the page is wider than the page. */
export async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const [content, window] = await page.evaluate<number[]>(
    '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
  )
  expect(content).toBeLessThanOrEqual(window ?? 0)
}

/** Every text stands out from what is behind it: WCAG 2 AA, 4.5 to 1, and 3 to 1 where it is large. */
export async function expectReadable(page: Page): Promise<void> {
  const { seen, faint } = await page.evaluate<{ seen: number; faint: string[] }>(`(() => {
    const parse = (text) => {
      const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number)
      return { r, g, b, a }
    }
    const luminance = ({ r, g, b }) => {
      const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
      return 0.2126 * x + 0.7152 * y + 0.0722 * z
    }
    const behind = (element) => {
      for (let node = element; node; node = node.parentElement) {
        const color = parse(getComputedStyle(node).backgroundColor)
        if (color.a === 1) return color
        if (color.a !== 0) throw new Error('a half-transparent background')
      }
      return parse(matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(18, 18, 18)' : 'rgb(255, 255, 255)')
    }
    const faint = []
    let seen = 0
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement
      if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue
      if (['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(element.tagName)) continue
      const style = getComputedStyle(element)
      const [light, dark] = [luminance(parse(style.color)), luminance(behind(element))].sort((a, b) => b - a)
      const ratio = (light + 0.05) / (dark + 0.05)
      const size = parseFloat(style.fontSize)
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
      seen++
      if (ratio < (large ? 3 : 4.5)) faint.push(walker.currentNode.data.trim().slice(0, 40) + ': ' + ratio.toFixed(2))
    }
    return { seen, faint }
  })()`)
  expect(seen).toBeGreaterThan(3)
  expect(faint).toEqual([])
}
