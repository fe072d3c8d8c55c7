import { isLoopbackUri, type RedirectUriKind } from '../protocol/redirect-uri.ts'
import type { RegistrationPolicy } from './registration-policy.ts'

const LOOPBACK = 'loopback'

/** What a redirect URI that was judged leads to. */
export function kindOfRedirect(uri: string): RedirectUriKind {
  return uri.startsWith('https:') ? 'https' : isLoopbackUri(uri) ? 'loopback' : 'private-use'
}

/**
 * May a redirect URI lead there? Allowed are `app.example.com` (with `:8443` where it has a port), `*.example.com` (any host
 * below it), `loopback` (the user's own machine) and `com.example.app:` (a private-use scheme).
 * @param uri one that was judged
 */
export function isAllowedRedirect(
  uri: string,
  { redirectHosts }: Pick<RegistrationPolicy, 'redirectHosts'>,
): boolean {
  if (redirectHosts === undefined) return true
  const { protocol, host, hostname, port } = new URL(uri)
  switch (kindOfRedirect(uri)) {
    case 'loopback':
      return redirectHosts.includes(LOOPBACK)
    case 'private-use':
      return redirectHosts.includes(protocol)
    case 'https':
      return redirectHosts.some((allowed) =>
        allowed.startsWith('*.')
          ? port === '' && hostname.endsWith(allowed.slice(1))
          : host === allowed && allowed !== LOOPBACK,
      )
  }
}

/** @returns what is wrong with an entry of the list, to stand behind its name, or `undefined` */
export function problemOfRedirectHost(value: unknown): string | undefined {
  const isOne =
    typeof value === 'string' &&
    value.length <= 255 &&
    (value === LOOPBACK ||
      /^[a-z][a-z0-9+.-]*:$/.test(value) ||
      (/^(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[1-9]\d{0,4})?$/.test(value) &&
        !(value.startsWith('*.') && (value.includes(':') || !value.slice(2).includes('.'))) &&
        !value.endsWith(':443')))
  return isOne
    ? undefined
    : 'must be a lower-case host like app.example.com or *.example.com, a private-use scheme like com.example.app:, or loopback'
}
