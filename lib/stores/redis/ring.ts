import { type Random, randomId } from '../../protocol/random.ts'
import { BEGINNING, type KeyRecord, type RingStore } from '../ports.ts'
import type { Keys } from './keys.ts'
import type { Runner } from './runner.ts'
import { script } from './script.ts'

const readRing = script('read-ring')
const writeRing = script('write-ring')

/** The key ring in Redis: one hash without an end. */
export function redisRing({ run }: Runner, keys: Keys, random: Random): RingStore {
  return {
    // The beginning is known to nobody: it has to be read.
    async read(known = { revision: -1, tip: '' }) {
      const { outcome, rest } = await run(readRing, [keys.ring], [known.revision, known.tip])
      if (outcome === 'unchanged') return 'unchanged'
      const [revision, tip, issuer, records] = rest.map(String)
      return {
        revision: Number(revision),
        tip: tip ?? BEGINNING.tip,
        issuer: issuer === '' ? undefined : issuer,
        keys: JSON.parse(records ?? '[]') as KeyRecord[],
      }
    },
    async compareAndSet(expected, { issuer, keys: records }) {
      const tip = randomId(random)
      const { outcome, rest } = await run(
        writeRing,
        [keys.ring],
        [expected.revision, expected.tip, tip, issuer, JSON.stringify(records)],
        { durable: true },
      )
      return outcome === 'written'
        ? { outcome, place: { revision: Number(rest[0]), tip } }
        : { outcome: 'conflict' }
    },
  }
}
