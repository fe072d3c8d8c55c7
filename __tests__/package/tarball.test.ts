import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, relative, sep } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'

const run = promisify(execFile)
const root = join(import.meta.dirname, '..', '..')
const modules = join(root, 'node_modules')

/** What runs in the user's project, after the imports of the module system under test. */
const APP = `
async function main() {
  const aat = createAat({
    issuer: 'http://127.0.0.1:3000',
    resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
  })
  const app = express()
  app.use(wellKnown(aat))
  app.use('/token', tokenEndpoint(aat))
  app.get('/api', requireAat(aat, { scope: 'read' }), (_req, res) => { res.json({ ok: true }) })
  await aat.ready()
  const server = app.listen(0, '127.0.0.1')
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  const base = 'http://127.0.0.1:' + server.address().port
  const metadata = await fetch(base + '/.well-known/oauth-authorization-server')
  const refused = await fetch(base + '/api')
  const report = {
    express: expressVersion,
    metadata: { status: metadata.status, type: metadata.headers.get('content-type'), body: await metadata.json() },
    refused: { status: refused.status, challenge: refused.headers.get('www-authenticate') },
  }
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await aat.close()
  console.log(JSON.stringify(report))
}
main().catch((error) => { console.error(error); process.exitCode = 1 })
`

const ESM = `
import { readFileSync } from 'node:fs'
import express from 'express'
import { createAat, requireAat, tokenEndpoint, wellKnown } from 'express-aat'
const expressVersion = JSON.parse(readFileSync('node_modules/express/package.json', 'utf8')).version
${APP}`

const CJS = `
'use strict'
const express = require('express')
const { createAat, requireAat, tokenEndpoint, wellKnown } = require('express-aat')
const expressVersion = require('express/package.json').version
require('express-aat/package.json')
${APP}`

const TYPES = `
import express, { type Express, type RequestHandler } from 'express'
import { type AatEvent, createAat, getAat, requireAat, tokenEndpoint, wellKnown } from 'express-aat'

const aat = createAat({
  issuer: 'http://127.0.0.1:3000',
  secrets: [process.env.AAT_SECRET],
  resources: { 'http://127.0.0.1:3000/api': { scopes: ['read'] } },
})
const guard: RequestHandler = requireAat(aat, { scope: 'read' })

interface Tenant {
  tenant: string
}
const tenantGuard: RequestHandler = requireAat<Tenant>(aat, {
  readClaims: ({ sub, tenant }) => {
    // @ts-expect-error: a custom claim is unknown until it is looked at
    const unread: string = tenant
    return { tenant: typeof tenant === 'string' ? tenant : sub + unread }
  },
})
// The guard leaves the types of the route's own parameters alone.
express().get('/orders/:id', requireAat(aat, { scope: 'read' }), (req, res) => {
  const id: string = req.params.id
  res.json(id)
})
const allOf: readonly string[] = ['read']
requireAat(aat, { scope: allOf, maxAge: undefined })
// @ts-expect-error: what readClaims returns is what was promised
requireAat<Tenant>(aat, { readClaims: () => ({ tenant: 1 }) })

export const app: Express = express()
app.use(wellKnown(aat))
app.use('/token', tokenEndpoint(aat))
app.get('/api', guard, (req, res) => {
  const { subject, scopes, claims } = getAat(req)
  const id: string = subject + scopes.join() + claims.jti
  // @ts-expect-error: a claim that nobody reads is not typed
  claims.tenant
  res.json({ id })
})
app.get('/tenant', tenantGuard, (req, res) => {
  const tenant: string = getAat<Tenant>(req).claims.tenant
  // @ts-expect-error: what the guard found is not to be changed
  getAat(req).subject = tenant
  res.json({ tenant })
})

export const stop: () => void = aat.on('token.issued', (event) => {
  const jti: string = event.jti
  // @ts-expect-error: not of this kind of event
  event.kid
  console.log(event.name, event.clientId, jti)
})
aat.on('key.activated', ({ kid, alg }) => console.log(kid, alg))
aat.on('*', (event: AatEvent) => {
  if (event.name === 'token.issued') console.log(event.jti)
})
// @ts-expect-error: there is no such event
aat.on('token.stolen', () => {})

export async function close(): Promise<void> {
  await aat.ready()
  await aat.close()
}

// @ts-expect-error: no option may be left out
createAat({})
`

/** The type check of a strict project; `skipLibCheck` is off so that the package's own types count. */
const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    lib: ['es2023'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
  },
  files: ['esm.mts', 'cjs.cts'],
}

let temp: string
let tarball: string

beforeAll(async () => {
  temp = await mkdtemp(join(tmpdir(), 'express-aat-package-'))
  tarball = await pack()
})

afterAll(async () => {
  await rm(temp, { recursive: true, force: true, maxRetries: 3 })
})

