/** Scope by resource as scripts read it: a line each of the resource and its scope tokens, each with a space behind. */
export function linesOf(scopeByResource: ReadonlyMap<string, ReadonlySet<string>>): string {
  let lines = '\n'
  for (const [resource, scope] of scopeByResource) lines += `${[resource, ...scope].join(' ')} \n`
  return lines
}

export function readLines(lines: string): Map<string, Set<string>> {
  return new Map(
    lines
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [resource = '', ...scope] = line.trimEnd().split(' ')
        return [resource, new Set(scope)]
      }),
  )
}
