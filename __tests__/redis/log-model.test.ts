import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { memoryStores } from '../../lib/index.ts'
import { BEGINNING, type Place, type RevocationEntry, type RevocationStore } from '../../lib/stores/ports.ts'
import { anId, T } from '../contracts/contract.ts'
import { keysIn, proxiedStores } from '../support/redis-world.ts'
import { manualClock } from '../support/world.ts'

/** A log as its readers see it: every entry that was ever appended, in order; a history ends where a backup is restored. */
type History = readonly RevocationEntry[]

interface Reader {
  place: Place
  /** What the log was when this reader came to its place. */
  known: History
}

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      instance: fc.nat(1),
      lives: fc.constantFrom(1, 5, 30, 300),
      atOnce: fc.constantFrom(1, 1, 1, 2, 7, 60),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('pull' as const), reader: fc.nat(2), instance: fc.nat(1) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), by: fc.constantFrom(0.5, 1, 4, 40) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'save' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restore' as const }) },
)
const steps = fc.array(step, { minLength: 5, maxLength: 50, size: 'max' })
type Steps = typeof steps extends fc.Arbitrary<infer S> ? S : never

interface Setting {
  readonly instances: readonly RevocationStore[]
  readonly clock: ReturnType<typeof manualClock>
  /** A backup of the log; what it gives puts it back. */
  save(): Promise<() => Promise<unknown>>
}

async function walk({ instances, clock, save }: Setting, plan: Steps): Promise<number> {
  let log: History = []
  let backup: { log: History; restore: () => Promise<unknown> } | undefined
  const readers: Reader[] = [0, 1, 2].map(() => ({ place: BEGINNING, known: [] }))
  const instance = (index: number) => instances[index % instances.length] as RevocationStore
  const mattering = (history: History) => history.filter(({ until }) => clock.now < until)
  for (const action of plan) {
    if (action.kind === 'wait') clock.advance(action.by)
    else if (action.kind === 'save') backup = { log, restore: await save() }
    else if (action.kind === 'restore') {
      await backup?.restore()
      log = backup?.log ?? log
    } else if (action.kind === 'append') {
      const added = Array.from({ length: action.atOnce }, (): RevocationEntry => {
        return { kind: 'jti', id: anId(), until: clock.now + action.lives }
      })
      const revisions = await Promise.all(added.map((entry) => instance(action.instance).append(entry)))
      expect(revisions).toEqual(added.map((_, index) => log.length + index + 1))
      log = [...log, ...added]
    } else {
      const reader = readers[action.reader] as Reader
      const before = reader.known
      const isOfThisLog = before.length <= log.length && before.at(-1) === log[before.length - 1]
      const told: RevocationEntry[] = []
      let proven: boolean | undefined
      for (let more = true; more; ) {
        const news = await instance(action.instance).since(reader.place)
        proven ??= news.proven
        told.push(...news.entries)
        ;({ more } = news)
        reader.place = news.place
      }
      // Of another history: never taken for this one. Of this one: proven, unless its entry was trimmed away.
      if (!isOfThisLog) expect(proven).toBe(false)
      const last = before.at(-1)
      if (isOfThisLog && (last === undefined || clock.now < last.until || before.length === log.length))
        expect(proven).toBe(true)
      expect(told).toEqual(mattering(proven ? log.slice(before.length) : log))
      expect(reader.place.revision).toBe(log.length)
      reader.known = log
    }
  }
  return plan.length
}

test('the log in Redis, with two instances that write and backups that come back, is what its readers are told', async () => {
  let taken = 0
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const clock = manualClock(T)
      const prefix = `${anId()}:`
      const places = [0, 1].map(() => proxiedStores({ redis: { prefix, clock, deadline: 5000 } }))
      const [first, second] = await Promise.all(places)
      if (first === undefined || second === undefined) throw new Error('no stores')
      const client = first.redis.client()
      const save = async () => {
        const keys = (await keysIn(first)).filter((key) => key.includes('{log}'))
        const dumps = await Promise.all(keys.map((key) => client.dumpBuffer(key)))
        return async () => {
          for (const key of await keysIn(first)) await client.del(key)
          await Promise.all(keys.map((key, index) => client.restore(key, 0, dumps[index] as Buffer)))
        }
      }
      const instances = [first.stores.revocations, second.stores.revocations]
      taken += await walk({ instances, clock, save }, plan)
      await Promise.all([first, second].map(({ stores }) => stores.close?.()))
    }),
    { numRuns: 60, seed: 7009 },
  )
  expect(taken).toBeGreaterThan(1000)
})

test('the log in memory, without backups, goes by the same rules', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (plan) => {
      const clock = manualClock(T)
      const { revocations } = memoryStores({ clock })
      const withoutBackups = plan.filter(({ kind }) => kind !== 'save' && kind !== 'restore')
      await walk({ instances: [revocations], clock, save: async () => async () => undefined }, withoutBackups)
    }),
    { numRuns: 300, seed: 7009 },
  )
})
