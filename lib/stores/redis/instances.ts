import type { Instance } from '../ports.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const announce = script('announce')

/** Milliseconds for which an instance that was not heard of counts as there. */
const PRESENCE = 60_000

/** Tells of instances in Redis; the last one that is there keeps the record alive. */
export function redisInstances({ run }: Runner, keys: Keys) {
  return async ({ id, settings }: Instance): Promise<readonly Instance[]> => {
    const { rest } = await run(announce, [keys.instances], [`${id} ${settings}`, PRESENCE])
    return rest.map((entry) => {
      const [otherId = '', otherSettings = ''] = entry.toString().split(' ')
      return { id: otherId, settings: otherSettings as Instance['settings'] }
    })
  }
}
