import { describe, expect, test } from '@jest/globals'
import { type Node, readSource, readSources, type Source } from './sources.ts'

/** The floors of the house. A file imports from its own folder or from a lower floor. */
const floors: Record<string, number> = {
  protocol: 0,
  stores: 1,
  tokens: 2,
  keys: 2,
  revocation: 2,
  clients: 3,
  authorization: 3,
  grants: 4,
  http: 5,
  endpoints: 6,
  guard: 6,
  // Sign-in at an identity provider: what an app could also have of its own.
  idp: 7,
  '': 8,
}

/** What the package gives to apps: it stands outside and may import anything; nothing imports it. */
const entries = ['index.ts', 'redis.ts', 'idp.ts', 'server.ts']

/** Packages, and the folders that may import them. */
const fences: Record<string, readonly string[]> = {
  express: ['endpoints', 'guard', 'http', 'idp'],
  'express-rate-limit': ['http'],
  helmet: ['http'],
  jose: ['clients', 'idp'],
  'openid-client': ['idp'],
  '@node-saml/node-saml': ['idp'],
  ioredis: ['stores/redis'],
}

const MAX_LINES = 250

const folderOf = (file: string) => file.split('/').slice(0, -1).join('/')
const floorFolderOf = (file: string) => (file.includes('/') ? (file.split('/')[0] as string) : '')
const isOurs = (from: string) => from.endsWith('.ts')
/** `jose` of `jose/jwt/verify`. */
const packageOf = (from: string) => /^(?:@[^/]+\/)?[^/]+/.exec(from)?.[0] ?? from
const isWithin = (folder: string, parent: string) => folder.startsWith(`${parent}/`)

/** What is wrong with an import, if anything. */
function problemOfImport(file: string, from: string): string | undefined {
  if (entries.includes(file)) return undefined
  if (!isOurs(from)) {
    if (from.startsWith('node:')) return undefined
    const allowed = fences[packageOf(from)]
    if (allowed === undefined) return `${file} imports ${from}, which no fence lets in`
    const folder = folderOf(file)
    const isIn = (fence: string) => folder === fence || isWithin(folder, fence)
    return allowed.some(isIn) ? undefined : `${file} imports ${from}`
  }
  if (entries.includes(from) || from.startsWith('..')) return `${file} imports ${from}`
  const [here, there] = [folderOf(file), folderOf(from)]
  if (here === there) return undefined
  const [floor, other] = [floors[floorFolderOf(file)], floors[floorFolderOf(from)]]
  if (floor === undefined || other === undefined) return `${file} or ${from} is on no floor`
  if (floorFolderOf(file) !== floorFolderOf(from))
    return other < floor ? undefined : `${file} (floor ${floor}) imports ${from} (floor ${other})`
  // Within a floor's folder: a subfolder stands on its parent, and not the other way round.
  return isWithin(here, there) ? undefined : `${file} imports ${from}, which stands beneath or beside it`
}

const isMember = (node: Node, object: string, property: string) =>
  node.type === 'MemberExpression' && node.object.value === object && node.property.value === property

function readsClock(node: Node): boolean {
  return (
    isMember(node, 'Date', 'now') ||
    isMember(node, 'performance', 'now') ||
    isMember(node, 'process', 'hrtime') ||
    (node.type === 'CallExpression' && node.callee.value === 'Date') ||
    (node.type === 'NewExpression' && node.callee.value === 'Date' && (node.arguments ?? []).length === 0)
  )
}

function readsRandom(node: Node): boolean {
  return (
    isMember(node, 'Math', 'random') ||
    (node.type === 'MemberExpression' && /^(?:web)?crypto$/i.test(node.object.value ?? '')) ||
    (node.type === 'ImportDeclaration' &&
      node.source.value === 'node:crypto' &&
      (node.specifiers as Node[]).some(({ imported, local }) =>
        /^(?:random|getRandom|webcrypto)/.test((imported ?? local).value),
      ))
  )
}

const filesWhere = (sources: readonly Source[], matches: (node: Node) => boolean) =>
  sources.filter(({ nodes }) => nodes.some(matches)).map(({ file }) => file)

const sources = readSources()

test('the walk finds the sources', () => {
  expect(sources.map(({ file }) => file)).toEqual(
    expect.arrayContaining(['index.ts', 'create-aat.ts', 'protocol/time.ts', 'stores/memory/grants.ts']),
  )
})

