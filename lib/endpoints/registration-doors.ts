import type { Request } from 'express'
import type { AatParts } from '../http/aat.ts'
import { clientAddress } from '../http/client-address.ts'
import { countHeader } from '../http/headers.ts'
import { tokenHash } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import { type Check, callback, either, listOf, object, oneOf, optional, text } from '../protocol/options.ts'
import { wellKnownUrl } from '../protocol/resource-uri.ts'
import { readOwnAccessToken } from './read-token.ts'

type AskApp = (req: Request) => boolean | Promise<boolean>

/** A way in for registrations; `policy` names a policy of `registration.policies` (default the endpoint's). */
export type RegistrationDoor =
  /** For anybody: must come last. */
  | 'anyone'
  | { readonly to: 'anyone'; readonly policy?: string | undefined }
  /** For holders of a token of `aat.initialAccessTokens`, each by the policy of its own. */
  | 'initial-access-token'
  | { readonly to: 'initial-access-token' }
  /** For holders of an access token with a scope (default `clients:register`) for a resource (default the one that has the scope). */
  | 'access-token'
  | {
      readonly to: 'access-token'
      readonly scope?: string | undefined
      readonly resource?: string | undefined
      readonly policy?: string | undefined
    }
  /** For whom the app says so; only `true` opens. */
  | AskApp
  | { readonly to: AskApp; readonly policy?: string | undefined }

/** Who came in, and by what policy its client is judged. */
export interface Admission {
  readonly by: 'anyone' | 'app' | 'initial-access-token' | 'access-token'
  readonly policy: string
  /** Whom quotas of one source count; absent: a token that is counted by itself. */
  readonly source?: string
  /** Id of the initial access token. */
  readonly initialAccessToken?: string
  /**
   * Takes a use of a token that has only so many, and returns what gives it back: to an initial access token, for a use of
   * an access token is one whatever comes of it. Absent: nothing is used up.
   * @throws OAuthError 401 where none is left
   */
  readonly takeUse?: () => Promise<() => Promise<void>>
}

const isFunction = (value: unknown) => typeof value === 'function'
const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value)
const words = ['anyone', 'initial-access-token', 'access-token'] as const
const policy = optional(text({ max: 32 }))
const door = either(
  isFunction,
  callback<AskApp>(),
  either(
    isObject,
    object({
      to: either(isFunction, callback<AskApp>(), oneOf(...words)),
      scope: optional(text({ max: 128, pattern: /^[\x21\x23-\x5b\x5d-\x7e]+$/, what: 'one scope token' })),
      resource: optional(text()),
      policy,
    }),
    oneOf(...words),
  ),
)

export const doorsOption: Check<unknown> = either(
  Array.isArray,
  listOf(door, { min: 1, max: 20 }),
  either((value) => isFunction(value) || isObject(value), door, oneOf('nobody', ...words)),
)

type Open = (req: Request, bearer: string | undefined) => Promise<Admission | undefined>

