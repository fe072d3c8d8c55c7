import type { Clock, NumericDate } from '../../protocol/time.ts'
import type { Consent, ConsentStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Remembered consents in memory, by subject, so that all of one are forgotten at once. */
export function memoryConsents(clock: Clock, maxEntries: number): ConsentStore {
  const subjects = new ExpiringMap<Map<string, { consent: Consent; expiresAt: NumericDate }>>(
    clock,
    maxEntries,
  )

  function read(subject: string, clientId: string): Consent | undefined {
    const remembered = subjects.get(subject)?.get(clientId)
    return remembered !== undefined && clock() < remembered.expiresAt ? remembered.consent : undefined
  }

  return {
    async remember(subject, clientId, consent, expiresAt) {
      const merged = new Map(read(subject, clientId))
      for (const [resource, scope] of consent)
        merged.set(resource, new Set([...(merged.get(resource) ?? []), ...scope]))
      const clients = subjects.get(subject) ?? new Map()
      // Registered clients have a new id each time, so what is over must not stay.
      for (const [id, remembered] of clients) if (clock() >= remembered.expiresAt) clients.delete(id)
      clients.set(clientId, { consent: merged, expiresAt })
      const last = Math.max(...[...clients.values()].map((remembered) => remembered.expiresAt))
      subjects.set(subject, clients, last)
    },
    async read(subject, clientId) {
      return read(subject, clientId)
    },
    async forget(subject, clientId) {
      subjects.get(subject)?.delete(clientId)
    },
    async forgetSubject(subject) {
      subjects.delete(subject)
    },
  }
}
