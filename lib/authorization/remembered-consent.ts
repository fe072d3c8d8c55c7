import { sha256 } from '../protocol/digest.ts'
import type { Client, Consent } from '../stores/ports.ts'

type Asked = Pick<Client, 'origin' | 'redirectUris'>

/**
 * Under what name a consent is remembered for a resource. A client that says for itself where users are sent may say
 * something else tomorrow: what was allowed then was allowed to another place, and the user is asked again.
 */
export function consentNameOf({ origin, redirectUris }: Asked, resource: string): string {
  if (origin === 'configuration') return resource
  return `${sha256(JSON.stringify([...redirectUris].sort())).slice(0, 22)}:${resource}`
}

/** Did the user allow anything to this client as it is now? */
export function hasConsented(client: Asked, consent: Consent | undefined): boolean {
  const prefix = consentNameOf(client, '')
  return consent !== undefined && [...consent.keys()].some((name) => name.startsWith(prefix))
}
