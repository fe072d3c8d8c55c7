import type { Clock } from '../../protocol/time.ts'
import type { Consent, ConsentStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Remembered consents in memory. */
export function memoryConsents(clock: Clock, maxEntries: number): ConsentStore {
  const consents = new ExpiringMap<Consent>(clock, maxEntries)
  const keyOf = (subject: string, clientId: string) => JSON.stringify([subject, clientId])
  return {
    async remember(subject, clientId, consent, expiresAt) {
      const before = consents.get(keyOf(subject, clientId))
      const merged = {
        scope: [...new Set([...(before?.scope ?? []), ...consent.scope])],
        resources: [...new Set([...(before?.resources ?? []), ...consent.resources])],
      }
      consents.set(keyOf(subject, clientId), merged, expiresAt)
    },
    async read(subject, clientId) {
      return consents.get(keyOf(subject, clientId))
    },
    async forget(subject, clientId) {
      consents.delete(keyOf(subject, clientId))
    },
  }
}
