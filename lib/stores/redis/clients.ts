import { type Random, randomId } from '../../protocol/random.ts'
import type { NumericDate } from '../../protocol/time.ts'
import { readRecord, writeRecord } from '../client-text.ts'
import { readListPage, writeCursor } from '../list-place.ts'
import type { ClientRecord, ClientStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import { isGrantId, type Keys } from './keys.ts'
import { enterList, leaveList, readList } from './lists.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const createClient = script('create-client')
const readClient = script('read-client')
const replaceClient = script('replace-client')
const renewClient = script('renew-client')
const deleteClient = script('delete-client')

/** Milliseconds for which the list of all has a client that is never forgotten: 100 years. */
const FOR_EVER = 100 * 365 * 86_400_000
/** The most entries that one page looks at. */
const MAX_LOOKED_AT = 5000

/**
 * Registered clients in Redis: each in a slot of its own, and a list of all, which is a hint. Absent: there is no such client,
 * or its id says who it is; a mark says that the id must not be believed.
 */
export function redisClients({ run }: Runner, keys: Keys, random: Random): ClientStore {
  const end = (time: NumericDate | undefined) => (time === undefined ? '' : toMilliseconds(time))

  /** Behind the answer: a client that is missing in the list is a client all the same. */
  async function enter(hash: string, now: NumericDate, expiresAt: NumericDate | undefined): Promise<void> {
    const stays = expiresAt === undefined ? FOR_EVER : toMilliseconds(expiresAt - now)
    if (stays > 0) await run(enterList, [keys.clients], [hash, stays]).catch(() => undefined)
  }

  async function read(hash: string): Promise<ClientRecord | 'gone' | undefined> {
    const { outcome, rest } = await run(readClient, [keys.client(hash), keys.clientMark(hash)])
    if (outcome === 'gone') return 'gone'
    const [text, revision, stop] = rest.map(String)
    if (text === undefined || revision === undefined) return undefined
    return { client: readRecord(text), revision, ...(stop && { expiresAt: Number(stop) / 1000 }) }
  }

  return {
    async create(client, expiresAt) {
      const hash = keys.clientHash(client.id)
      const { outcome, now } = await run(
        createClient,
        [keys.client(hash), keys.clientMark(hash)],
        [writeRecord(client), randomId(random), end(expiresAt)],
        { durable: true },
      )
      if (outcome === 'created') await enter(hash, now, expiresAt)
      return outcome as 'created' | 'exists' | 'gone'
    },

    read: (id) => read(keys.clientHash(id)),

    async replace(client, known, expiresAt, markedUntil) {
      const hash = keys.clientHash(client.id)
      const { outcome, now } = await run(
        replaceClient,
        [keys.client(hash), keys.clientMark(hash)],
        [writeRecord(client), randomId(random), known ?? '', end(expiresAt), end(markedUntil)],
        { durable: true },
      )
      if (outcome === 'replaced') await enter(hash, now, expiresAt)
      return outcome as 'replaced' | 'changed'
    },

    async renew(id, expiresAt) {
      const hash = keys.clientHash(id)
      const { outcome, now } = await run(renewClient, [keys.client(hash)], [end(expiresAt)])
      if (outcome === 'renewed') await enter(hash, now, expiresAt)
      return outcome as 'renewed' | 'unknown'
    },

    async delete(id, markedUntil) {
      const hash = keys.clientHash(id)
      const { outcome } = await run(
        deleteClient,
        [keys.client(hash), keys.clientMark(hash)],
        [randomId(random), end(markedUntil)],
        { durable: true },
      )
      if (outcome === 'deleted') await run(leaveList, [keys.clients], [hash]).catch(() => undefined)
      return outcome as 'deleted' | 'unknown'
    },

    async list(query) {
      const { size, after } = readListPage(query)
      const records: ClientRecord[] = []
      let [at, hash] = after === undefined ? ['', ''] : [String(after.at), after.id]
      for (let lookedAt = 0; lookedAt < MAX_LOOKED_AT && records.length < size; ) {
        // One more than wanted tells whether there is another page.
        const wanted = Math.min(size - records.length, 100)
        const { rest } = await run(readList, [keys.clients], [at, hash, wanted + 1])
        const isLast = rest.length <= 2 * wanted
        const entries = rest.map(String).slice(0, 2 * wanted)
        const hashes = entries.filter((entry, position) => position % 2 === 0 && isGrantId(entry))
        for (const record of await Promise.all(hashes.map(read)))
          if (typeof record === 'object') records.push(record)
        if (isLast) return { records, cursor: undefined }
        lookedAt += wanted
        ;[hash, at] = entries.slice(-2) as [string, string]
      }
      return { records, cursor: writeCursor({ at: Number(at), id: hash }) }
    },
  }
}
