import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, jest, test } from '@jest/globals'

jest.setTimeout(60_000)

const root = join(import.meta.dirname, '../..')
const children = new Set<ChildProcess>()

function run(script: string[], settings: Record<string, string> = {}) {
  const { PATH = '' } = process.env
  const child = spawn(process.execPath, script, { cwd: root, env: { PATH, ...settings }, stdio: 'pipe' })
  children.add(child)
  const output = { out: '', err: '' }
  child.stdout.on('data', (chunk) => {
    output.out += chunk
  })
  child.stderr.on('data', (chunk) => {
    output.err += chunk
  })
  const exit = once(child, 'exit').then(([code, signal]) => ({ code, signal, ...output }))
  /** The URL that the server prints. */
  const url = (async () => {
    for await (const _ of child.stdout) {
      const match = /^Listening on (http:\/\/\S+)/m.exec(output.out)
      if (match?.[1] !== undefined) return match[1]
    }
    throw new Error(`no URL, but: ${output.out}${output.err}`)
  })()
  url.catch(() => undefined)
  return { child, exit, url }
}

const server = (settings?: Record<string, string>) => run(['example-app/server.js'], settings)

// The example imports the package by its own exports, so it runs on what was built.
beforeAll(async () => {
  if (existsSync(join(root, 'dist/index.js'))) return
  const { code, out, err } = await run(['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json']).exit
  if (code !== 0) throw new Error(`the build failed:\n${out}${err}`)
}, 120_000)

afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})

test.each(['SIGTERM', 'SIGINT'] as const)(
  'prints its URL, serves, and exits with 0 on %s',
  async (signal) => {
    const { child, exit, url } = server({ PORT: '0' })
    const base = await url
    expect(base).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const metadata = await (await fetch(`${base}/.well-known/oauth-authorization-server`)).json()
    expect(metadata).toMatchObject({ issuer: base, registration_endpoint: `${base}/oauth/register` })
    expect((await fetch(`${base}/products`)).status).toBe(200)
    child.kill(signal)
    expect(await exit).toEqual({ code: 0, signal: null, out: `Listening on ${base}\n`, err: '' })
  },
)

test('takes issuer and secret from the environment', async () => {
  const { url } = server({ PORT: '0', ISSUER: 'https://shop.example.com/', AAT_SECRET: 'a'.repeat(40) })
  const metadata = await (await fetch(`${await url}/.well-known/oauth-authorization-server`)).json()
  expect(metadata).toMatchObject({ issuer: 'https://shop.example.com' })
})

test.each([
  ['REDIS_URL', { REDIS_URL: 'redis://127.0.0.1:6379' }, /^REDIS_URL is set, .*next release.*\n$/],
  ['a short AAT_SECRET', { AAT_SECRET: 'short' }, /secrets\[0\].*32/],
  ['an ISSUER with a path', { ISSUER: 'https://shop.example.com/auth' }, /^ISSUER must be .*\n$/],
  ['a PORT that is none', { PORT: 'http' }, /^PORT must be .*\n$/],
  ['production on in-memory stores', { NODE_ENV: 'production' }, /memory-stores/],
])('refuses %s with 1 and the reason', async (_, settings, reason) => {
  const { code, out, err } = await server({ PORT: '0', ...settings }).exit
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(err).toMatch(reason)
  expect(err).not.toMatch(/\n\s+at /)
})

test('a port that is taken is a clear line', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  try {
    const { code, err } = await server({ PORT: String((other.address() as AddressInfo).port) }).exit
    expect(code).toBe(1)
    expect(err).toMatch(/EADDRINUSE/)
    expect(err).not.toMatch(/\n\s+at /)
  } finally {
    other.close()
  }
})
