import { type Sha256, sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { Client, ClientStore, PlaceStore } from '../stores/ports.ts'
import { DEFAULT_POLICY, type RegistrationPolicy } from './registration-policy.ts'

/** Seconds after which somebody may ask again. */
const RETRY = 3600
/**
 * Seconds for which a place is held while a record is written or deleted. Should that stop in the middle, the place ends by
 * itself; it is held as long as the record only once that is there.
 */
const MEANWHILE = 3600

/**
 * A store of clients that has so many places for those of a policy as the policy says (`maxClients`): taken with the record,
 * held as long, and free again when the client is deleted or its record forgotten.
 */
export function limitClients(
  store: ClientStore,
  places: PlaceStore,
  policies: ReadonlyMap<string, RegistrationPolicy>,
  clock: Clock,
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

  /** The place of a record that is there, and until when that is. */
  async function placeOfStored(
    id: string,
  ): Promise<(Place & { readonly expiresAt: NumericDate | undefined }) | undefined> {
    const record = await store.read(id)
    if (record === undefined || record === 'gone') return undefined
    const place = placeOf(record.client)
    return place && { ...place, expiresAt: record.expiresAt }
  }

  const soon = () => clock() + MEANWHILE

  async function take({ of, holder, limit }: Place, expiresAt: NumericDate | undefined): Promise<void> {
    const end = Math.min(soon(), expiresAt ?? Number.POSITIVE_INFINITY)
    if ((await places.take(of, holder, end, limit)) === 'full')
      throw new OAuthError(
        'temporarily_unavailable',
        'there are as many clients of this kind as there may be',
        { retryAfter: RETRY, isFault: false },
      )
  }

  /** Where it fails the place ends soon, and there may be one client too many: it is there, so it is not refused. */
  async function hold({ of, holder }: Place, expiresAt: NumericDate | undefined): Promise<void> {
    await places.take(of, holder, expiresAt, 0).catch(() => undefined)
  }

  /** Where that cannot be found out, it is taken to be. */
  async function isThere(id: string): Promise<boolean> {
    const record = await store.read(id).catch(() => 'unknown')
    return record !== undefined && record !== 'gone'
  }

  /** Where it fails the place ends soon. */
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
        const isThere = outcome === 'created' || outcome === 'exists'
        await (isThere ? hold(place, expiresAt) : leave(place))
      }
    },

    async replace(client, known, expiresAt, markedUntil) {
      const place = placeNeeded(client, expiresAt)
      if (place !== undefined) await take(place, expiresAt)
      const outcome = await store.replace(client, known, expiresAt, markedUntil)
      // Only if it is still held: somebody may have deleted the client since.
      if (place !== undefined && outcome === 'replaced') await hold(place, expiresAt)
      // Who deleted it before left a place that was not taken yet.
      else if (place !== undefined && !(await isThere(client.id))) await leave(place)
      return outcome
    },

    async renew(id, expiresAt) {
      const place = await placeOfStored(id)
      // Where others took all places since a limit was lowered, the client stays.
      if (place !== undefined)
        await places.take(place.of, place.holder, Math.min(soon(), expiresAt), place.limit)
      const outcome = await store.renew(id, expiresAt)
      if (place !== undefined) await (outcome === 'renewed' ? hold(place, expiresAt) : leave(place))
      return outcome
    },

    async delete(id, markedUntil) {
      const place = await placeOfStored(id)
      if (place !== undefined) await places.leave(place.of, place.holder, soon())
      const outcome = await store.delete(id, markedUntil)
      if (place !== undefined) await (outcome === 'full' ? hold(place, place.expiresAt) : leave(place))
      return outcome
    },
  }
}
