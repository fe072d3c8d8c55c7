/** Nothing that is read here has more levels, and recursion over a few thousand of them is over the stack. */
const MAX_DEPTH = 32

/**
 * Is there an object in this JSON text that names a member twice, or has `__proto__`, or is it nested too deeply? Parsers differ
 * in what they make of it, so two readers of one document would see different ones (RFC 8259 §4, §9).
 * @param json a text that JSON.parse takes
 */
export function hasAmbiguousMember(json: string): boolean {
  /** The members so far of each open object; `undefined` for an open array. */
  const open: (Set<string> | undefined)[] = []
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === '{') open.push(new Set())
    else if (token === '[') open.push(undefined)
    if (open.length > MAX_DEPTH) return true
    if (token === '}' || token === ']') open.pop()
    else if (token.endsWith(':')) {
      const name: string = JSON.parse(token.replace(/\s*:$/, ''))
      const members = open.at(-1)
      if (name === '__proto__' || members?.has(name)) return true
      members?.add(name)
    }
  }
  return false
}
