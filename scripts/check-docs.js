/**
 * Checks the documentation: type-checks the code blocks of README.md against the built package,
 * resolves relative links and anchors, and looks up every npm script the README names.
 *
 * Every `ts` block is checked unless `<!-- no-check -->` stands before it; `js`, `mjs` and `cjs`
 * blocks are checked when `<!-- check -->` stands before them.
 */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * @typedef {{ language: string, code: string, line: number, comment: string }} Block
 *   `line` is the number of the first line of code
 * @typedef {{ prose: string[], blocks: Block[] }} Parsed
 *   `prose` has one entry a line, blank where the line is code
 */

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const work = join(root, '.tmp', 'docs')
const documents = ['README.md', 'CHANGELOG.md', 'SECURITY.md']

/** @type {string[]} */
const problems = []
/** @type {Map<string, Parsed>} */
const parsed = new Map()
/** @type {Map<string, Set<string>>} */
const anchorsOf = new Map()

let links = 0
for (const name of documents) {
  if (existsSync(join(root, name))) checkLinks(name)
  else problems.push(`${name}: missing`)
}
const scripts = existsSync(join(root, 'README.md')) ? checkScripts() : 0
const blocks = existsSync(join(root, 'README.md')) ? checkBlocks() : 0

for (const problem of problems) console.error(problem)
console.log(
  `docs: ${blocks} code blocks, ${links} links, ${scripts} npm scripts checked, ${problems.length} problems`,
)
process.exitCode = problems.length > 0 ? 1 : 0

/**
 * @param {string} file
 * @returns {Parsed}
 */
function parse(file) {
  const known = parsed.get(file)
  if (known) return known
  /** @type {string[]} */
  const prose = []
  /** @type {Block[]} */
  const found = []
  let fence = ''
  let indent = 0
  /** @type {Block | undefined} */
  let block
  let comment = ''
  const lines = readFileSync(file, 'utf8').split(/\r?\n/)
  for (const [index, line] of lines.entries()) {
    const mark = /^(\s*)(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/.exec(line)
    if (block) {
      prose.push('')
      if (mark && mark[3] === '' && mark[2]?.startsWith(fence)) {
        found.push(block)
        block = undefined
      } else {
        block.code += `${line.slice(Math.min(indent, line.length - line.trimStart().length))}\n`
      }
      continue
    }
    if (mark) {
      indent = mark[1]?.length ?? 0
      fence = mark[2] ?? ''
      block = { language: (mark[3] ?? '').toLowerCase(), code: '', line: index + 2, comment }
      comment = ''
      prose.push('')
      continue
    }
    if (line.trim() !== '') comment = /^\s*<!--\s*(.*?)\s*-->\s*$/.exec(line)?.[1] ?? ''
    prose.push(line)
  }
  if (block) problems.push(`${relative(root, file)}:${block.line - 1}: the code block is not closed`)
  const result = { prose, blocks: found }
  parsed.set(file, result)
  return result
}

/**
 * The anchors GitHub gives a document.
 * @param {string} file
 */
function anchors(file) {
  const known = anchorsOf.get(file)
  if (known) return known
  /** @type {Set<string>} */
  const result = new Set()
  /** @type {Map<string, number>} */
  const seen = new Map()
  const { prose } = parse(file)
  for (const [index, line] of prose.entries()) {
    for (const [, id] of line.matchAll(/<\w+[^>]*\s(?:id|name)=["']([^"']+)["']/g)) result.add(id ?? '')
    const atx = /^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$/.exec(line)?.[1]
    const setext =
      /^ {0,3}(?:=+|-{2,})\s*$/.test(prose[index + 1] ?? '') && /\w/.test(line) ? line : undefined
    const heading = atx ?? setext
    if (heading === undefined) continue
    const slug = heading
      .replace(/!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])/g, '$1')
      .replace(/<[^>]+>(?=[^`]*(?:`[^`]*`[^`]*)*$)/g, '')
      .toLowerCase()
      .trim()
      .replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-')
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    result.add(count === 0 ? slug : `${slug}-${count}`)
  }
  anchorsOf.set(file, result)
  return result
}

/** @param {string} name */
function checkLinks(name) {
  const file = join(root, name)
  for (const [index, line] of parse(file).prose.entries()) {
    const text = line.replace(/(`+)(?!`).*?[^`]\1(?!`)/g, (code) => 'x'.repeat(code.length))
    const targets = [
      ...text.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+["'][^)]*)?\)/g),
      ...text.matchAll(/^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)/g),
      ...text.matchAll(/<(?:a|img|source)\b[^>]*\s(?:href|src|srcset)=["']([^"']+)["']/g),
    ]
    for (const [, target = ''] of targets) {
      if (/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(target)) continue
      links++
      const fault = linkFault(file, target)
      if (fault) problems.push(`${name}:${index + 1}: ${target}: ${fault}`)
    }
  }
}

/**
 * @param {string} from
 * @param {string} target
 */
function linkFault(from, target) {
  const [path = '', fragment] = target.split('#', 2)
  const file = path === '' ? from : resolve(dirname(from), decodeURIComponent(path))
  if (relative(root, file).startsWith('..')) return 'leads out of the repository'
  if (!existsSync(file)) return 'no such file'
  if (fragment === undefined || !file.endsWith('.md') || !statSync(file).isFile()) return undefined
  return anchors(file).has(decodeURIComponent(fragment)) ? undefined : 'no such heading'
}

function checkScripts() {
  const { scripts: known } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const names = new Set()
  const lines = readFileSync(join(root, 'README.md'), 'utf8').split('\n')
  for (const [index, line] of lines.entries()) {
    for (const match of line.matchAll(/\bnpm (?:run(?:-script)? (?:-\S+ )*([\w][\w:.-]*)|(test|start)\b)/g)) {
      const script = (match[1] ?? match[2] ?? '').replace(/[.:]+$/, '')
      names.add(script)
      if (!Object.hasOwn(known, script)) {
        problems.push(`README.md:${index + 1}: package.json has no script '${script}'`)
      }
    }
  }
  return names.size
}

function checkBlocks() {
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  /** @type {string[]} */
  const files = []
  for (const { language, code, line, comment } of parse(join(root, 'README.md')).blocks) {
    const wanted =
      language === 'ts' ? comment !== 'no-check' : /^(?:[mc]?js)$/.test(language) && comment === 'check'
    if (!wanted) continue
    // The blank lines give the compiler's messages the line numbers of the document.
    const file = `readme-${line}.${language}`
    writeFileSync(join(work, file), '\n'.repeat(line - 1) + code)
    files.push(file)
  }
  if (files.length === 0) return 0
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023', 'dom'],
    module: 'nodenext',
    moduleDetection: 'force',
    types: ['node'],
    strict: true,
    noEmit: true,
    allowJs: true,
    checkJs: true,
    skipLibCheck: true,
    isolatedModules: true,
  }
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }, null, 2))
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const run = spawnSync(process.execPath, [tsc, '-p', work, '--pretty', 'false'], {
    cwd: work,
    encoding: 'utf8',
  })
  if (run.status === 0) return files.length
  const output = `${run.stdout}${run.stderr}`.trim()
  for (const line of output.split('\n')) {
    problems.push(line.replace(/^.*readme-\d+\.[cm]?[jt]s\((\d+),(\d+)\)/, 'README.md:$1:$2'))
  }
  if (output === '') problems.push(`README.md: tsc ended with ${run.status ?? run.signal}`)
  return files.length
}
