import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What the scripts of the Redis stores are read with: enough of Lua for ours, and no more. */

export interface LuaToken {
  readonly type: 'name' | 'string' | 'number' | 'sign' | 'other'
  readonly text: string
}

export interface Header {
  readonly does: string
  readonly keys: string
  readonly argv: string
  readonly reply: string
  readonly runTwice: string | undefined
}

export interface LuaScript {
  readonly name: string
  readonly text: string
  /** `undefined` where the lines on top do not have the agreed form. */
  readonly header: Header | undefined
  readonly tokens: readonly LuaToken[]
  readonly calls: readonly RedisCall[]
}

/** `redis.call('GET', KEYS[1], …)`: the tokens of each argument. */
export interface RedisCall {
  readonly command: string
  readonly args: readonly (readonly LuaToken[])[]
}

const folder = join(import.meta.dirname, '..', '..', 'lib', 'stores', 'redis', 'scripts')

export function readScripts(): LuaScript[] {
  return readdirSync(folder)
    .sort()
    .map((file) => readScript(file.replace(/\.lua$/, ''), readFileSync(join(folder, file), 'utf8')))
}

export function readScript(name: string, text: string): LuaScript {
  const tokens = [...tokensOf(text)]
  return { name, text, header: headerOf(text), tokens, calls: callsOf(tokens) }
}

function headerOf(text: string): Header | undefined {
  const lines = /^(?:--.*\n)+/.exec(text)?.[0] ?? ''
  // A line that goes on is indented below its first one.
  const fields = lines.replace(/\n-- {3,}/g, ' ')
  const match =
    /^-- (?<does>[A-Z][^\n]*\.)\n-- KEYS (?<keys>.+)\n-- ARGV (?<argv>.+)\n-- Reply: (?<reply>.+)\n(?:-- Run twice: (?<runTwice>.+\.)\n)?$/.exec(
      fields,
    )
  return match?.groups as unknown as Header | undefined
}

/** Of `1 the code, 2 the family`: how many, where they count up from 1; `none`: 0. */
export function countOf(list: string): number | undefined {
  if (list === 'none') return 0
  const numbers = [...list.matchAll(/(?:^|[,;] )(\d+) /g)].map(([, number]) => Number(number))
  return numbers.length > 0 && numbers.every((number, index) => number === index + 1)
    ? numbers.length
    : undefined
}

/** The outcomes that the header names: `found, value | unknown`, `a, b or c, value`, `a, b; each with the record`. */
export function outcomesNamed(reply: string): string[] {
  return reply.split(' | ').flatMap((alternative) => {
    const [list = '', each] = alternative.split('; each with ')
    if (each !== undefined) return list.split(/, | or /)
    const several = /^(?:\w+, )*\w+ or \w+/.exec(list)
    return several === null ? [list.split(',')[0] as string] : several[0].split(/, | or /)
  })
}

function* tokensOf(text: string): Generator<LuaToken> {
  const pattern =
    /--[^\n]*|(?<name>[A-Za-z_]\w*)|(?<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")|(?<number>\d+(?:\.\d+)?)|(?<sign>\.\.\.|\.\.|[=~<>]=|[-+*/%^#(){}[\];:,.<>=])|\s+|(?<other>.)/g
  for (const { 0: whole, groups = {} } of text.matchAll(pattern)) {
    for (const type of ['name', 'string', 'number', 'sign', 'other'] as const)
      if (groups[type] !== undefined) yield { type, text: type === 'string' ? whole.slice(1, -1) : whole }
  }
}

function callsOf(tokens: readonly LuaToken[]): RedisCall[] {
  return tokens.flatMap(({ text }, at) => {
    const isCall = text === 'redis' && /^p?call$/.test(tokens[at + 2]?.text ?? '')
    if (!isCall) return []
    const args = argumentsFrom(tokens, at + 3)
    const [command] = args[0] ?? []
    return [{ command: command?.type === 'string' ? command.text : '(computed)', args }]
  })
}

/** What stands between a parenthesis and its end, by commas. */
export function argumentsFrom(tokens: readonly LuaToken[], open: number): LuaToken[][] {
  const args: LuaToken[][] = [[]]
  let depth = 0
  for (const token of tokens.slice(open)) {
    const isSign = token.type === 'sign'
    if (isSign && /^[([{]$/.test(token.text) && ++depth === 1) continue
    if (isSign && /^[)\]}]$/.test(token.text) && --depth === 0) return args
    if (isSign && token.text === ',' && depth === 1) args.push([])
    else args.at(-1)?.push(token)
  }
  return args
}

const KEYWORDS = new Set(
  'and break do else elseif end false for function if in local nil not or repeat return then true until while'.split(
    ' ',
  ),
)

/** Names that stand for a variable: no keyword, no member, no name of a table's field. */
export function variablesOf(tokens: readonly LuaToken[]): { name: string; at: number }[] {
  const open: string[] = []
  return tokens.flatMap(({ type, text }, at) => {
    if (type === 'sign' && /^[({[]$/.test(text)) open.push(text)
    if (type === 'sign' && /^[)}\]]$/.test(text)) open.pop()
    const before = tokens[at - 1]?.text ?? ''
    const isField = open.at(-1) === '{' && tokens[at + 1]?.text === '=' && /^[{,;]$/.test(before)
    const isMember = tokens[at - 1]?.type === 'sign' && /^[.:]$/.test(before)
    return type !== 'name' || KEYWORDS.has(text) || isField || isMember ? [] : [{ name: text, at }]
  })
}

/** Names that a script declares: `local a, b`, `local function f`, parameters, and what a `for` counts with. */
export function declaredIn(tokens: readonly LuaToken[]): Set<string> {
  const declared = new Set<string>()
  tokens.forEach(({ type, text }, at) => {
    if (type !== 'name' || !/^(?:local|for|function)$/.test(text)) return
    let from = at + 1
    if (text === 'function') while (tokens[from]?.text !== '(') from++
    if (text === 'function' || tokens[from]?.text === 'function') from++
    for (let next = from; tokens[next]?.type === 'name'; next += 2) {
      declared.add(tokens[next]?.text as string)
      if (tokens[next + 1]?.text !== ',') break
    }
  })
  return declared
}
