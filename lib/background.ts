import type { createHealth } from './health.ts'
import type { KeyRing } from './keys/key-ring.ts'
import type { Every } from './protocol/time.ts'
import type { RevocationLog } from './revocation/revocation-log.ts'

/** Seconds between looks at the ring and the revocation log in the store. */
const TICK = 1

interface Watched {
  readonly keyRing: KeyRing
  readonly revocations: RevocationLog
  readonly health: ReturnType<typeof createHealth>
}

/** Looks at the ring and the log in the store, at once and then again and again; each says for itself what is wrong. */
export function startBackground({ keyRing, revocations, health }: Watched, every: Every) {
  function look(): Promise<unknown> {
    const both = Promise.all([
      health.watch('ring.unusable', keyRing.maintain()),
      health.watch('revocation.unavailable', revocations.pull()),
    ])
    both.catch(() => undefined)
    return both
  }
  /** A key that was revoked elsewhere signs nothing more here. Twice: a look that is under way may have begun before it. */
  async function dropKey(kid: string): Promise<void> {
    for (let round = 0; round < 2 && keyRing.verificationKey(kid) !== undefined; round++)
      await keyRing.maintain()
  }
  revocations.onLearn(({ kind, id }) => {
    // The regular look tells what is wrong.
    if (kind === 'kid') dropKey(id).catch(() => undefined)
  })
  const stop = every(TICK, () => {
    void look()
    health.lookAgain()
  })
  const started = Promise.all([health.look(), look()])
  started.catch(() => undefined)

  return {
    stop,
    async ready(): Promise<void> {
      // A failed start is tried again: the store may be there by now.
      await started.catch(() => Promise.all([health.look(), look()]))
      health.assertUsable()
      await keyRing.signer()
      await revocations.fresh()
    },
  }
}