describe('the tarball', () => {
  test('holds the build and the documents, nothing else', async () => {
    const { stdout } = await run('tar', ['-tzf', tarball])
    const files = stdout
      .split('\n')
      .filter((file) => file !== '' && !file.endsWith('/'))
      .map((file) => file.replace(/^package\//, ''))
    expect(files).toEqual(expect.arrayContaining(['package.json', 'LICENSE', 'README.md', 'dist/index.js']))
    expect(files).toContain('dist/index.d.ts')
    const unexpected = files.filter(
      (file) =>
        !/^(?:package\.json|LICENSE|README\.md|CHANGELOG\.md|SECURITY\.md)$/.test(file) &&
        !/^dist\/[a-z0-9/-]+\.(?:js|js\.map|d\.ts)$/.test(file),
    )
    expect(unexpected).toEqual([])
    expect(files.filter((file) => /(?:^|\/)(?:__tests__|bench|example-app)\/|\.test\./.test(file))).toEqual(
      [],
    )
  })

  test('is built by prepack from the sources of today', async () => {
    const unpacked = await unpack()
    const dist = await list(join(unpacked, 'dist'))
    const sources = (await list(join(root, 'lib'))).filter((file) => file.endsWith('.ts'))
    const expected = sources
      .filter((file) => !file.endsWith('.d.ts'))
      .map((file) => file.replace(/\.ts$/, '.js'))
      .sort()
    expect(dist.filter((file) => file.endsWith('.js')).sort()).toEqual(expected)
  })

  test('has source maps that carry their sources', async () => {
    const dist = join(await unpack(), 'dist')
    const files = await list(dist)
    for (const file of files.filter((name) => name.endsWith('.js'))) {
      const text = await readFile(join(dist, file), 'utf8')
      const named = /^\/\/# sourceMappingURL=(.+)$/m.exec(text)?.[1]
      if (named !== undefined) expect(named).toBe(`${basename(file)}.map`)
      expect(files.includes(`${file}.map`)).toBe(named !== undefined)
    }
    for (const file of files.filter((name) => name.endsWith('.map'))) {
      const map = JSON.parse(await readFile(join(dist, file), 'utf8')) as {
        sources: string[]
        sourcesContent?: (string | null)[]
      }
      expect(map.sources.length).toBeGreaterThan(0)
      expect(map.sourcesContent?.filter((content) => typeof content === 'string')).toHaveLength(
        map.sources.length,
      )
    }
  })

  test('depends on three packages and runs no script when it is installed', async () => {
    const manifest = JSON.parse(await readFile(join(await unpack(), 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
      scripts: Record<string, string>
    }
    expect(Object.keys(manifest.dependencies).sort()).toEqual(['express-rate-limit', 'helmet', 'jose'])
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare']) {
      expect(manifest.scripts[script]).toBeUndefined()
    }
  })
})

describe.each([
  { major: 5, alias: 'express', types: '^5.0.0' },
  { major: 4, alias: 'express4', types: '^4.17.21' },
])('installed beside express $major', ({ major, alias, types }) => {
  let project: string

  beforeAll(async () => {
    project = join(temp, `express${major}`)
    await mkdir(project)
    await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true }))
    await npm(project, [
      'install',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      tarball,
      `express@${await versionOf(alias)}`,
      `@types/express@${major === 5 ? await versionOf('@types/express') : types}`,
      `@types/node@${await versionOf('@types/node')}`,
    ])
    await writeFile(join(project, 'use.mjs'), ESM)
    await writeFile(join(project, 'use.cjs'), CJS)
    await writeFile(join(project, 'esm.mts'), TYPES)
    await writeFile(
      join(project, 'cjs.cts'),
      TYPES.replace('import express, {', "import express = require('express')\nimport {"),
    )
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(TSCONFIG))
  })

  test.each(['use.mjs', 'use.cjs'])('works from %s', async (file) => {
    const { stdout } = await run(process.execPath, [file], { cwd: project, env: cleanEnv() })
    const report = JSON.parse(stdout) as {
      express: string
      metadata: { status: number; type: string; body: { issuer: string } }
      refused: { status: number; challenge: string | null }
    }
    expect(report.express).toMatch(new RegExp(`^${major}\\.`))
    expect(report.metadata.status).toBe(200)
    expect(report.metadata.type).toMatch(/^application\/json\b/)
    expect(report.metadata.body.issuer).toBe('http://127.0.0.1:3000')
    expect(report.refused.status).toBe(401)
    expect(report.refused.challenge).toMatch(/^Bearer\b/)
  })

  test('type-checks from ESM and CommonJS', async () => {
    const tsc = join(modules, 'typescript', 'bin', 'tsc')
    const result = await run(process.execPath, [tsc, '-p', project, '--pretty', 'false'], {
      cwd: project,
    }).then(
      () => '',
      (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`,
    )
    expect(result).toBe('')
  })

  test('needs no optional package', async () => {
    expect(await readdir(join(project, 'node_modules'))).not.toContain('ioredis')
  })
})

/** Packs a copy of the repository that has never been built, so that `prepack` has to build it. */
async function pack(): Promise<string> {
  const copy = join(temp, 'repository')
  const left = new Set(['node_modules', 'dist', 'coverage', '.git', '.tmp'])
  await cp(root, copy, {
    recursive: true,
    filter: (source) => !left.has(relative(root, source).split(sep).at(-1) ?? ''),
  })
  await symlink(modules, join(copy, 'node_modules'), 'dir')
  await npm(copy, ['pack', '--pack-destination', temp])
  const name = (await readdir(temp)).find((file) => file.endsWith('.tgz'))
  if (name === undefined) throw new Error('npm pack made no tarball')
  return join(temp, name)
}

let unpacked: Promise<string> | undefined

function unpack(): Promise<string> {
  unpacked ??= (async () => {
    const folder = join(temp, 'unpacked')
    await mkdir(folder)
    await run('tar', ['-xzf', tarball, '-C', folder])
    return join(folder, 'package')
  })()
  return unpacked
}

async function list(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
}

async function versionOf(name: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(modules, name, 'package.json'), 'utf8')) as {
    version: string
  }
  return manifest.version
}

async function npm(cwd: string, args: string[]): Promise<void> {
  try {
    await run('npm', args, { cwd, env: cleanEnv() })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`npm ${args[0]} failed\n${stdout}${stderr}`)
  }
}

/** The environment without what the surrounding `npm test` says about its own package and flags. */
function cleanEnv(): NodeJS.ProcessEnv {
  const own =
    /^(?:npm_(?:package|lifecycle|command)|npm_config_(?:local_prefix|json|silent|loglevel)$|INIT_CWD$|NODE_ENV$)/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)))
}
