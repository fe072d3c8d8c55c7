import { sha256 } from '../../protocol/digest.ts'
import type { Clock, NumericDate } from '../../protocol/time.ts'
import { comparePlaces, readListPage, writeCursor } from '../list-place.ts'
import type { ClientRecord, ClientStore } from '../ports.ts'
import { ExpiringMap } from './expiring-map.ts'

/** Where in lists a record stands that is never forgotten. */
const NEVER = 8_640_000_000_000

/** Registered clients in memory: bounded, and refusing rather than forgetting one that holds an id. */
export function memoryClients(clock: Clock, maxEntries: number): ClientStore {
  const records = new ExpiringMap<ClientRecord>(clock, maxEntries)
  const marks = new ExpiringMap<true>(clock, maxEntries)
  let revisions = 0

  function put(client: ClientRecord['client'], expiresAt: NumericDate | undefined): boolean {
    const record = {
      client,
      revision: String(++revisions),
      ...(expiresAt !== undefined && { expiresAt }),
    }
    return records.set(client.id, record, expiresAt ?? Number.POSITIVE_INFINITY, 'refuse')
  }

  const placeOf = ({ client, expiresAt }: ClientRecord) => ({
    at: expiresAt ?? NEVER,
    id: sha256(client.id).slice(0, 22),
  })

  return {
    async create(client, expiresAt) {
      if (records.get(client.id) !== undefined) return 'exists'
      if (marks.get(client.id)) return 'gone'
      return put(client, expiresAt) ? 'created' : 'full'
    },

    async read(id) {
      return records.get(id) ?? (marks.get(id) ? 'gone' : undefined)
    },

    async replace(client, known, expiresAt, markedUntil) {
      const record = records.get(client.id)
      if (record?.revision !== known || (record === undefined && marks.get(client.id))) return 'changed'
      if (markedUntil !== undefined && !marks.set(client.id, true, markedUntil, 'refuse')) return 'full'
      if (put(client, expiresAt)) return 'replaced'
      marks.delete(client.id)
      return 'full'
    },

    async renew(id, expiresAt) {
      const record = records.get(id)
      if (record === undefined) return 'unknown'
      if (record.expiresAt !== undefined && record.expiresAt < expiresAt)
        records.set(id, { ...record, expiresAt }, expiresAt)
      return 'renewed'
    },

    async delete(id, markedUntil) {
      const record = records.get(id)
      if (record === undefined && (markedUntil === undefined || marks.get(id))) return 'unknown'
      if (markedUntil !== undefined && !marks.set(id, true, markedUntil, 'refuse')) return 'full'
      records.delete(id)
      return 'deleted'
    },

    async list(query) {
      const { size, after } = readListPage(query)
      const page = [...records.values()]
        .map((record) => ({ record, place: placeOf(record) }))
        .filter(({ place }) => after === undefined || comparePlaces(place, after) > 0)
        .sort((a, b) => comparePlaces(a.place, b.place))
        .slice(0, size + 1)
      const last = page[size - 1]
      return {
        records: page.slice(0, size).map(({ record }) => record),
        cursor: page.length > size && last !== undefined ? writeCursor(last.place) : undefined,
      }
    },
  }
}
