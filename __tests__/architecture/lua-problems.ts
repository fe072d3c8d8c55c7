import { argumentsFrom, countOf, declaredIn, type LuaScript, outcomesNamed, variablesOf } from './lua.ts'

const READING = new Set('TIME GET GETRANGE EXISTS PTTL HGET HMGET HGETALL ZRANGEBYSCORE'.split(' '))
const BUILT_IN = 'redis KEYS ARGV string table math struct tonumber type ipairs unpack'.split(' ')
/** The one that asks for permissions has its commands in a list. */
const PROBE = 'check-permissions'

/** What is wrong with a script, by what the README of the scripts, their headers, says of them. */
export function problemsOf(script: LuaScript, prologue: LuaScript): string[] {
  return [
    ...problemsOfHeader(script),
    ...problemsOfKeys(script),
    ...problemsOfNames(script, declaredIn(prologue.tokens)),
    ...problemsOfText(script),
  ]
}

function problemsOfHeader({ name, header, tokens, calls }: LuaScript): string[] {
  if (header === undefined)
    return ['the header has another form than "what it does. KEYS, ARGV, Reply, Run twice"']
  const problems: string[] = []
  for (const [list, said] of [
    ['KEYS', header.keys],
    ['ARGV', header.argv],
  ] as const) {
    const count = countOf(said)
    if (count === undefined) problems.push(`${list} of the header do not count up from 1`)
    const used = new Set(
      tokens.flatMap(({ text }, at) => {
        if (text !== list) return []
        const index = tokens[at + 2]
        if (tokens[at + 1]?.text === '[' && index?.type === 'number' && tokens[at + 3]?.text === ']')
          return [Number(index.text)]
        problems.push(`${list} is used without a number`)
        return []
      }),
    )
    for (let number = 1; number <= (count ?? 0); number++)
      if (!used.delete(number)) problems.push(`${list}[${number}] is in the header and not used`)
    for (const number of used) problems.push(`${list}[${number}] is used and not in the header`)
  }

  const named = new Set(outcomesNamed(header.reply))
  const given = outcomesOf(tokens)
  for (const outcome of given)
    if (!named.delete(outcome)) problems.push(`the header does not name ${outcome}`)
  for (const outcome of named) problems.push(`the header names ${outcome}, which is never replied`)

  const writes = name === PROBE || calls.some(({ command }) => !READING.has(command))
  if (writes && header.runTwice === undefined)
    problems.push('it writes, and the header does not say: Run twice')
  if (writes === header.does.endsWith('Changes nothing.'))
    problems.push('the header is wrong on whether it changes anything')
  return problems
}

/** Words in the first argument of `reply(…)`, and those that its functions return to stand there. */
function outcomesOf(tokens: LuaScript['tokens']): Set<string> {
  return new Set(
    tokens.flatMap(({ text }, at) => {
      const [first = []] = text === 'reply' ? argumentsFrom(tokens, at + 1) : []
      const returned = text === 'return' && tokens[at + 1]?.type === 'string' ? [tokens[at + 1]] : []
      // What is compared with is no outcome, and neither is a command.
      const words = first.filter(
        (token, index) =>
          token.type === 'string' &&
          first[index - 1]?.text !== '==' &&
          !/^p?call$/.test(first[index - 2]?.text ?? ''),
      )
      return [...words, ...returned].map((token) => token?.text as string)
    }),
  )
}

/** Keys are what the caller named, as they are; commands are written out. */
function problemsOfKeys({ name, tokens, calls }: LuaScript): string[] {
  const problems = calls.flatMap(({ command, args }) => {
    if (command === '(computed)') return name === PROBE ? [] : ['a command is computed']
    if (command !== command.toUpperCase()) return [`${command} is not in capitals`]
    if (command === 'TIME') return []
    const key = (args[1] ?? []).map(({ text }) => text).join('')
    const isRight = command === 'PUBLISH' ? /^ARGV\[\d+\]$/ : /^KEYS\[\d+\]$/
    return isRight.test(key) ? [] : [`${command} on ${key || 'nothing'}, which is no key of the caller`]
  })
  tokens.forEach(({ text }, at) => {
    if (text !== 'KEYS') return
    const around = [tokens[at - 1]?.text, tokens[at + 4]?.text]
    if (around.includes('..')) problems.push('a name is built of a key')
  })
  return problems
}

function problemsOfNames({ tokens }: LuaScript, given: ReadonlySet<string>): string[] {
  const declared = declaredIn(tokens)
  const known = new Set([...declared, ...given, ...BUILT_IN])
  const problems = variablesOf(tokens)
    .filter(({ name }) => !known.has(name))
    .map(({ name }) => `${name} is global`)
  for (const { name, at } of variablesOf(tokens)) {
    const isAssigned = tokens[at + 1]?.text === '=' && tokens[at - 1]?.text !== ','
    if (isAssigned && BUILT_IN.includes(name) && !declared.has(name)) problems.push(`${name} is replaced`)
  }
  return problems
}

function problemsOfText({ text, tokens }: LuaScript): string[] {
  const problems = tokens.filter(({ type }) => type === 'other').map(() => 'no sign of Lua')
  if (/[^\n\x20-\x7e]/.test(text)) problems.push('something is not ASCII')
  if (/\[=*\[/.test(text)) problems.push('long brackets, which these checks do not read')
  if (/\b(?:loadstring|load|dofile|setfenv|getfenv|_G|rawset)\b/.test(text)) problems.push('it runs text')
  if (!text.endsWith('\n') || / \n/.test(text)) problems.push('white space at an end')
  return problems
}
