import { type Random, randomId } from '../../protocol/random.ts'
import type { PendingRequest, RequestStore } from '../ports.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'
import { redisValues } from './values.ts'

const takeValue = script('take-value')

/** Pending authorization requests in Redis, until their end. Absent: over, decided, or never there. */
export function redisRequests(runner: Runner, keys: Keys, random: Random): RequestStore {
  const { run } = runner
  const values = redisValues(runner)
  const parse = (text: string | undefined) =>
    text === undefined ? undefined : (JSON.parse(text) as PendingRequest)
  return {
    save: (handle, request, expiresAt) =>
      values.save(keys.request(handle), JSON.stringify(request), expiresAt),
    async read(handle) {
      return parse(await values.read(keys.request(handle)))
    },
    async take(handle) {
      const { rest } = await run(takeValue, [keys.request(handle), keys.taken(handle)], [randomId(random)])
      return parse(rest[0]?.toString())
    },
  }
}