test('each file imports from its own folder or from a lower floor, and packages only inside their fences', () => {
  const problems = sources.flatMap(({ file, imports }) =>
    imports.flatMap(({ from }) => problemOfImport(file, from) ?? []),
  )
  expect(problems).toEqual([])
})

test('the server needs nothing of the rest, but the one file in which it leaves word', () => {
  const importsOf = (name: string) =>
    (sources.find(({ file }) => file === name) as Source).imports.map(({ from }) => from)
  expect(importsOf('server.ts')).toEqual(['node:http', 'node:https', 'http/message-shape.ts'])
  expect(importsOf('http/message-shape.ts')).toEqual([])
})

test('every import leads to a file that exists', () => {
  const files = new Set(sources.map(({ file }) => file))
  const missing = sources.flatMap(({ file, imports }) =>
    imports.filter(({ from }) => isOurs(from) && !files.has(from)).map(({ from }) => `${file}: ${from}`),
  )
  expect(missing).toEqual([])
})

test('only the top floor chooses stores: all others know the ports', () => {
  const choosers = sources
    .filter(({ imports }) => imports.some(({ from }) => /^stores\/(?:memory|redis)\//.test(from)))
    .map(({ file }) => file)
    .filter((file) => floorFolderOf(file) !== '' && !/^stores\/(?:memory|redis)\//.test(file))
  expect(choosers).toEqual([])
})

test('the system clock is read in one file', () => {
  expect(filesWhere(sources, readsClock)).toEqual(['protocol/time.ts'])
})

test('random bytes come from one file', () => {
  expect(filesWhere(sources, readsRandom)).toEqual(['protocol/random.ts'])
})

test('named exports only, no enums, no classes named after nothing', () => {
  expect(filesWhere(sources, ({ type }) => /^ExportDefault/.test(type))).toEqual([])
  expect(filesWhere(sources, ({ type }) => type === 'TsEnumDeclaration')).toEqual([])
  const names = sources.flatMap(({ nodes }) =>
    nodes
      .filter(({ type }) => type === 'ClassDeclaration')
      .map(({ identifier }) => identifier.value as string),
  )
  expect(names).toContain('OAuthError')
  expect(names.filter((name) => /(?:Manager|Service|Impl|Helper)$/.test(name))).toEqual([])
})

test(`no file is longer than ${MAX_LINES} lines`, () => {
  const long = sources
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${file}: ${lines} lines`)
  expect(long).toEqual([])
})

describe('the checks themselves notice', () => {
  test.each([
    ['protocol/a.ts', "import { b } from '../stores/ports.ts'"],
    ['keys/a.ts', "import type { b } from '../tokens/mint.ts'"],
    ['keys/a.ts', "type B = import('../grants/grant-type.ts').B"],
    ['guard/a.ts', "export { b } from '../endpoints/well-known.ts'"],
    ['guard/a.ts', "const b = await import('../endpoints/well-known.ts')"],
    ['stores/a.ts', "import { b } from './memory/grants.ts'"],
    ['http/a.ts', "import { b } from '../index.ts'"],
    ['create-aat.ts', "import express from 'express'"],
    ['tokens/a.ts', "import type { Request } from 'express'"],
    ['http/a.ts', "import { jwtVerify } from 'jose'"],
    ['http/a.ts', "import { jwtVerify } from 'jose/jwt/verify'"],
    ['stores/a.ts', "import { Redis } from 'ioredis'"],
    ['grants/a.ts', "export * from '../../scripts/clean.js'"],
  ])('%s: %s', (file, text) => {
    const { imports } = readSource(file, text)
    expect(imports).toHaveLength(1)
    expect(imports.flatMap(({ from }) => problemOfImport(file, from) ?? [])).toHaveLength(1)
  })

  test.each([
    ['Date.now()', readsClock],
    ['new Date()', readsClock],
    ['performance.now()', readsClock],
    ["import { randomUUID } from 'node:crypto'", readsRandom],
    ['crypto.getRandomValues(new Uint8Array(1))', readsRandom],
    ['Math.random()', readsRandom],
  ])('%s', (text, matches) => {
    expect(filesWhere([readSource('keys/a.ts', text)], matches)).toEqual(['keys/a.ts'])
  })

  test('and let what is right pass', () => {
    const text = "import { b } from '../protocol/scope.ts'\nimport { c } from 'jose'\nnew Date(b * c)"
    const source = readSource('clients/a.ts', text)
    expect(source.imports.flatMap(({ from }) => problemOfImport(source.file, from) ?? [])).toEqual([])
    expect(filesWhere([source], readsClock)).toEqual([])
  })
})
