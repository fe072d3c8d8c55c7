import type { Emit } from '../protocol/events.ts'
import type { Clock, NumericDate } from '../protocol/time.ts'
import type { Grant, RevocationEntry, RevocationStore } from '../stores/ports.ts'

/** What the log is asked about: the claims of an access token, or a family. */
export interface Revocable {
  readonly jti?: string | undefined
  readonly grantId?: string | undefined
  readonly clientId: string
  readonly subject: string
  readonly kid?: string | undefined
  readonly issuedAt: NumericDate
}

/**
 * The revocations that still matter, in memory, so that the guard asks nobody. Keyed by `jti`, `grant_id` and the like,
 * never by a token's text: one token can have several spellings (ECDSA has a twin signature).
 */
export function createRevocationLog(store: RevocationStore, clock: Clock, emit: Emit, longestLife: number) {
  /** Entry by `kind` and id; `until` for all, `notAfter` for epochs. */
  const known = new Map<string, RevocationEntry>()
  let revision = 0
  let pulling: Promise<void> | undefined
  let again = false
  let isLoaded = false
  let trimAt = 1024

  function learn(entry: RevocationEntry): void {
    const key = `${entry.kind}:${entry.id}`
    const before = known.get(key)
    known.set(key, {
      ...entry,
      until: Math.max(entry.until, before?.until ?? 0),
      ...(entry.notAfter !== undefined && { notAfter: Math.max(entry.notAfter, before?.notAfter ?? 0) }),
    })
    if (known.size > trimAt) {
      const now = clock()
      for (const [name, { until }] of known) if (now >= until) known.delete(name)
      trimAt = Math.max(1024, known.size * 2)
    }
  }

  async function pull(): Promise<void> {
    if (pulling !== undefined) {
      again = true
      return pulling
    }
    pulling = (async () => {
      try {
        do {
          again = false
          const news = await store.since(revision)
          news.entries.forEach(learn)
          revision = news.revision
          isLoaded = true
        } while (again)
      } finally {
        pulling = undefined
      }
    })()
    return pulling
  }

  const unsubscribe = store.subscribe(() => void pull().catch(() => undefined))

  /** Is anything about this revoked? Reads memory only. */
  function covers({ jti, grantId, clientId, subject, kid, issuedAt }: Revocable): boolean {
    if (known.size === 0) return false
    const now = clock()
    const holds = (key: string) => now < (known.get(key)?.until ?? 0)
    // Tokens carry whole seconds, so one of the same second counts as issued before: it is refreshed, not believed.
    const epoch = (key: string) => holds(key) && issuedAt <= (known.get(key)?.notAfter ?? 0)
    return (
      (jti !== undefined && holds(`jti:${jti}`)) ||
      (grantId !== undefined && holds(`grant:${grantId}`)) ||
      (kid !== undefined && holds(`kid:${kid}`)) ||
      epoch(`client:${clientId}`) ||
      epoch(`subject:${subject}`)
    )
  }

  return {
    /**
     * Revokes: effective in this process when the promise is fulfilled, and everywhere within the revocation bound.
     * @param by who or what asked, for the event
     * @throws StoreUnavailable where the log could not be written
     */
    async revoke(kind: RevocationEntry['kind'], id: string, by: string, until?: NumericDate): Promise<void> {
      const now = clock()
      const isEpoch = kind === 'client' || kind === 'subject'
      // Said before, and once is enough: nothing new is issued under these, and a client could say it for ever.
      if (!isEpoch && now < (known.get(`${kind}:${id}`)?.until ?? 0)) return
      const entry: RevocationEntry = {
        kind,
        id,
        // A minute over the longest token, for one that was being signed at this moment and for clocks that differ.
        until: Math.max(until ?? 0, now + longestLife) + 60,
        ...(isEpoch && { notAfter: now }),
      }
      await store.append(entry)
      learn(entry)
      emit('revocation.recorded', { kind, id, by })
    },

    covers,

    /** The same of a grant: its families and codes. */
    coversGrant: ({ id, clientId, subject, createdAt }: Grant) =>
      covers({ grantId: id, clientId, subject, issuedAt: createdAt }),

    pull,

    /** Fulfilled once this instance has read the log; at once where it has. */
    async loaded(): Promise<void> {
      if (!isLoaded) await pull()
    },

    close: unsubscribe,
  }
}

export type RevocationLog = ReturnType<typeof createRevocationLog>
