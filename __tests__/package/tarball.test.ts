import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import {
  install,
  list,
  packOnce,
  removeAll,
  reportOf,
  root,
  run,
  typeErrorsOf,
  unpack,
  versionOf,
} from './packed.ts'
import {
  CJS,
  ESM,
  IDP_CJS,
  IDP_ESM,
  IDP_TYPES,
  REDIS_CJS,
  REDIS_ESM,
  REDIS_TYPES,
  SERVER_CJS,
  SERVER_ESM,
  SERVER_TYPES,
  TYPES,
} from './samples.ts'

let tarball: string

beforeAll(async () => {
  tarball = await packOnce()
})

afterAll(() => removeAll())

describe('the tarball', () => {
  test('holds the build and the documents, nothing else', async () => {
    const { stdout } = await run('tar', ['-tzf', tarball])
    const files = stdout
      .split('\n')
      .filter((file) => file !== '' && !file.endsWith('/'))
      .map((file) => file.replace(/^package\//, ''))
    expect(files).toEqual(expect.arrayContaining(['package.json', 'LICENSE', 'README.md', 'dist/index.js']))
    expect(files).toEqual(expect.arrayContaining(['dist/index.d.ts', 'dist/redis.js', 'dist/redis.d.ts']))
    const unexpected = files.filter(
      (file) =>
        !/^(?:package\.json|LICENSE|README\.md|CHANGELOG\.md|SECURITY\.md)$/.test(file) &&
        !/^dist\/[a-z0-9/-]+\.(?:js|js\.map|d\.ts)$/.test(file) &&
        !/^dist\/stores\/redis\/scripts\/[a-z-]+\.lua$/.test(file),
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

  test('has every script of the Redis stores, as it is in the sources', async () => {
    const folder = join('stores', 'redis', 'scripts')
    const [packed, source] = [join(await unpack(), 'dist', folder), join(root, 'lib', folder)]
    const names = (await list(source)).sort()
    expect(names.filter((name) => name.endsWith('.lua')).length).toBeGreaterThan(20)
    expect((await list(packed)).sort()).toEqual(names)
    for (const name of names)
      expect(await readFile(join(packed, name), 'utf8')).toBe(await readFile(join(source, name), 'utf8'))
  })

  test('imports ioredis nowhere: its types only', async () => {
    const dist = join(await unpack(), 'dist')
    const naming = async (ending: string) => {
      const found: string[] = []
      for (const file of (await list(dist)).filter((name) => name.endsWith(ending)))
        if (/(?:from|import|require)\s*\(?\s*['"]ioredis['"]/.test(await readFile(join(dist, file), 'utf8')))
          found.push(file)
      return found
    }
    expect(await naming('.js')).toEqual([])
    expect(await naming('.d.ts')).toEqual(['stores/redis/connection.d.ts'])
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
    project = await install(
      `express${major}`,
      [
        `express@${await versionOf(alias)}`,
        `@types/express@${major === 5 ? await versionOf('@types/express') : types}`,
        `@types/node@${await versionOf('@types/node')}`,
      ],
      {
        ...{ 'use.mjs': ESM, 'use.cjs': CJS, 'redis.mjs': REDIS_ESM, 'redis.cjs': REDIS_CJS },
        ...{ 'idp.mjs': IDP_ESM, 'idp.cjs': IDP_CJS },
        ...{ 'server.mjs': SERVER_ESM, 'server.cjs': SERVER_CJS },
        'esm.mts': TYPES,
        'idp.mts': IDP_TYPES,
        'server.mts': SERVER_TYPES,
        'cjs.cts': TYPES.replace('import express, {', "import express = require('express')\nimport {"),
      },
    )
  })

  test.each(['use.mjs', 'use.cjs'])('works from %s', async (file) => {
    const report = (await reportOf(project, file)) as {
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
    expect(await typeErrorsOf(project)).toBe('')
  })

  test('needs no optional package', async () => {
    const installed = await readdir(join(project, 'node_modules'))
    for (const name of ['ioredis', 'openid-client', '@node-saml']) expect(installed).not.toContain(name)
  })

  test.each(['idp.mjs', 'idp.cjs'])(
    'without their packages the sign-ins of %s say what to install',
    async (file) => {
      const { statuses, faults } = (await reportOf(project, file)) as { statuses: number[]; faults: string[] }
      expect(statuses).toEqual([500, 500])
      expect(faults).toEqual([
        expect.stringContaining('npm install openid-client'),
        expect.stringContaining('npm install @node-saml/node-saml'),
      ])
    },
  )

  test.each(['server.mjs', 'server.cjs'])('the faster server works from %s', async (file) => {
    expect(await reportOf(project, file)).toEqual({ status: 200, body: { ok: true }, secure: 'function' })
  })

  test.each(['redis.mjs', 'redis.cjs'])('without ioredis the Redis stores load from %s', async (file) => {
    expect(await reportOf(project, file)).toEqual({ kind: 'redis', hasIoredis: false })
  })
})

describe('installed beside openid-client and @node-saml/node-saml', () => {
  let project: string

  beforeAll(async () => {
    const names = ['express', '@types/express', '@types/node', 'openid-client', '@node-saml/node-saml']
    const packages = await Promise.all(names.map(async (name) => `${name}@${await versionOf(name)}`))
    project = await install('idp', packages, {
      ...{ 'idp.mjs': IDP_ESM, 'idp.cjs': IDP_CJS, 'esm.mts': IDP_TYPES, 'cjs.cts': IDP_TYPES },
    })
  })

  test.each(['idp.mjs', 'idp.cjs'])('the sign-ins work from %s', async (file) => {
    // The OpenID provider is not there; SAML begins without asking its provider anything.
    expect(await reportOf(project, file)).toMatchObject({
      statuses: [503, 303],
      faults: [expect.any(String)],
    })
  })

  test('the sign-ins type-check from ESM and CommonJS', async () => {
    expect(await typeErrorsOf(project)).toBe('')
  })
})

describe('installed beside ioredis', () => {
  let project: string

  beforeAll(async () => {
    const names = ['express', '@types/express', '@types/node', 'ioredis']
    const packages = await Promise.all(names.map(async (name) => `${name}@${await versionOf(name)}`))
    project = await install('ioredis', packages, {
      ...{ 'redis.mjs': REDIS_ESM, 'redis.cjs': REDIS_CJS, 'esm.mts': REDIS_TYPES, 'cjs.cts': REDIS_TYPES },
    })
  })

  test.each(['redis.mjs', 'redis.cjs'])('the Redis stores load from %s', async (file) => {
    expect(await reportOf(project, file)).toEqual({ kind: 'redis', hasIoredis: true })
  })

  test('the Redis stores type-check from ESM and CommonJS', async () => {
    expect(await typeErrorsOf(project)).toBe('')
  })
})

/** The last one that looks for types without `exports`, as it does where it emits CommonJS. */
const TYPESCRIPT = '5.9.3'

describe('installed beside TypeScript 5', () => {
  let project: string
  const sources = { 'app.ts': TYPES, 'redis.ts': REDIS_TYPES, 'idp.ts': IDP_TYPES, 'server.ts': SERVER_TYPES }

  beforeAll(async () => {
    const names = ['express', '@types/express', '@types/node', 'ioredis']
    const packages = await Promise.all(names.map(async (name) => `${name}@${await versionOf(name)}`))
    project = await install('typescript5', [...packages, `typescript@${TYPESCRIPT}`], sources)
  })

  test.each(['commonjs', 'nodenext', 'node20'])('type-checks where module is %s', async (module) => {
    const options = ['--strict', '--noEmit', '--esModuleInterop', '--target', 'es2022', '--lib', 'es2023']
    const args = [...options, '--module', module, ...Object.keys(sources)]
    expect(await typeErrorsOf(project, args, join(project, 'node_modules'))).toBe('')
  })
})
