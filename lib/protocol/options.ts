/** Thrown while the app starts: says which option, what is wrong, and what would be right. */
export class ConfigurationError extends TypeError {
  override readonly name = 'ConfigurationError'
  readonly problems: readonly string[]

  constructor(what: string, problems: readonly string[]) {
    super(
      `${what}: ${problems.length === 1 ? problems[0] : problems.map((problem) => `\n  - ${problem}`).join('')}`,
    )
    this.problems = problems
  }
}

type Report = (problem: string) => void

/** Reads one value: returns it (or its default), or reports what is wrong. */
export type Check<T> = (value: unknown, path: string, report: Report) => T

type Shape = Record<string, Check<unknown>>
type Read<S extends Shape> = { [K in keyof S]: ReturnType<S[K]> }

/**
 * Checks a whole options object and throws one error that lists everything wrong with it.
 * @throws ConfigurationError
 */
export function readOptions<S extends Shape>(
  what: string,
  value: unknown,
  shape: S,
  more?: (options: Read<S>, report: Report) => void,
): Read<S> {
  const problems: string[] = []
  const report: Report = (problem) => problems.push(problem)
  const options = object(shape)(value, '', report)
  if (problems.length === 0) more?.(options, report)
  if (problems.length > 0) throw new ConfigurationError(what, problems)
  return options
}

/** An object with just these members; another one is reported with the nearest known name. */
export function object<S extends Shape>(shape: S): Check<Read<S>> {
  return (value, path, report) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      report(`${path || 'options'} must be an object, not ${describe(value)}`)
      return {} as Read<S>
    }
    const known = Object.keys(shape)
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(shape, name))
        report(`${join(path, name)} is not an option${suggestion(name, known)}`)
    }
    const read: Record<string, unknown> = {}
    for (const [name, check] of Object.entries(shape))
      read[name] = check((value as Record<string, unknown>)[name], join(path, name), report)
    return read as Read<S>
  }
}

/** An object all of whose members may be left out, and which may be left out itself: the defaults are those of the members. */
export function optionalObject<S extends Shape>(shape: S): Check<Read<S>> {
  const check = object(shape)
  return (value, path, report) => check(value === undefined ? {} : value, path, report)
}

export function optional<T>(check: Check<T>): Check<T | undefined>
export function optional<T>(check: Check<T>, fallback: T): Check<T>
export function optional<T>(check: Check<T>, fallback?: T): Check<T | undefined> {
  return (value, path, report) => (value === undefined ? fallback : check(value, path, report))
}

export function text({
  max = 2048,
  pattern,
  what,
}: {
  max?: number
  pattern?: RegExp
  what?: string
} = {}): Check<string> {
  return (value, path, report) => {
    if (typeof value !== 'string' || value === '' || value.length > max)
      report(`${path} must be ${what ?? `a string of 1 to ${max} characters`}, not ${describe(value)}`)
    else if (pattern !== undefined && !pattern.test(value))
      report(`${path} must be ${what ?? `like ${pattern}`}, not ${describe(value)}`)
    return value as string
  }
}

/** A whole number of `unit` within bounds. */
export function whole(unit: string, min: number, max: number): Check<number> {
  return (value, path, report) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      report(`${path} must be a whole number of ${unit} from ${min} to ${max}, not ${describe(value)}`)
    }
    return value as number
  }
}

export const flag: Check<boolean> = (value, path, report) => {
  if (typeof value !== 'boolean') report(`${path} must be true or false, not ${describe(value)}`)
  return value as boolean
}

export function oneOf<const T extends string | boolean>(...choices: T[]): Check<T> {
  return (value, path, report) => {
    if (!choices.includes(value as T)) {
      const near =
        typeof value === 'string'
          ? suggestion(
              value,
              choices.filter((choice) => typeof choice === 'string'),
            )
          : ''
      report(
        `${path} must be ${choices.map((choice) => JSON.stringify(choice)).join(' or ')}, not ${describe(value)}${near}`,
      )
    }
    return value as T
  }
}

export function callback<F extends (...args: never[]) => unknown>(): Check<F> {
  return (value, path, report) => {
    if (typeof value !== 'function') report(`${path} must be a function, not ${describe(value)}`)
    return value as F
  }
}

export function listOf<T>(check: Check<T>, { min = 0, max = 100 } = {}): Check<T[]> {
  return (value, path, report) => {
    if (!Array.isArray(value)) {
      report(`${path} must be an array, not ${describe(value)}`)
      return []
    }
    if (value.length < min || value.length > max)
      report(`${path} must have ${min} to ${max} entries, not ${value.length}`)
    return value.slice(0, max).map((entry, index) => check(entry, `${path}[${index}]`, report))
  }
}

export function recordOf<T>(check: Check<T>, { min = 0, max = 100 } = {}): Check<Record<string, T>> {
  return (value, path, report) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      report(`${path} must be an object, not ${describe(value)}`)
      return {}
    }
    const entries = Object.entries(value)
    if (entries.length < min || entries.length > max)
      report(`${path} must have ${min} to ${max} entries, not ${entries.length}`)
    return Object.fromEntries(
      entries
        .slice(0, max)
        .map(([name, entry]) => [name, check(entry, `${path}[${JSON.stringify(name)}]`, report)]),
    )
  }
}

/** The first check whose kind fits decides: `either` an array `or` an object, say. */
export function either<A, B>(
  fits: (value: unknown) => boolean,
  first: Check<A>,
  second: Check<B>,
): Check<A | B> {
  return (value, path, report) => (fits(value) ? first(value, path, report) : second(value, path, report))
}

/** Lets a value through as it is, once `test` finds no problem in it. */
export function verified<T>(problemOf: (value: unknown) => string | undefined): Check<T> {
  return (value, path, report) => {
    const problem = problemOf(value)
    if (problem !== undefined) report(`${path} ${problem}; it is ${describe(value)}`)
    return value as T
  }
}

/** Says what a value is without repeating one that may be secret. */
function describe(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string')
    return value.length === 0
      ? 'an empty string'
      : value.length <= 80 && /^[\w:/.[\]-]+$/.test(value) && !/^[\w-]{20,}$/.test(value)
        ? JSON.stringify(value)
        : `a string of ${value.length} characters`
  return Array.isArray(value) ? 'an array' : typeof value === 'function' ? 'a function' : 'an object'
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

/** The nearest known name, or all of them, as the end of a sentence. */
export function suggestion(name: string, known: readonly string[]): string {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.ceil(name.length / 3)) + 1
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best === undefined ? `; known: ${known.join(', ')}` : `; did you mean ${best}?`
}

/** Levenshtein distance; both texts are short names from a source file. */
function editDistance(a: string, b: string): number {
  if (a.length > 60 || b.length > 60) return 60
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(
        (row[j] ?? 0) + 1,
        (next[j - 1] ?? 0) + 1,
        (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1),
      )
    }
    row = next
  }
  return row[b.length] ?? 60
}

/** Nothing of the value is repeated: one that is too short may be a secret all the same. */
export function secretOf(min: number): Check<string> {
  return (value, path, report) => {
    if (typeof value !== 'string' || value.length < min || value.length > 1024)
      report(
        `${path} must be a string of ${min} to 1024 characters, not ${typeof value === 'string' ? `one of ${value.length}` : `of type ${typeof value}`}`,
      )
    return value as string
  }
}
