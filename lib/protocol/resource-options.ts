import {
  type Check,
  either,
  listOf,
  object,
  oneOf,
  optional,
  recordOf,
  text,
  verified,
  whole,
} from './options.ts'
import type { Resource, ResourceCatalogue } from './resource.ts'
import { canonicalResource, problemOfPublishedUrl } from './resource-uri.ts'
import { isScopeToken } from './scope.ts'

/** A protected resource in the configuration, under its URL. */
export interface ResourceOptions {
  /** Scope tokens; or each with words for people, which the consent page shows. At most 100, and 1,000 characters in all. */
  scopes: string[] | Record<string, string>
  /** What a request without `scope` gets (default nothing: such a request is refused). */
  defaultScopes?: string[] | undefined
  /** Seconds that an access token lives (default 300, 1 to 86,400). */
  accessTokenLifetime?: number | undefined
  /**
   * A JWT says its claims itself; an opaque token says nothing, and lies in the store under its hash (default `jwt`). Both are
   * accepted at any time, so a resource can go from one to the other.
   */
  accessTokenFormat?: 'jwt' | 'opaque' | undefined
  /** The `aud` of its tokens (default its URL). */
  audience?: string | undefined
  /** What people call it (default its host). */
  name?: string | undefined
}

/** The longest scope that a resource's tokens may carry, so that they fit into a header. */
const MAX_SCOPE_CHARACTERS = 1000

const scopeToken: Check<string> = verified((value) =>
  typeof value === 'string' && isScopeToken(value)
    ? undefined
    : 'must be a scope token: printable ASCII without spaces, quotes and backslashes (RFC 6749 section 3.3)',
)

const words: Check<Record<string, string>> = (value, path, report) => {
  const scopes = recordOf(text({ max: 200 }), { min: 1 })(value, path, report)
  for (const scope of Object.keys(scopes)) scopeToken(scope, `${path}[${JSON.stringify(scope)}]`, report)
  return scopes
}

const resource = object({
  scopes: either((value) => Array.isArray(value), listOf(scopeToken, { min: 1 }), words),
  defaultScopes: optional(listOf(scopeToken)),
  accessTokenLifetime: optional(whole('seconds', 1, 86_400), 300),
  accessTokenFormat: optional(oneOf('jwt', 'opaque'), 'jwt'),
  audience: optional(text({ max: 512, pattern: /^[\x21-\x7e]+$/, what: 'printable ASCII without spaces' })),
  name: optional(text({ max: 100 })),
})

/** The `resources` option: checked, and made into a catalogue by `catalogueOf`. */
export const resourcesOption: Check<Record<string, ReturnType<typeof resource>>> = (value, path, report) => {
  const resources = recordOf(resource, { min: 1, max: 50 })(value, path, report)
  const audiences = new Set<string>()
  for (const [identifier, { scopes = [], defaultScopes, audience = identifier }] of Object.entries(
    resources,
  )) {
    const where = `${path}[${JSON.stringify(identifier)}]`
    const problem = problemOfPublishedUrl(identifier)
    if (problem !== undefined) report(`${where}: the URL of a resource ${problem}`)
    else if (canonicalResource(identifier) !== identifier || identifier.endsWith('/'))
      report(`${where}: write the URL without fragment and without a trailing slash`)
    const names = Array.isArray(scopes) ? scopes : Object.keys(scopes)
    if (names.join(' ').length > MAX_SCOPE_CHARACTERS)
      report(
        `${where}.scopes have ${names.join(' ').length} characters together; at most ${MAX_SCOPE_CHARACTERS} fit into a token`,
      )
    for (const scope of defaultScopes ?? [])
      if (!names.includes(scope))
        report(`${where}.defaultScopes has ${JSON.stringify(scope)}, which is not in scopes`)
    if (audiences.has(audience))
      report(`${where}.audience ${JSON.stringify(audience)} is another resource's too`)
    audiences.add(audience)
  }
  return resources
}

/** @param fallback the default resource; where there is just one resource it is that one */
export function catalogueOf(
  resources: ReturnType<typeof resourcesOption>,
  fallback: string | undefined,
): ResourceCatalogue {
  const all = new Map<string, Resource>()
  for (const [identifier, options] of Object.entries(resources)) {
    const scopes = Array.isArray(options.scopes)
      ? options.scopes.map((scope) => [scope, ''] as const)
      : Object.entries(options.scopes)
    all.set(identifier, {
      identifier,
      audience: options.audience ?? identifier,
      name: options.name,
      scopes: new Map(scopes),
      defaultScope: options.defaultScopes ?? [],
      accessTokenLifetime: options.accessTokenLifetime,
      accessTokenFormat: options.accessTokenFormat,
    })
  }
  const only = all.size === 1 ? [...all.values()][0] : undefined
  return { all, fallback: fallback === undefined ? only : all.get(fallback) }
}
