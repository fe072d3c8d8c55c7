import { describe, expect, test } from '@jest/globals'
import { scriptCommands } from '../../lib/stores/redis/acl.ts'
import { countOf, readScript, readScripts } from './lua.ts'
import { problemsOf } from './lua-problems.ts'
import { callEveryVerb, callsOfRun } from './script-calls.ts'
import { readSources } from './sources.ts'

const all = readScripts()
const prologue = all.find(({ name }) => name === 'prologue') as (typeof all)[number]
const scripts = all.filter((script) => script !== prologue)
const sources = readSources()
const runs = callsOfRun(sources)

test('the walk finds the scripts and who runs them', () => {
  expect(scripts.length).toBeGreaterThan(20)
  expect(scripts.map(({ name }) => name)).toEqual(expect.arrayContaining(['refresh', 'redeem-code']))
  expect(runs.length).toBeGreaterThanOrEqual(scripts.length)
})

test.each(scripts.map((script) => [script.name, script] as const))(
  '%s: header, keys and names',
  (_, script) => {
    expect(problemsOf(script, prologue)).toEqual([])
  },
)

test('the prologue touches no key, and gives its names to the scripts', () => {
  expect(prologue.calls.map(({ command }) => command)).toEqual(['TIME'])
  expect(prologue.tokens.some(({ text }) => text === 'KEYS')).toBe(false)
})

describe('the commands', () => {
  const used = new Set(all.flatMap(({ calls }) => calls.map(({ command }) => command.toLowerCase())))
  used.delete('(computed)')

  test('are those that the documented user may run, no fewer and no more', () => {
    expect([...used].sort()).toEqual([...scriptCommands].sort())
  })

  test('are those that check-permissions tries', () => {
    const { tokens } = scripts.find(({ name }) => name === 'check-permissions') as (typeof all)[number]
    const tried = tokens.filter(({ type }, at) => type === 'string' && tokens[at - 1]?.text === '{')
    const names = new Set(tried.map(({ text }) => text.toLowerCase()))
    expect([...names].sort()).toEqual([...scriptCommands].sort())
  })
})

