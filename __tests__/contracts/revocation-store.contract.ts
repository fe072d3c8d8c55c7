import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { RevocationEntry, RevocationStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { type StoresFactory, T } from './contract.ts'

/** What any store of the revocation log must do. */
export function revocationStoreContract(make: StoresFactory): void {
  let clock: ManualClock
  let log: RevocationStore
  let close: () => Promise<void>
  beforeEach(async () => {
    clock = manualClock(T)
    const made = await make(clock)
    log = made.stores.revocations
    close = made.close
  })
  afterEach(() => close())

  const entry = (id: string, until = T + 400): RevocationEntry => ({ kind: 'jti', id, until })

  test('an empty log has revision 0 and no entries', async () => {
    expect(await log.since(0)).toEqual({ revision: 0, entries: [] })
  })

  test('every append is a new, greater revision, also of an entry that is there already', async () => {
    const revisions = [
      await log.append(entry('x')),
      await log.append(entry('x')),
      await log.append(entry('y')),
    ]
    expect(revisions[0]).toBeGreaterThan(0)
    expect(revisions[1]).toBeGreaterThan(revisions[0] as number)
    expect(revisions[2]).toBeGreaterThan(revisions[1] as number)
    expect((await log.since(0)).revision).toBe(revisions[2])
  })

  test('since tells what is newer, oldest first, whole', async () => {
    const epoch: RevocationEntry = { kind: 'subject', id: 'alice', notAfter: T + 0.5, until: T + 400 }
    await log.append(entry('one'))
    const known = (await log.since(0)).revision
    await log.append(epoch)
    await log.append({ kind: 'kid', id: 'k', until: T + 300 })
    const news = await log.since(known)
    expect(news.entries).toStrictEqual([epoch, { kind: 'kid', id: 'k', until: T + 300 }])
    expect(await log.since(news.revision)).toEqual({ revision: news.revision, entries: [] })
    expect((await log.since(0)).entries).toHaveLength(3)
  })

  test('entries of every kind with one id stay apart', async () => {
    const kinds = ['jti', 'grant', 'client', 'subject', 'kid'] as const
    for (const kind of kinds) await log.append({ kind, id: 'same', until: T + 400 })
    expect((await log.since(0)).entries.map(({ kind }) => kind)).toEqual(kinds)
  })

  test('entries matter while now < until; the revision stays', async () => {
    await log.append(entry('short', T + 10))
    const revision = await log.append(entry('long', T + 100))
    clock.now = T + 9.5
    expect((await log.since(0)).entries).toHaveLength(2)
    clock.now = T + 10
    expect(await log.since(0)).toEqual({ revision, entries: [entry('long', T + 100)] })
    clock.now = T + 100
    expect(await log.since(0)).toEqual({ revision, entries: [] })
  })

  test('trimming loses nothing that matters', async () => {
    const last = await log.append(entry('kept', T + 5000))
    for (let index = 0; index < 1100; index++) await log.append(entry(`gone-${index}`, T + 1))
    clock.now = T + 2
    for (let index = 0; index < 1100; index++) await log.append(entry(`next-${index}`, T + 3))
    const { entries } = await log.since(0)
    expect(entries[0]).toEqual(entry('kept', T + 5000))
    expect(entries).toHaveLength(1101)
    expect((await log.since(last)).entries).toHaveLength(1100)
  })

  test('appends at once: every one has its own revision and its entry', async () => {
    const revisions = await Promise.all(
      Array.from({ length: 50 }, (_, index) => log.append(entry(`e${index}`))),
    )
    expect(new Set(revisions).size).toBe(50)
    expect((await log.since(0)).entries).toHaveLength(50)
  })

  test('subscribers are hinted at each append, until they end it', async () => {
    let hints = 0
    const hinted = () =>
      new Promise<void>((resolve) => {
        const end = log.subscribe(() => {
          end()
          resolve()
        })
      })
    const end = log.subscribe(() => {
      hints++
    })
    const first = hinted()
    await log.append(entry('one'))
    await first
    expect(hints).toBe(1)
    end()
    const second = hinted()
    await log.append(entry('two'))
    await second
    expect(hints).toBe(1)
  })
}
