import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { BEGINNING, type Place, type RevocationEntry, type RevocationStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock } from '../support/world.ts'
import { anId, type StoresFactory, T } from './contract.ts'

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

  /** Everything from a place on, page by page, and where it led. */
  async function readFrom(
    known: Place,
  ): Promise<{ place: Place; entries: RevocationEntry[]; pages: number }> {
    const entries: RevocationEntry[] = []
    let place = known
    for (let pages = 1; pages < 20; pages++) {
      const news = await log.since(place)
      if (pages > 1) expect(news.proven).toBe(true)
      expect(news.entries.length).toBeLessThanOrEqual(1000)
      entries.push(...news.entries)
      place = news.place
      if (!news.more) return { place, entries, pages }
    }
    throw new Error('there is always more')
  }

  test('an empty log is at the beginning and has no entries', async () => {
    expect(await log.since(BEGINNING)).toEqual({ place: BEGINNING, proven: true, entries: [], more: false })
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
    expect((await log.since(BEGINNING)).place.revision).toBe(revisions[2])
  })

  test('since tells what is newer, oldest first, whole', async () => {
    const epoch: RevocationEntry = { kind: 'subject', id: 'alice', notAfter: T + 0.5, until: T + 400 }
    await log.append(entry('one'))
    const { place: known } = await log.since(BEGINNING)
    await log.append(epoch)
    await log.append({ kind: 'kid', id: 'k', until: T + 300 })
    const news = await log.since(known)
    expect(news.proven).toBe(true)
    expect(news.entries).toStrictEqual([epoch, { kind: 'kid', id: 'k', until: T + 300 }])
    expect(await log.since(news.place)).toEqual({ place: news.place, proven: true, entries: [], more: false })
    expect((await log.since(BEGINNING)).entries).toHaveLength(3)
  })

  test('entries of every kind with one id stay apart', async () => {
    const kinds = ['jti', 'grant', 'client', 'subject', 'kid'] as const
    for (const kind of kinds) await log.append({ kind, id: 'same', until: T + 400 })
    expect((await log.since(BEGINNING)).entries.map(({ kind }) => kind)).toEqual(kinds)
  })

  test('times are exact to the millisecond', async () => {
    const epoch: RevocationEntry = { kind: 'client', id: 'c', notAfter: T + 0.123, until: T + 400.987 }
    await log.append(epoch)
    expect((await log.since(BEGINNING)).entries).toStrictEqual([epoch])
  })

  test('entries matter while now < until; the place stays', async () => {
    await log.append(entry('short', T + 10))
    await log.append(entry('long', T + 100))
    clock.now = T + 9.5
    const { place, entries } = await log.since(BEGINNING)
    expect(entries).toHaveLength(2)
    clock.now = T + 10
    expect(await log.since(BEGINNING)).toEqual({
      place,
      proven: true,
      entries: [entry('long', T + 100)],
      more: false,
    })
    clock.now = T + 100
    expect(await log.since(BEGINNING)).toEqual({ place, proven: true, entries: [], more: false })
  })

  test('trimming loses nothing that matters, and makes no known place a wrong one', async () => {
    await log.append(entry('kept', T + 5000))
    const { place: known } = await log.since(BEGINNING)
    for (let index = 0; index < 1100; index++) await log.append(entry(`gone-${index}`, T + 1))
    clock.now = T + 2
    const next = Array.from({ length: 1100 }, (_, index) => `next-${index}`)
    for (const id of next) await log.append(entry(id, T + 3))
    const all = await readFrom(BEGINNING)
    expect(all.entries.map(({ id }) => id)).toEqual(['kept', ...next])
    // A place that was trimmed away may be proven no longer; then everything is told.
    const news = await readFrom(known)
    expect(news.place).toEqual(all.place)
    expect(news.entries.slice(-1100).map(({ id }) => id)).toEqual(next)
    expect(news.entries.length).toBeLessThanOrEqual(1101)
  })

  test('more than a page: all of it, in pages of at most 1,000, oldest first, each once', async () => {
    const ids = Array.from({ length: 2300 }, (_, index) => `e${index}`)
    for (const id of ids) await log.append(entry(id))
    const { entries, pages, place } = await readFrom(BEGINNING)
    expect(entries.map(({ id }) => id)).toEqual(ids)
    expect(pages).toBeGreaterThanOrEqual(3)
    expect(await log.since(place)).toEqual({ place, proven: true, entries: [], more: false })
  })

  test('what is appended between two pages comes with the last of them', async () => {
    for (let index = 0; index < 1200; index++) await log.append(entry(`e${index}`))
    const first = await log.since(BEGINNING)
    expect(first.more).toBe(true)
    await log.append(entry('late'))
    const rest = await readFrom(first.place)
    expect(first.entries.length + rest.entries.length).toBe(1201)
    expect(rest.entries.at(-1)).toEqual(entry('late'))
  })

  test('from the beginning is always proven, whatever was written', async () => {
    for (const id of ['one', 'two', 'three']) {
      expect((await log.since(BEGINNING)).proven).toBe(true)
      await log.append(entry(id, T + 10))
    }
    clock.now = T + 10
    await log.append(entry('four'))
    expect(await log.since(BEGINNING)).toMatchObject({ proven: true, entries: [entry('four')] })
  })

  test('a place of another history is not proven: everything is told from the beginning', async () => {
    await log.append(entry('one'))
    const early = (await log.since(BEGINNING)).place
    await log.append(entry('two'))
    const whole = await log.since(BEGINNING)
    for (const wrong of [
      { ...whole.place, tip: anId() },
      { ...whole.place, tip: '' },
      { ...early, tip: anId() },
      { ...early, tip: whole.place.tip },
      { revision: whole.place.revision + 1, tip: whole.place.tip },
      { revision: whole.place.revision + 1000, tip: anId() },
    ])
      expect({ wrong, news: await log.since(wrong) }).toEqual({ wrong, news: { ...whole, proven: false } })
    expect(await log.since(early)).toMatchObject({ proven: true, entries: [entry('two')] })
  })

  test('an empty log proves no place but the beginning (it lost everything)', async () => {
    expect(await log.since({ revision: 7, tip: anId() })).toEqual({
      place: BEGINNING,
      proven: false,
      entries: [],
      more: false,
    })
  })

  test('appends at once: every one has its own revision and its entry', async () => {
    const revisions = await Promise.all(
      Array.from({ length: 50 }, (_, index) => log.append(entry(`e${index}`))),
    )
    expect(new Set(revisions).size).toBe(50)
    expect((await log.since(BEGINNING)).entries).toHaveLength(50)
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
    expect(hints).toBeGreaterThan(0)
    const before = hints
    end()
    const second = hinted()
    await log.append(entry('two'))
    await second
    expect(hints).toBe(before)
  })
}
