import { randomBytes } from 'node:crypto'
import { type AatOptions, memoryStores, type Stores } from '../../lib/index.ts'
import { StoreUnavailable } from '../../lib/protocol/oauth-error.ts'
import type { Every } from '../../lib/protocol/time.ts'
import { BEGINNING, type Place, type RevocationEntry, type RevocationStore } from '../../lib/stores/ports.ts'
import { type ManualClock, manualClock, startWorld, type WorldOptions } from '../support/world.ts'

/** Lets everything run that waits for nothing but memory. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** Background work that is done when it is told to. */
export function handTurned() {
  const tasks = new Set<() => void>()
  const every: Every = (_seconds, task) => {
    tasks.add(task)
    return () => void tasks.delete(task)
  }
  return {
    every,
    async tick(): Promise<void> {
      for (const task of tasks) task()
      await settled()
    },
  }
}

/** One instance's line to the log: it can be cut, it counts, and it carries no hints, so only looks tell. */
export function lineTo(log: RevocationStore) {
  const line = {
    isCut: false,
    reads: 0,
    appended: [] as RevocationEntry[],
    log: {
      async append(entry: RevocationEntry) {
        if (line.isCut) throw new StoreUnavailable('the log is away')
        line.appended.push(entry)
        return log.append(entry)
      },
      async since(place: Place) {
        line.reads++
        if (line.isCut) throw new StoreUnavailable('the log is away')
        return log.since(place)
      },
      subscribe: () => () => undefined,
    } satisfies RevocationStore,
  }
  return line
}

/**
 * A log that can lose its last entries, as a failover or a restored backup does. Every entry has a tip of its own, so
 * what is written afterwards is another history.
 */
export function losingLog(clock: () => number) {
  let entries: { entry: RevocationEntry; tip: string }[] = []
  const placeAt = (revision: number): Place => {
    const tip = entries[revision - 1]?.tip
    return tip === undefined ? BEGINNING : { revision, tip }
  }
  return {
    async append(entry: RevocationEntry) {
      return entries.push({ entry, tip: randomBytes(12).toString('base64url') })
    },
    async since(known: Place) {
      const proven = known.revision === 0 || placeAt(known.revision).tip === known.tip
      const news = entries.slice(proven ? known.revision : 0).map(({ entry }) => entry)
      return {
        place: placeAt(entries.length),
        proven,
        entries: news.filter(({ until }) => clock() < until),
        more: false,
      }
    },
    subscribe: () => () => undefined,
    /** Forgets all but the first entries. */
    keepOnly(count: number) {
      entries = entries.slice(0, count)
    },
    /** The same entries, in a history that nobody knows. */
    rewrite() {
      entries = entries.map(({ entry }) => ({ entry, tip: randomBytes(12).toString('base64url') }))
    },
    length: () => entries.length,
    ids: () => entries.map(({ entry }) => `${entry.kind}:${entry.id}`),
  }
}

export interface Site {
  readonly clock: ManualClock
  readonly stores: Stores
  issuer?: string
}

export function site(log?: (clock: ManualClock) => RevocationStore): Site {
  const clock = manualClock()
  const stores = memoryStores({ clock })
  return { clock, stores: log === undefined ? stores : { ...stores, revocations: log(clock) } }
}

/** An instance on a site's stores, with a line, a monotonic clock and a timer of its own. */
export async function startInstance(
  place: Site,
  aat: Partial<AatOptions> = {},
  more: Omit<WorldOptions, 'aat'> = {},
) {
  const line = lineTo(place.stores.revocations)
  const monotonic = manualClock(1000)
  const { every, tick } = handTurned()
  const world = await startWorld({
    clock: place.clock,
    ...(place.issuer !== undefined && { issuer: place.issuer }),
    ...more,
    stores: { ...(more.stores ?? place.stores), revocations: line.log },
    aat: { monotonic, every, ...aat },
  })
  place.issuer ??= world.issuer
  return { ...world, line, monotonic, tick }
}
export type Instance = Awaited<ReturnType<typeof startInstance>>

export async function closeAll(...instances: Instance[]): Promise<void> {
  for (const instance of instances) await instance.close()
}
