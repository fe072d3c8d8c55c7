import type { Health } from './http/aat.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { Emit } from './protocol/events.ts'
import { reasonOf, StoreUnavailable } from './protocol/oauth-error.ts'
import type { Clock } from './protocol/time.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'
import type { Instance, StoreFinding, Stores } from './stores/ports.ts'

/** Seconds between looks at the store itself, while it is well and while it is not. */
const CALM = 15
const WORRIED = 1

type Watched = 'ring.unusable' | 'revocation.unavailable'

export interface HealthOptions {
  readonly stores: Stores
  readonly keyRing: KeyRing
  readonly revocations: RevocationLog
  readonly emit: Emit
  readonly monotonic: Clock
  readonly self: Instance
}

/** Looks at the store now and then, remembers what it found, and says each new thing once. */
export function createHealth({ stores, keyRing, revocations, emit, monotonic, self }: HealthOptions) {
  let findings: readonly StoreFinding[] = []
  let nextLook = Number.NEGATIVE_INFINITY
  let looking: Promise<void> | undefined
  /** Why the last look at the ring or the log failed. */
  const troubles = new Map<Watched, string>()

  /** What the store says of itself, and whether those who share it agree. */
  async function find(): Promise<readonly StoreFinding[]> {
    const found = (await stores.check?.()) ?? []
    if (found.some(isBad)) return found
    const instances = (await stores.announce?.(self)) ?? []
    const others = instances.filter(({ settings }) => settings !== self.settings).length
    if (others === 0) return found
    const message =
      'other instances on these stores have other settings than this one (resources, clients, lifetimes, refresh tokens or keys); during a deploy that passes'
    return [...found, { severity: 'advice', message }]
  }

  async function inspect(): Promise<void> {
    const found = await find().catch((error: unknown): StoreFinding[] => [
      { severity: 'unusable', message: reasonOf(error) },
    ])
    for (const finding of found)
      if (!findings.some(({ message }) => message === finding.message)) emit('store.finding', finding)
    findings = found
    nextLook = monotonic() + (found.some(isBad) ? WORRIED : CALM)
  }

  /** Looks now; calls at the same time share one look. */
  function look(): Promise<void> {
    looking ??= inspect().finally(() => {
      looking = undefined
    })
    return looking
  }

  return {
    look,

    /** Tells of a look at the ring or the log that fails, and remembers why. */
    async watch(name: Watched, underWay: Promise<unknown>): Promise<void> {
      try {
        await underWay
        troubles.delete(name)
      } catch (error) {
        const reason = reasonOf(error)
        troubles.set(name, reason)
        emit(name, { reason })
        throw error
      }
    },

    /** Looks where it is time to. */
    lookAgain(): void {
      if (monotonic() >= nextLook) void look()
    },

    /** @throws StoreUnavailable where the store is not as it must be */
    assertUsable(): void {
      const bad = findings.find(isBad)
      if (bad !== undefined) throw new StoreUnavailable(bad.message)
    },

    report(): Health {
      const canSign = keyRing.canSign()
      const fresh = revocations.isFresh()
      const age = revocations.age()
      const because = (name: Watched) => (troubles.has(name) ? `: ${troubles.get(name)}` : '')
      const problems = [
        ...findings.filter(isBad).map(({ message }) => message),
        ...(canSign ? [] : [`there is no signing key that may be used now${because('ring.unusable')}`]),
        ...(fresh
          ? []
          : [
              `revocations of other instances are not known at the moment${because('revocation.unavailable')}`,
            ]),
      ]
      return {
        ready: problems.length === 0,
        problems,
        advice: findings.filter((finding) => !isBad(finding)).map(({ message }) => message),
        keys: { canSign, revision: keyRing.status().revision },
        revocations: {
          fresh,
          age: Number.isFinite(age) ? Math.round(age * 1000) / 1000 : undefined,
          acceptedStale: revocations.acceptedStale(),
        },
      }
    },
  }
}

function isBad({ severity }: StoreFinding): boolean {
  return severity === 'unusable'
}
