import { OAuthError } from './oauth-error.ts'
import { canonicalResource } from './resource-uri.ts'
import { coversScope } from './scope.ts'

/** A protected resource (RFC 8707, RFC 9728) as the configuration has it. */
export interface Resource {
  /** Canonical URL: the `resource` parameter, and the `aud` of its tokens unless `audience` says otherwise. */
  readonly identifier: string
  readonly audience: string
  readonly name: string | undefined
  /** Scope tokens with the app's words for people; an empty text where it gave none. */
  readonly scopes: ReadonlyMap<string, string>
  readonly defaultScope: readonly string[]
  /** Seconds. */
  readonly accessTokenLifetime: number
  readonly accessTokenFormat: 'jwt' | 'opaque'
}

/** All resources by identifier, and the one for requests that name none. */
export interface ResourceCatalogue {
  readonly all: ReadonlyMap<string, Resource>
  readonly fallback: Resource | undefined
}

/** The scope tokens of a resource, or `undefined` where there is no such resource. */
export function scopesOf({ all }: ResourceCatalogue, identifier: string): readonly string[] | undefined {
  const scopes = all.get(identifier)?.scopes
  return scopes && [...scopes.keys()]
}

/** The most resources that one request may name. */
const MAX_RESOURCES = 8

/**
 * The resources that a request names, or the default one.
 * @throws OAuthError `invalid_target` (RFC 8707 §2)
 */
export function readResources(catalogue: ResourceCatalogue, requested: readonly string[]): Resource[] {
  if (requested.length > MAX_RESOURCES)
    throw new OAuthError('invalid_target', `at most ${MAX_RESOURCES} resources may be named`)
  if (requested.length === 0) {
    if (catalogue.fallback === undefined)
      throw new OAuthError(
        'invalid_target',
        'name the resource that the token is for (RFC 8707); this server has no default one',
      )
    return [catalogue.fallback]
  }
  return [...new Set(requested)].map((text) => {
    const canonical = canonicalResource(text)
    const resource = canonical === undefined ? undefined : catalogue.all.get(canonical)
    if (resource === undefined)
      throw new OAuthError(
        'invalid_target',
        'resource is not one that this server issues tokens for (RFC 8707 section 2)',
      )
    return resource
  })
}

/** What a client may ask for, as far as scopes go. */
export interface ScopeLimits {
  readonly defaultScope?: readonly string[]
  readonly allowedScope?: readonly string[]
}

/** `offline_access` is understood and left out: the grant type decides about refresh tokens, not a scope. */
export const OFFLINE_ACCESS = 'offline_access'

/**
 * The scope that a new authorization may have: what was asked for, else the client's default, else the resources'.
 * @throws OAuthError `invalid_scope` for a scope that the resources do not have or the client may not have
 */
export function readNewScope(
  resources: readonly Resource[],
  requested: readonly string[] | undefined,
  limits: ScopeLimits,
): string[] {
  const known = new Set(resources.flatMap((resource) => [...resource.scopes.keys()]))
  const allowed =
    limits.allowedScope === undefined
      ? known
      : new Set(limits.allowedScope.filter((scope) => known.has(scope)))
  const named = requested?.filter((scope) => scope !== OFFLINE_ACCESS)
  if (named !== undefined && named.length > 0) {
    if (!coversScope(allowed, named))
      throw new OAuthError(
        'invalid_scope',
        'scope has a token that is unknown for this resource or not allowed for this client',
      )
    return named
  }
  const fallback = (limits.defaultScope ?? resources.flatMap((resource) => resource.defaultScope)).filter(
    (scope) => allowed.has(scope),
  )
  if (fallback.length === 0)
    throw new OAuthError(
      'invalid_scope',
      'name the scope: there is no default one for this client and resource',
    )
  return [...new Set(fallback)]
}

/**
 * What one access token of a grant may say: its one audience, and the part of the scope that this resource has and the
 * client may still have today. Where several resources were granted and none is named, it is the first of them.
 * @throws OAuthError `invalid_target` or `invalid_scope` where nothing is left
 */
export function readTokenTarget(
  catalogue: ResourceCatalogue,
  granted: { readonly resources: readonly string[]; readonly scope: readonly string[] },
  requested: { readonly resource?: string | undefined; readonly scope?: readonly string[] | undefined },
  limits: ScopeLimits,
): { resource: Resource; scope: string[] } {
  const resource = catalogue.all.get(requested.resource ?? granted.resources[0] ?? '')
  if (resource === undefined)
    throw new OAuthError('invalid_target', 'the resource is no longer one that this server issues tokens for')
  const scope = (requested.scope ?? granted.scope).filter(
    (token) => resource.scopes.has(token) && (limits.allowedScope?.includes(token) ?? true),
  )
  if (scope.length === 0)
    throw new OAuthError('invalid_scope', 'nothing of the scope is left for this resource and client')
  return { resource, scope }
}