/** The doors of one endpoint, in their order: the first that opens decides. Reports what does not fit together. */
export function doorsOf(
  given: unknown,
  defaultPolicy: string,
  parts: AatParts,
  report: (problem: string) => void,
): (req: Request) => Promise<Admission> {
  const list = given === 'nobody' ? [] : [given].flat().map(spelledOut)
  const kinds = list.map(({ to }) => to).filter((to) => typeof to === 'string')
  if (new Set(kinds).size !== kinds.length) report('allow has a door of one kind twice')
  if (kinds.includes('anyone') && list.at(-1)?.to !== 'anyone')
    report("allow: 'anyone' must come last, since nobody gets to the doors behind it")
  const open = list.find(({ to }) => to === 'anyone')
  for (const { policy: name } of list)
    if (name !== undefined && !parts.registrations.policies.has(name))
      report(`allow names a policy that is not one of registration.policies of createAat: ${name}`)
  const forToken = list.find(({ to }) => to === 'access-token')
  const needed = forToken && neededBy(forToken, parts, report)
  for (const each of list)
    if (each !== forToken && (each.scope !== undefined || each.resource !== undefined))
      report("allow: scope and resource are for the door to 'access-token'")
  if (forToken !== undefined && parts.dpop.required)
    report(
      "allow: with dpop.required every access token is bound to a key, and the door to 'access-token' takes none that is",
    )
  const openPolicy = open && parts.registrations.policies.get(open.policy ?? defaultPolicy)
  if (needed !== undefined && openPolicy?.scopes.includes(needed.scope))
    report(
      `allow: clients that anybody registers could have ${needed.scope} and register others; leave it out of registration.policies.${openPolicy.name}.scopes`,
    )
  const openers = list.map(openerOf)
  const takesTokens = kinds.some((kind) => kind !== 'anyone')

  function openerOf({ to, policy: name = defaultPolicy }: SpelledOut): Open {
    if (typeof to === 'function')
      return async (req) =>
        (await to(req)) === true ? { by: 'app', policy: name, source: clientAddress(req) } : undefined
    if (to === 'anyone') return async (req) => ({ by: 'anyone', policy: name, source: clientAddress(req) })
    if (to === 'initial-access-token') return (_req, bearer) => byInitialAccessToken(bearer)
    return (req, bearer) => byAccessToken(req, bearer, name)
  }

  async function byInitialAccessToken(bearer: string | undefined): Promise<Admission | undefined> {
    if (bearer === undefined || !parts.registrations.initialAccessTokens.isOne(bearer)) return undefined
    const token = await parts.registrations.initialAccessTokens.find(bearer)
    if (token === undefined || !parts.registrations.policies.has(token.policy)) throw invalidToken()
    return {
      by: 'initial-access-token',
      policy: token.policy,
      initialAccessToken: token.id,
      async takeUse() {
        const giveBack = await parts.registrations.initialAccessTokens.take(token.id)
        if (giveBack === undefined) throw invalidToken()
        return giveBack
      },
    }
  }

  async function byAccessToken(
    req: Request,
    bearer: string | undefined,
    name: string,
  ): Promise<Admission | undefined> {
    if (bearer === undefined || needed === undefined || parts.registrations.initialAccessTokens.isOne(bearer))
      return undefined
    const claims = await readOwnAccessToken(bearer, parts, clientAddress(req))
    // Who holds a token that is bound to a key has shown nothing of that key here.
    if (claims === undefined || claims.aud !== needed.audience || claims.cnf !== undefined)
      throw invalidToken()
    if (!claims.scope.split(' ').includes(needed.scope))
      throw new OAuthError('insufficient_scope', `registration needs an access token with ${needed.scope}`, {
        challenge: challengeOf('insufficient_scope'),
      })
    const limit = parts.revocations.limitOf(claims.jti)
    return {
      by: 'access-token',
      policy: name,
      ...(limit !== undefined && {
        async takeUse() {
          const use = parts.stores.accessTokens.use(tokenHash(claims.jti), limit.atMost ?? 0, limit.until)
          if ((await use) === 'exhausted') throw invalidToken()
          return async () => undefined
        },
      }),
      source: `token ${JSON.stringify([claims.client_id, claims.sub])}`,
    }
  }

  /** RFC 6750 §3: without credentials no error is named. */
  function challengeOf(error?: 'invalid_token' | 'insufficient_scope'): string {
    const parameters = [
      'realm="registration"',
      ...(error === undefined ? [] : [`error="${error}"`]),
      ...(needed === undefined
        ? []
        : [`scope="${needed.scope}"`, `resource_metadata="${needed.resourceMetadata}"`]),
    ]
    return `Bearer ${parameters.join(', ')}`
  }

  const invalidToken = () =>
    new OAuthError(
      'invalid_token',
      'the token is unknown, expired, revoked, used up, or not for registration',
      {
        challenge: challengeOf('invalid_token'),
      },
    )

  return async (req) => {
    const bearer = takesTokens ? readBearer(req) : undefined
    for (const open of openers) {
      const admission = await open(req, bearer)
      if (admission !== undefined) return admission
    }
    if (bearer !== undefined) throw invalidToken()
    if (takesTokens)
      throw new OAuthError('invalid_token', 'registration here needs a token', { challenge: challengeOf() })
    throw new OAuthError('access_denied', 'this server does not let you register a client')
  }
}

interface SpelledOut {
  readonly to: Extract<RegistrationDoor, string> | AskApp
  readonly scope?: string | undefined
  readonly resource?: string | undefined
  readonly policy?: string | undefined
}

function spelledOut(given: unknown): SpelledOut {
  return isObject(given) ? (given as SpelledOut) : { to: given as SpelledOut['to'] }
}

/** What an access token needs; the resource where it is not named is the only one that has the scope. */
function neededBy(
  { scope = 'clients:register', resource: named }: SpelledOut,
  { resources }: AatParts,
  report: (problem: string) => void,
): { scope: string; audience: string; resourceMetadata: string } | undefined {
  const having = [...resources.all.values()].filter(({ scopes }) => scopes.has(scope))
  const found = named === undefined ? having : having.filter(({ identifier }) => identifier === named)
  const [resource, ...more] = found
  if (resource === undefined) {
    report(
      `allow: the door to 'access-token' needs a resource that has the scope ${scope}${named === undefined ? '' : `, and ${named} is none`}`,
    )
    return undefined
  }
  if (more.length > 0)
    report(
      `allow: several resources have the scope ${scope}; say which by resource, for the door to 'access-token'`,
    )
  return {
    scope,
    audience: resource.audience,
    resourceMetadata: wellKnownUrl(resource.identifier, 'oauth-protected-resource'),
  }
}

/** @throws OAuthError `invalid_request` where there are two, for a proxy may have read the other */
function readBearer(req: Request): string | undefined {
  if (countHeader(req.rawHeaders, 'authorization') > 1)
    throw new OAuthError('invalid_request', 'Authorization is there more than once')
  return /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i.exec(req.headers.authorization ?? '')?.[1]
}
