import type { NumericDate } from '../../protocol/time.ts'
import { toMilliseconds } from './family-record.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const saveValue = script('save-value')
const readValue = script('read-value')
const deleteValue = script('delete-value')

/** Texts under keys of their own, each there while now < expiresAt. */
export function redisValues({ run }: Runner) {
  return {
    async save(key: string, text: string, expiresAt: NumericDate): Promise<void> {
      await run(saveValue, [key], [text, toMilliseconds(expiresAt)])
    },
    async read(key: string): Promise<string | undefined> {
      return (await run(readValue, [key])).rest[0]?.toString()
    },
    async delete(key: string): Promise<void> {
      await run(deleteValue, [key])
    },
  }
}
