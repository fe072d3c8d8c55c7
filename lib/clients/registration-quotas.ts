import { type Sha256, sha256 } from '../protocol/digest.ts'
import { OAuthError } from '../protocol/oauth-error.ts'
import type { Clock } from '../protocol/time.ts'
import type { CounterStore } from '../stores/ports.ts'
import { kindOfRedirect } from './redirect-hosts.ts'

/** So many in one window. */
export interface Quota {
  readonly limit: number
  readonly windowSeconds: number
}

/** How many clients may register, for each policy by itself; `false`: any number. */
export interface RegistrationQuotas {
  readonly perSource: Quota | false
  readonly perRedirectHost: Quota | false
  readonly global: Quota | false
}

/** What a registration counts as. */
export interface Counted {
  readonly policy: string
  /** Whom it comes from; absent: from somebody who is counted by other means. */
  readonly source?: string | undefined
  readonly redirectUris: readonly string[]
}

/** One source may take this part of what a redirect host has, so that it alone cannot use it up for all. */
const SHARE = 10

interface Count {
  readonly key: string
  readonly quota: Quota
  readonly whose: string
}

/**
 * The counters of one registration, in the order in which they are asked: a counter takes memory, and names of hosts are free,
 * so what is refused by a source's own counter, or by the one of all, makes no others. `loopback` and private-use schemes
 * belong to nobody: a counter that all share would let one flood shut out every native app, so there each source has just a
 * counter of its own.
 */
function countsOf({ policy, source, redirectUris }: Counted, quotas: RegistrationQuotas): Count[][] {
  const stages: Count[][] = [[], [], []]
  const [own, all, places] = stages as [Count[], Count[], Count[]]
  const add = (to: Count[], quota: Quota | false, whose: string, ...key: string[]) => {
    if (quota !== false) to.push({ quota, whose, key: JSON.stringify([policy, ...key]) })
  }
  add(all, quotas.global, 'at this server', 'global')
  if (source !== undefined) {
    add(own, quotas.perSource, 'from this source', 'source', source)
    const { perRedirectHost } = quotas
    if (perRedirectHost === false) return stages
    const share = { ...perRedirectHost, limit: Math.ceil(perRedirectHost.limit / SHARE) }
    const redirects = redirectUris.map((uri) => ({ uri, kind: kindOfRedirect(uri) }))
    const hosts = redirects.filter(({ kind }) => kind === 'https').map(({ uri }) => new URL(uri).host)
    const others = redirects.filter(({ kind }) => kind !== 'https').map(({ kind }) => kind)
    for (const host of new Set(hosts)) add(places, perRedirectHost, 'for this redirect host', 'host', host)
    for (const place of new Set([...hosts, ...others]))
      add(places, share, 'for this redirect host from this source', 'share', place, source)
  }
  return stages
}

/**
 * Counts registrations for all instances, each in all of its counters or, where one is full, in none.
 * @returns what counts one, and then what takes it back
 */
export function createRegistrationQuotas(quotas: RegistrationQuotas, counters: CounterStore, clock: Clock) {
  /** @throws OAuthError `temporarily_unavailable` (429, with `Retry-After`) */
  return async function count(registration: Counted): Promise<() => Promise<void>> {
    const taken: { hash: Sha256; resetsAt: number }[] = []
    const giveBack = async () => {
      // What cannot be given back ends with its window.
      await Promise.allSettled(taken.map(({ hash, resetsAt }) => counters.giveBack(hash, resetsAt)))
    }
    for (const counts of countsOf(registration, quotas)) {
      if (counts.length === 0) continue
      const settled = await Promise.allSettled(
        counts.map(async ({ key, quota, whose }) => {
          const hash = sha256(`registration ${key}`)
          const answer = await counters.take(hash, quota.windowSeconds, quota.limit)
          if (answer.outcome === 'taken') taken.push({ hash, resetsAt: answer.resetsAt })
          return { whose, seconds: quota.windowSeconds, ...answer }
        }),
      )
      const answers = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
      const full = answers.filter(({ outcome }) => outcome === 'full')
      const [first] = full
      if (first !== undefined) {
        await giveBack()
        throw new OAuthError(
          'temporarily_unavailable',
          `too many registrations ${first.whose}, try again later`,
          {
            status: 429,
            retryAfter: Math.max(
              1,
              ...full.map((counter) => Math.min(counter.resetsAt - clock(), counter.seconds)),
            ),
          },
        )
      }
      const failed = settled.find((result) => result.status === 'rejected')
      if (failed !== undefined) {
        await giveBack()
        throw failed.reason
      }
    }
    return giveBack
  }
}

export type CountRegistration = ReturnType<typeof createRegistrationQuotas>
