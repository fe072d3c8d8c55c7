import type { EndpointName } from './http/aat.ts'
import { type Check, object, optional, text } from './protocol/options.ts'

type Paths = Readonly<Record<EndpointName, string>>

/** Behind the issuer's path. */
const defaults: Paths = {
  authorization: '/oauth/authorize',
  token: '/oauth/token',
  revocation: '/oauth/revoke',
  introspection: '/oauth/introspect',
  registration: '/oauth/register',
  denyList: '/oauth/denylist',
  jwks: '/.well-known/jwks.json',
}
const names = Object.keys(defaults) as EndpointName[]

const endpointPath: Check<string> = text({
  max: 512,
  pattern: /^(?:\/[A-Za-z0-9\-._~]+)+$/,
  what: 'an absolute path of letters, digits and - . _ ~ without a trailing slash, like /oauth/token',
})

const each = <T>(make: (name: EndpointName) => T) =>
  Object.fromEntries(names.map((name) => [name, make(name)])) as Record<EndpointName, T>

/** The `endpoints` option. */
export const endpointPathsOption = optional(
  object(each(() => optional(endpointPath))),
  each<string | undefined>(() => undefined),
)

/** The URL of each endpoint. */
export function endpointUrlsOf(issuer: string, given: ReturnType<typeof endpointPathsOption>): Paths {
  const { origin, pathname } = new URL(issuer)
  const base = pathname === '/' ? '' : pathname
  return each((name) => origin + (given[name] ?? base + defaults[name]))
}
