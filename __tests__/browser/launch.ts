import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, type BrowserContextOptions, chromium } from 'playwright-core'

export interface Launched {
  readonly context: BrowserContext
  close(): Promise<void>
}

/**
 * Starts chromium headless with a profile of its own; `close()` also removes the profile.
 * @param options for example `colorScheme`, `viewport`, `javaScriptEnabled`
 */
export async function launchChromium(options: BrowserContextOptions = {}): Promise<Launched> {
  const executablePath = process.env.CHROMIUM
  if (executablePath === undefined) throw new Error('CHROMIUM is not set: run `npm run test:browser`')
  const profile = await mkdtemp(join(tmpdir(), 'express-aat-browser-'))
  const context = await chromium.launchPersistentContext(profile, {
    ...options,
    executablePath,
    headless: true,
    chromiumSandbox: false,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  return {
    context,
    async close() {
      await context.close()
      await rm(profile, { recursive: true, force: true, maxRetries: 3 })
    },
  }
}
