import type { Clock } from '../../protocol/time.ts'
import type { PendingRequest, RequestStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Pending authorization requests in memory. Anyone can start one, so over the bound the oldest makes room. */
export function memoryRequests(clock: Clock, maxEntries: number): RequestStore {
  const requests = new ExpiringMap<PendingRequest>(clock, maxEntries)
  return {
    async save(handle, request, expiresAt) {
      requests.set(handle, request, expiresAt)
    },
    async read(handle) {
      return requests.get(handle)
    },
    async take(handle) {
      const request = requests.get(handle)
      requests.delete(handle)
      return request
    },
  }
}
