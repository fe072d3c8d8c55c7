import { type Random, randomId } from '../../protocol/random.ts'
import type { PendingRequest, RequestStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const saveValue = script('save-value')
const readValue = script('read-value')
const takeValue = script('take-value')

/** Pending authorization requests in Redis, until their end. Absent: over, decided, or never there. */
export function redisRequests({ run }: Runner, keys: Keys, random: Random): RequestStore {
  const parse = (text: Buffer | undefined) =>
    text === undefined ? undefined : (JSON.parse(text.toString()) as PendingRequest)
  return {
    async save(handle, request, expiresAt) {
      await run(saveValue, [keys.request(handle)], [JSON.stringify(request), toMilliseconds(expiresAt)])
    },
    async read(handle) {
      return parse((await run(readValue, [keys.request(handle)])).rest[0])
    },
    async take(handle) {
      const { rest } = await run(takeValue, [keys.request(handle), keys.taken(handle)], [randomId(random)])
      return parse(rest[0])
    },
  }
}
