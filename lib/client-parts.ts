import { createClientAuthentication } from './clients/client-authentication.ts'
import { createClientRegistry } from './clients/client-registry.ts'
import { limitClients } from './clients/limited-clients.ts'
import { createNewClients } from './clients/new-client.ts'
import { createRegistrationTokens } from './clients/registration-tokens.ts'
import { createRegistrations } from './clients/registrations.ts'
import { createSelfDescribingIds } from './clients/self-describing-id.ts'
import { createUnusedLimit } from './clients/unused-records.ts'
import type { Configuration } from './configuration.ts'
import type { AatParts } from './http/aat.ts'
import { createOutbound } from './outbound.ts'
import type { Emit } from './protocol/events.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'

/** Who clients are: those of the configuration, those that registered, and those that their documents tell of. */
export function createClientParts(
  configuration: Configuration,
  revocations: RevocationLog,
  emit: Emit,
): Pick<
  AatParts,
  | 'registrations'
  | 'registry'
  | 'newClient'
  | 'limitUnused'
  | 'rotateRegistrationToken'
  | 'hasDocumentClients'
  | 'authenticateClient'
  | 'keepClientKeys'
> {
  const { clients, registration, stores, secrets, issuer, clock, monotonic, random } = configuration
  const registrations = createRegistrations(registration, stores, clock, random, emit, () => clientKeys)
  const { documentClients, clientKeys } = createOutbound(configuration, registrations, emit)
  const ids = createSelfDescribingIds(secrets, issuer, random, configuration.longestClientId)
  const store = limitClients(stores.clients, stores.places, registrations.policies, clock)
  const registry = createClientRegistry({
    configured: clients,
    store,
    ids,
    inForce: registrations.inForce,
    documents: documentClients,
    tell: (clientId) => revocations.revoke('client-record', clientId, 'a change'),
    emit,
    clock,
    monotonic,
  })
  revocations.onLearn(({ kind, id }) => {
    if (kind === 'client' || kind === 'client-record') registry.forget(id)
  })
  const authenticateClient = createClientAuthentication({
    registry,
    keys: clientKeys,
    replays: stores.replays,
    issuer,
    clock,
    emit,
  })
  const limitUnused = createUnusedLimit(stores.counters, clock)
  return {
    registrations,
    registry,
    newClient: createNewClients({ store, ids, limitUnused, random }),
    limitUnused,
    rotateRegistrationToken: createRegistrationTokens(ids),
    hasDocumentClients: documentClients !== undefined,
    authenticateClient,
    keepClientKeys: clientKeys.keep,
  }
}