describe('on the side of TypeScript', () => {
  test('every script is loaded once, by its name as a literal', () => {
    const loaded = sources.flatMap(({ file, nodes }) =>
      nodes
        .filter(({ type, callee }) => type === 'CallExpression' && callee.value === 'script')
        .map(({ arguments: [argument] }) => argument.expression.value ?? `computed in ${file}`),
    )
    expect(loaded.sort()).toEqual(scripts.map(({ name }) => name))
  })

  test('every call has the keys and arguments of the header', () => {
    const wrong = runs.flatMap(({ name, keys, args, file }) => {
      const { header } = scripts.find((script) => script.name === name) ?? {}
      const expected = [countOf(header?.keys ?? ''), countOf(header?.argv ?? '')]
      return keys === expected[0] && args === expected[1] ? [] : [{ file, name, keys, args, expected }]
    })
    expect(wrong).toEqual([])
    expect([...new Set(runs.map(({ name }) => name))].sort()).toEqual(scripts.map(({ name }) => name))
  })

  test('no file but two knows what a script is made of, and none makes one', () => {
    const texts = sources.flatMap(({ file, nodes }) =>
      nodes
        .filter(({ type }) => type === 'StringLiteral' || type === 'TemplateElement')
        .map((node) => ({ file, text: String(node.value ?? node.raw ?? node.cooked) })),
    )
    const filesWith = (pattern: RegExp) => [
      ...new Set(texts.filter(({ text }) => pattern.test(text)).map(({ file }) => file)),
    ]
    expect(filesWith(/\.lua$/)).toEqual(['stores/redis/script.ts'])
    expect(filesWith(/^EVAL(?:SHA)?$/)).toEqual(['stores/redis/runner.ts'])
    expect(filesWith(/redis\.p?call|\bKEYS\[|\bARGV\[|^SCRIPT$|^FUNCTION$|^FCALL/)).toEqual([])
  })
})

test('all keys of a run are in one slot, whatever comes from outside', async () => {
  const calls = await callEveryVerb()
  const tagOf = (key: string) => /^[^{}]*\{([^{}]+)\}[^{}]*$/.exec(key)?.[1] ?? `none in ${key}`
  expect(new Set(calls.map(({ sha }) => sha)).size).toBe(scripts.length)
  const wrong = calls.filter(({ keys }) => keys.length === 0 || new Set(keys.map(tagOf)).size !== 1)
  expect(wrong).toEqual([])
  // Of a fixed length, and of nothing but these letters.
  for (const key of calls.flatMap(({ keys }) => keys))
    expect(key).toMatch(/^aat:\{[\w-]{3,43}\}(?::[\w-]{22})?:[a-z]$/)
})

describe('the checks themselves notice', () => {
  const head = (over: Record<string, string> = {}) => {
    const lines = { does: 'Does it.', KEYS: '1 the key', ARGV: '1 a value', Reply: 'done', ...over }
    const twice = over.twice ?? '-- Run twice: the same.\n'
    return `-- ${lines.does}\n-- KEYS ${lines.KEYS}\n-- ARGV ${lines.ARGV}\n-- Reply: ${lines.Reply}\n${twice}`
  }
  const body = "redis.call('SET', KEYS[1], ARGV[1])\nreturn reply('done')\n"
  const reading = { does: 'Reads. Changes nothing.', ARGV: 'none', twice: '' }

  test.each([
    ['nothing', head() + body, []],
    ['nothing in one that reads', `${head(reading)}redis.call('GET', KEYS[1])\nreturn reply('done')\n`, []],
    ['no header', body, ['another form']],
    ['a header out of order', head().replace(/(-- KEYS.*\n)(-- ARGV.*\n)/, '$2$1') + body, ['another form']],
    ['an ARGV too many', head({ ARGV: '1 a value, 2 more' }) + body, ['ARGV[2] is in the header']],
    ['an ARGV too few', head({ ARGV: 'none' }) + body, ['ARGV[1] is used and not']],
    ['a KEYS too many', head({ KEYS: '1 the key, 2 more' }) + body, ['KEYS[2] is in the header']],
    ['numbers that do not count', head({ ARGV: '2 a value' }) + body, ['count up', 'ARGV[1] is used']],
    ['an ARGV by a variable', `${head()}local n = 1\nlocal v = ARGV[n]\n${body}`, ['without a number']],
    [
      'an outcome that is not named',
      head() + body.replace("'done'", "'over'"),
      ['not name over', 'names done'],
    ],
    ['an outcome that is never given', head({ Reply: 'done | unknown' }) + body, ['names unknown']],
    [
      'one of several outcomes',
      head({ Reply: 'done or lost, x | a, b; each with y' }) + body,
      ['names lost', 'names a', 'names b'],
    ],
    ['a writer that does not say so', head({ twice: '' }) + body, ['Run twice']],
    ['a writer that says it is none', head({ does: 'Reads. Changes nothing.' }) + body, ['wrong on whether']],
    [
      'a key that is built',
      head() + body.replace('KEYS[1]', "KEYS[1] .. ':x'"),
      ['no key of the caller', 'a name is built'],
    ],
    ['a key of an argument', head() + body.replace('KEYS[1], ', 'ARGV[1], KEYS[1], '), ['SET on ARGV[1]']],
    ['a key in a text', head() + body.replace('KEYS[1], ', "'aat:x', KEYS[1], "), ['SET on aat:x']],
    ['a command that is computed', head() + body.replace("'SET'", 'ARGV[1]'), ['a command is computed']],
    ['a command in small letters', head() + body.replace("'SET'", "'set'"), ['not in capitals']],
    ['a global', `${head()}found = 1\n${body}`, ['found is global']],
    ['a global function', `${head()}function find() end\n${body}`, ['find is global']],
    ['a global that is read', head() + body.replace("'done'", "'done', missing"), ['missing is global']],
    ['a built-in that is replaced', `${head()}redis = nil\n${body}`, ['redis is replaced']],
    ['letters that are not ASCII', `${head()}-- \u00e9\n${body}`, ['another form', 'not ASCII']],
    [
      'text that is run',
      `${head()}local f = loadstring(ARGV[1])\n${body}`,
      ['loadstring is global', 'it runs text'],
    ],
    ['a sign that is none of Lua', `${head()}local a = $\n${body}`, ['no sign of Lua']],
  ])('%s', (_, text, expected) => {
    const problems = problemsOf(readScript('sample', text), prologue)
    expect(problems).toEqual(expected.map((part) => expect.stringContaining(part)))
  })
})
