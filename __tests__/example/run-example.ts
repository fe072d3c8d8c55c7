import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeAll } from '@jest/globals'
import { isGone, reapAtExit } from '../support/child-reaper.js'

export const root = join(import.meta.dirname, '../..')
const children = new Set<ChildProcess>()

/** Runs a script of the example with just these settings in its environment. */
export function run(script: string[], settings: Record<string, string> = {}) {
  const { PATH = '', REDIS_SERVER = '' } = process.env
  const child = spawn(process.execPath, script, {
    cwd: root,
    env: { PATH, ...(REDIS_SERVER !== '' && { REDIS_SERVER }), ...settings },
    stdio: 'pipe',
  })
  children.add(child)
  if (child.pid !== undefined) reapAtExit(child.pid, '')
  const output = { out: '', err: '' }
  child.stdout.on('data', (chunk) => {
    output.out += chunk
  })
  child.stderr.on('data', (chunk) => {
    output.err += chunk
  })
  const exit = once(child, 'exit').then(([code, signal]) => {
    children.delete(child)
    if (child.pid !== undefined) isGone(child.pid)
    return { code, signal, ...output }
  })
  /** What it prints, once it matches. */
  async function said(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(output.out)
      if (match !== null) return match
      const ended = exit.then(() => {
        throw new Error(`not said, but: ${output.out}${output.err}`)
      })
      ended.catch(() => undefined)
      await Promise.race([once(child.stdout, 'data'), ended])
    }
  }
  return { child, exit, said, output }
}

/** The shop as its own process; `url` is what it prints. */
export function server(settings?: Record<string, string>) {
  const running = run(['example-app/server.js'], settings)
  const url = running.said(/^Listening on (http:\/\/\S+)/m).then(([, found = '']) => found)
  url.catch(() => undefined)
  return { ...running, url }
}

// The example imports the package by its own exports, so it runs on what was built.
beforeAll(async () => {
  if (existsSync(join(root, 'dist/redis.js'))) return
  for (const script of [
    ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'],
    ['scripts/copy-lua.js'],
  ]) {
    const { code, out, err } = await run(script).exit
    if (code !== 0) throw new Error(`the build failed:\n${out}${err}`)
  }
}, 120_000)

afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})
