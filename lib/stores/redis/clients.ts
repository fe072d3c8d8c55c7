import { type Random, randomId } from '../../protocol/random.ts'
import type { Client, ClientStore } from '../ports.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const createClient = script('create-client')
const readClient = script('read-client')
const deleteClient = script('delete-client')

/** Registered clients in Redis. They have no end; what absence means is that there is no such client. */
export function redisClients({ run }: Runner, keys: Keys, random: Random): ClientStore {
  return {
    async create(client) {
      const { outcome } = await run(
        createClient,
        [keys.client(client.id)],
        [JSON.stringify(client), randomId(random)],
        { durable: true },
      )
      return outcome as 'created' | 'exists'
    },
    async read(id) {
      const { rest } = await run(readClient, [keys.client(id)])
      return rest[0] === undefined ? undefined : (JSON.parse(rest[0].toString()) as Client)
    },
    async delete(id) {
      const { outcome } = await run(deleteClient, [keys.client(id), keys.deletion(id)], [randomId(random)], {
        durable: true,
      })
      return outcome as 'deleted' | 'unknown'
    },
  }
}
