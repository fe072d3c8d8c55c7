import { type Random, randomId } from '../../protocol/random.ts'
import { BEGINNING, type RevocationEntry, type RevocationNews, type RevocationStore } from '../ports.ts'
import { toMilliseconds } from './family-record.ts'
import type { Hints } from './hints.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const appendRevocation = script('append-revocation')
const readRevocations = script('read-revocations')

const PAGE = 1000

/** The revocation log in Redis: entries by revision, each removed some time after its end; the place has no end. */
export function redisRevocations({ run }: Runner, keys: Keys, hints: Hints, random: Random): RevocationStore {
  const { entries, ends, place } = keys.log
  return {
    async append(entry) {
      const { rest } = await run(
        appendRevocation,
        [entries, ends, place],
        [JSON.stringify(entry), toMilliseconds(entry.until), randomId(random, 9), keys.hints],
        { durable: true },
      )
      return Number(rest[0])
    },

    async since(known): Promise<RevocationNews> {
      const { rest } = await run(readRevocations, [entries, place], [known.revision, known.tip, PAGE])
      const [revision, tip = '', proven, more, ...texts] = rest.map(String)
      if (proven !== '1') {
        const all = await this.since(BEGINNING)
        return { ...all, proven: false }
      }
      return {
        place: { revision: Number(revision), tip },
        proven: true,
        entries: texts.map((text) => JSON.parse(text) as RevocationEntry),
        more: more === '1',
      }
    },

    async now() {
      return (await run(readRevocations, [entries, place], [BEGINNING.revision, BEGINNING.tip, 1])).now
    },

    subscribe: hints.subscribe,
  }
}
