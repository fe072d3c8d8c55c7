import type { Client } from '../stores/ports.ts'
import type { ClientDraft } from './client-metadata.ts'
import type { RegistrationPolicy } from './registration-policy.ts'
import { usesSecret } from './self-describing-id.ts'

/** A client with what was registered for it exchanged (RFC 7592 §2.2): what is left out is as if it had never been said. */
export function updatedClient(client: Client, draft: ClientDraft, policy: RegistrationPolicy): Client {
  const { id, origin, createdAt, registrationTokens, firstUsedAt, changedAt } = client
  const allowedScope = scopeLeft(client, draft, policy)
  return {
    ...draft,
    id,
    origin,
    createdAt,
    secrets: usesSecret(draft) ? client.secrets : [],
    ...(registrationTokens !== undefined && { registrationTokens }),
    ...(firstUsedAt !== undefined && { firstUsedAt }),
    ...(changedAt !== undefined && { changedAt }),
    ...(allowedScope !== undefined && { allowedScope }),
  }
}

/**
 * The registered scope is no ceiling, but what a client takes out of it, it has given up: no grant of before gets it again, until
 * it is registered again.
 */
function scopeLeft(
  { defaultScope: before = [], allowedScope }: Client,
  { defaultScope: after }: ClientDraft,
  { scopes }: RegistrationPolicy,
): readonly string[] | undefined {
  if (after === undefined) return undefined
  const left = scopes.filter(
    (scope) => after.includes(scope) || ((allowedScope ?? scopes).includes(scope) && !before.includes(scope)),
  )
  return left.length === scopes.length ? undefined : left
}
