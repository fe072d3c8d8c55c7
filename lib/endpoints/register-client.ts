import { clientInForce, endOfSecretOf } from '../clients/registration-policy.ts'
import type { AatParts } from '../http/aat.ts'
import { registrationOf } from './client-configuration.ts'
import type { Admission } from './registration-doors.ts'

/**
 * Registers a client for somebody who was let in.
 * @returns the response of RFC 7591 §3.2.1
 * @throws OAuthError for metadata that is refused, or where no place is left. Nothing is used up then, but for a use of an access
 * token whose registration failed after that
 */
export async function registerClient(
  metadata: Record<string, unknown>,
  admission: Admission,
  parts: AatParts,
): Promise<Record<string, unknown>> {
  const now = parts.clock()
  const policy = parts.registrations.policy(admission.policy)
  const draft = await parts.registrations.judge(metadata, policy)
  // Last, so that what is refused is not counted, and costs the holder of a token nothing.
  const uncount = await parts.registrations.count({ ...admission, redirectUris: draft.redirectUris })
  const giveBack = await admission.takeUse?.().catch(undoing(uncount))
  const isOpen = admission.by === 'anyone'
  // Its tokens need no user, at whose consent the others take their place.
  const needsRecord = policy.maxClients !== undefined && draft.grantTypes.includes('client_credentials')
  const { client, secret, registrationToken } = await parts
    .newClient(draft, {
      isOpen,
      source: admission.source,
      needsRecord,
      now,
      secretExpiresAt: endOfSecretOf(policy, now),
    })
    .catch(undoing(uncount, giveBack))
  parts.emit('client.registered', {
    clientId: client.id,
    ...(client.name !== undefined && { clientName: client.name }),
    redirectUris: client.redirectUris,
    policy: policy.name,
    by: admission.by,
    ...(admission.initialAccessToken !== undefined && { initialAccessToken: admission.initialAccessToken }),
  })
  return registrationOf(clientInForce(client, policy), { token: registrationToken, secret }, parts)
}

/** Undoes what was done, as far as it can be, and goes on with the refusal. */
function undoing(...undo: ((() => Promise<void>) | undefined)[]) {
  return async (refusal: unknown): Promise<never> => {
    await Promise.allSettled(undo.map((run) => run?.()))
    throw refusal
  }
}
