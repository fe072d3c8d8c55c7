import { createClientAuthentication } from './clients/client-authentication.ts'
import { createClientRegistry } from './clients/client-registry.ts'
import { createRegistrations } from './clients/registrations.ts'
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
): Pick<AatParts, 'registrations' | 'registry' | 'hasDocumentClients' | 'authenticateClient'> {
  const { clients, registration, stores, issuer, clock, monotonic, random } = configuration
  const registrations = createRegistrations(registration, stores, clock, random, emit)
  const { documentClients, clientKeys } = createOutbound(configuration, registrations, emit)
  const registry = createClientRegistry({
    configured: clients,
    store: stores.clients,
    inForce: registrations.inForce,
    documents: documentClients,
    emit,
    monotonic,
  })
  revocations.onLearn(({ kind, id }) => {
    if (kind === 'client') registry.forget(id)
  })
  const authenticateClient = createClientAuthentication({
    registry,
    keys: clientKeys,
    replays: stores.replays,
    issuer,
    clock,
    emit,
  })
  return { registrations, registry, hasDocumentClients: documentClients !== undefined, authenticateClient }
}
