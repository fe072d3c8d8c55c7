import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

/** The security cases, and those of them that do not apply here, each with its reason. */
const root = join(import.meta.dirname, '..')
const cases = readJson('cases.json') as { id: string; title: string }[]
const notApplicable = readJson('cases-not-applicable.json') as { id: string; reason: string }[]

const ids = new Set(cases.map(({ id }) => id))
const excused = new Set(notApplicable.map(({ id }) => id))
const tested = readTestedIds()

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(join(root, name), 'utf8'))
}

/** The ids that test names begin with: `'ALG-001: …'`, or several, `'ALG-001, ALG-002: …'`. */
function readTestedIds(): Set<string> {
  const found = new Set<string>()
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(?:test|contract)\.ts$/.test(entry.name)) continue
    if (entry.parentPath === import.meta.dirname) continue
    const text = readFileSync(join(entry.parentPath, entry.name), 'utf8')
    for (const id of idsOf(text)) found.add(id)
  }
  return found
}

/** Of a table the first column makes the name, where the name is `'%s: …'`. */
function idsOf(text: string): string[] {
  const named = [...text.matchAll(/['"`]([A-Z]{3}-\d{3}(?:, [A-Z]{3}-\d{3})*): /g)]
  const rows = /['"`]%s: /.test(text) ? [...text.matchAll(/\[\s*['"`]([A-Z]{3}-\d{3})['"`],/g)] : []
  return [...named, ...rows].flatMap(([, list = '']) => list.split(', '))
}

test('ids are read from the beginning of names only', () => {
  expect(idsOf("test('TOK-001: a', () => {})\n  'ALG-001, ALG-002: %s',")).toEqual([
    'TOK-001',
    'ALG-001',
    'ALG-002',
  ])
  expect(idsOf("test.each([\n  ['TOK-002', 1],\n])('%s: at %d', () => {})")).toEqual(['TOK-002'])
  expect(idsOf("const table = [['TOK-002', 1]]")).toEqual([])
  expect(idsOf("// TOK-001: a comment\ntest('see TOK-001: a')\nconst id = 'TOK-001'")).toEqual([])
})

test('every case is the beginning of a test name, or does not apply for a reason', () => {
  const open = cases.filter(({ id }) => !tested.has(id) && !excused.has(id))
  expect(open.map(({ id, title }) => `${id}: ${title}`)).toEqual([])
})

test('the table names each case once, and says why', () => {
  expect(notApplicable.map(({ id }) => id)).toEqual([...excused].sort())
  expect([...excused].filter((id) => !ids.has(id))).toEqual([])
  expect(notApplicable.filter(({ reason }) => typeof reason !== 'string' || reason.length < 20)).toEqual([])
})

test('no test is named after a case that does not exist', () => {
  const groups = new Set(cases.map(({ id }) => id.slice(0, 3)))
  expect([...tested].filter((id) => groups.has(id.slice(0, 3)) && !ids.has(id))).toEqual([])
})
