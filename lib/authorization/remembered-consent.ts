import { sha256 } from '../protocol/digest.ts'
import { redirectHost } from '../protocol/redirect-uri.ts'
import type { Client, Consent } from '../stores/ports.ts'

type Asked = Pick<Client, 'origin' | 'redirectUris'>

/**
 * Under what name a consent is remembered for a resource. A client that says for itself where users are sent may name a place
 * that they know and another one beside it, or say something else tomorrow: what was allowed was allowed to the place that
 * the page showed, and to a client that said just this, and for any other the user is asked.
 */
export function consentNameOf(
  { origin, redirectUris }: Asked,
  redirectUri: string,
  resource: string,
): string {
  if (origin === 'configuration') return resource
  const said = JSON.stringify([redirectHost(redirectUri), ...[...redirectUris].sort()])
  return `${sha256(said).slice(0, 22)}:${resource}`
}

/** Did the user allow anything to this client as it is now, and to be sent there? */
export function hasConsented(client: Asked, redirectUri: string, consent: Consent | undefined): boolean {
  const prefix = consentNameOf(client, redirectUri, '')
  return consent !== undefined && [...consent.keys()].some((name) => name.startsWith(prefix))
}
