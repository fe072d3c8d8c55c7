import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix, relative, sep } from 'node:path'
import { parseSync } from '@swc/core'

export interface Source {
  /** Relative to lib, with forward slashes. */
  readonly file: string
  readonly lines: number
  /** What it imports, type imports and `import('…')` too: files of lib relative to it, packages by name. */
  readonly imports: readonly { readonly from: string; readonly names: readonly string[] }[]
  /** Every node of its syntax tree. */
  readonly nodes: readonly Node[]
}

export interface Node {
  readonly type: string
  // biome-ignore lint/suspicious/noExplicitAny: the nodes of a syntax tree are of many shapes
  readonly [member: string]: any
}

const lib = join(import.meta.dirname, '..', '..', 'lib')

/** Every source file of the library, parsed. */
export function readSources(): Source[] {
  return readdirSync(lib, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      return readSource(relative(lib, path).split(sep).join('/'), readFileSync(path, 'utf8'))
    })
    .sort((a, b) => (a.file < b.file ? -1 : 1))
}

export function readSource(file: string, text: string): Source {
  const nodes = [...nodesOf(parseSync(text, { syntax: 'typescript', target: 'es2023' }))]
  return {
    file,
    lines: text.trimEnd().split('\n').length,
    imports: nodes.flatMap((node) => importOf(node, file)),
    nodes,
  }
}

function* nodesOf(value: unknown): Generator<Node> {
  if (typeof value !== 'object' || value === null) return
  if ('type' in value && typeof value.type === 'string') yield value as Node
  for (const member of Object.values(value)) yield* nodesOf(member)
}

function importOf(node: Node, file: string): { from: string; names: string[] }[] {
  const isDynamic = node.type === 'CallExpression' && node.callee.type === 'Import'
  const from: unknown = isDynamic
    ? node.arguments[0]?.expression.value
    : node.type === 'TsImportType'
      ? node.argument.value
      : /^(?:ImportDeclaration|ExportNamedDeclaration|ExportAllDeclaration)$/.test(node.type)
        ? node.source?.value
        : undefined
  if (typeof from !== 'string') return isDynamic ? [{ from: '(computed)', names: [] }] : []
  const names = ((node.specifiers ?? []) as Node[]).map(
    ({ imported, local, orig }) => (imported ?? local ?? orig)?.value as string,
  )
  return [{ from: from.startsWith('.') ? posix.join(dirname(file), from) : from, names }]
}
