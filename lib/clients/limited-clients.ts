import { type Sha256, sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { NumericDate } from '../protocol/time.ts'
import type { Client, ClientStore, PlaceStore } from '../stores/ports.ts'
import { DEFAULT_POLICY, type RegistrationPolicy } from './registration-policy.ts'

/** Seconds after which somebody may ask again. */
const RETRY = 3600

/**
 * A store of clients that has so many places for those of a policy as the policy says (`maxClients`): taken with the record,
 * held as long, and free again when the client is deleted or its record forgotten.
 */
export function limitClients(
  store: ClientStore,
  places: PlaceStore,
  policies: ReadonlyMap<string, RegistrationPolicy>,
): ClientStore {
  if (![...policies.values()].some(({ maxClients }) => maxClients !== undefined)) return store

  interface Place {
    readonly of: Sha256
    readonly holder: Sha256
    readonly limit: number
  }

  function placeOf({ id, policy = DEFAULT_POLICY }: Client): Place | undefined {
    const limit = policies.get(policy)?.maxClients
    return limit === undefined ? undefined : { of: sha256(`clients of ${policy}`), holder: sha256(id), limit }
  }

  /**
   * The place that a record needs. One that anybody could make without a user ends after a while: its client takes its place
   * when a user agrees to it.
   */
  function placeNeeded(client: Client, expiresAt: NumericDate | undefined): Place | undefined {
    const isUnused = expiresAt !== undefined && client.firstUsedAt === undefined
    return isUnused && !client.grantTypes.includes('client_credentials') ? undefined : placeOf(client)
  }

  async function placeOfStored(id: string): Promise<Place | undefined> {
    const record = await store.read(id)
    return record === undefined || record === 'gone' ? undefined : placeOf(record.client)
  }

  async function take({ of, holder, limit }: Place, expiresAt: NumericDate | undefined): Promise<void> {
    if ((await places.take(of, holder, expiresAt, limit)) === 'full')
      throw new OAuthError(
        'temporarily_unavailable',
        'there are as many clients of this kind as there may be',
        { retryAfter: RETRY, isFault: false },
      )
  }

  /** It would end with the record that it was taken for. */
  const leave = async ({ of, holder }: Place) => places.leave(of, holder).catch(() => undefined)

  return {
    ...store,

    async create(client, expiresAt) {
      const place = placeNeeded(client, expiresAt)
      if (place === undefined) return store.create(client, expiresAt)
      await take(place, expiresAt)
      let outcome: Awaited<ReturnType<ClientStore['create']>> | undefined
      try {
        outcome = await store.create(client, expiresAt)
        return outcome
      } finally {
        if (outcome !== 'created' && outcome !== 'exists') await leave(place)
      }
    },

    async replace(client, known, expiresAt, markedUntil) {
      const place = placeNeeded(client, expiresAt)
      if (place !== undefined) await take(place, expiresAt)
      return store.replace(client, known, expiresAt, markedUntil)
    },

    async renew(id, expiresAt) {
      const outcome = await store.renew(id, expiresAt)
      const place = outcome === 'renewed' ? await placeOfStored(id) : undefined
      // Where others took all places since a limit was lowered, the client stays.
      if (place !== undefined) await places.take(place.of, place.holder, expiresAt, place.limit)
      return outcome
    },

    async delete(id, markedUntil) {
      const place = await placeOfStored(id)
      const outcome = await store.delete(id, markedUntil)
      if (place !== undefined) await leave(place)
      return outcome
    },
  }
}
